// Converts tokenizer.json to the vocabulary of a GGUF model.
#pragma once

#include <string_view>

#include "checkpoint/config.hpp"
#include "checkpoint/json.hpp"
#include "hartonomous/gguf.hpp"

namespace hartonomous::checkpoint_detail {

struct vocabulary_texts {
  const json& tokenizer;
  const json& config;              // tokenizer_config.json or null
  std::string_view pre_tokenizer;  // the splitting rule for an unknown pattern; may be empty
};

// Sets the keys tokenizer.ggml.*. Byte-level BPE becomes "gpt2"; BPE over characters with a visible space and byte
// tokens (the form in which SentencePiece models are saved) becomes "llama". Error 0A000 if the tokenizer is of another
// kind or changes text in a way that GGUF's tokenizers do not. Which special tokens there are and whether they are
// added to a text says tokenizer_config.json, else config.json, else the post-processor of tokenizer.json.
void describe_vocabulary(const vocabulary_texts& texts, const checkpoint_config& config, gguf_metadata& metadata,
                         interrupt_checker& interrupts);

}  // namespace hartonomous::checkpoint_detail
