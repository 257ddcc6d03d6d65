// Converts tokenizer.json to the vocabulary of a GGUF model.
#pragma once

#include "checkpoint/config.hpp"
#include "checkpoint/json.hpp"
#include "hartonomous/gguf.hpp"

namespace hartonomous::checkpoint_detail {

// Sets the keys tokenizer.ggml.*. Byte-level BPE becomes "gpt2"; BPE over characters with a visible space and byte
// tokens (the form in which SentencePiece models are saved) becomes "llama". Error 0A000 if the tokenizer is of another
// kind or changes text in a way that GGUF's tokenizers do not.
void describe_vocabulary(const json& value, const checkpoint_config& config, gguf_metadata& metadata,
                         interrupt_checker& interrupts);

}  // namespace hartonomous::checkpoint_detail
