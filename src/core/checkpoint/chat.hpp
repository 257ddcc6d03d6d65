// The name of a checkpoint's model and its chat templates.
#pragma once

#include "checkpoint/json.hpp"
#include "hartonomous/gguf.hpp"

namespace hartonomous::checkpoint_detail {

// Sets general.name to the last part of the name in config.json or tokenizer_config.json (null: none), if there is one.
void describe_name(const json& config, const json& tokenizer_config, gguf_metadata& metadata);

// Sets tokenizer.chat_template and, for several templates, tokenizer.chat_template.NAME and the list of their names, as
// llama.cpp's converter does.
void describe_chat_templates(const json& tokenizer_config, gguf_metadata& metadata);

}  // namespace hartonomous::checkpoint_detail
