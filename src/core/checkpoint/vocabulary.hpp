// tokenizer.json as the vocabulary of a GGUF model.
#pragma once

#include "checkpoint/config.hpp"
#include "checkpoint/json.hpp"
#include "hartonomous/gguf.hpp"

namespace hartonomous::checkpoint_detail {

// Sets the keys tokenizer.ggml.*. Byte-level BPE becomes "gpt2", and BPE over characters with a visible space and byte
// tokens (what SentencePiece models are written as) becomes "llama". Error 0A000: another kind of tokenizer, or one
// that changes text in a way GGUF's tokenizers do not.
void describe_vocabulary(const json& value, const checkpoint_config& config, gguf_metadata& metadata,
                         interrupt_checker& interrupts);

}  // namespace hartonomous::checkpoint_detail
