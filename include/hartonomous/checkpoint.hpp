// A Hugging Face checkpoint (safetensors files, config.json, tokenizer.json) read as the GGUF model it amounts to: the
// metadata llama.cpp's converter would write, its tensor names and its order of rows.
//
// Architectures: LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM,
// Qwen3MoeForCausalLM. Sources: config.json and
// tokenizer.json as the transformers library writes them, and the conversion in llama.cpp (docs/manual/import.md).
//
// Errors: text that is not JSON 22P02, a value that is missing or of the wrong type 22023, an architecture, tokenizer
// or tensor not known here 0A000, tensors that do not fit the config 22P03.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "hartonomous/bytes.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/model_file.hpp"

namespace hartonomous {

struct checkpoint {
  model_file file;                    // offsets are those of `data`
  std::unique_ptr<byte_source> data;  // the tensors as GGUF has them: read through the files, which must outlive it
};

// Large checkpoints come in several files, each with some of the tensors; their order does not matter. `tokenizer`
// "null" leaves the vocabulary out: such a model runs on token numbers only.
checkpoint read_checkpoint(const std::vector<byte_source*>& files, std::string_view config, std::string_view tokenizer,
                           interrupt_checker& interrupts);

}  // namespace hartonomous
