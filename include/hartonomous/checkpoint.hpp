// Reads a Hugging Face checkpoint (safetensors files, config.json, tokenizer.json) as the equivalent GGUF model: with
// the metadata, tensor names and row order that llama.cpp's converter would write.
//
// Architectures: LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, Qwen3MoeForCausalLM.
// Sources: config.json and tokenizer.json as the transformers library writes them, and the conversion in llama.cpp
// (docs/manual/import.md).
//
// Errors: 22P02 if a text is not JSON; 22023 if a value is missing or has the wrong type; 0A000 if an architecture,
// tokenizer or tensor is not supported; 22P03 if the tensors do not fit the config.
#pragma once

#include <string_view>
#include <vector>

#include "hartonomous/bytes.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/model_file.hpp"

namespace hartonomous {

// The texts of a checkpoint, all JSON; "null" for one that there is not.
struct checkpoint_texts {
  std::string_view config;            // config.json
  std::string_view tokenizer;         // tokenizer.json; without it the model can only be run on token ids
  std::string_view tokenizer_config;  // tokenizer_config.json: special tokens and the chat template
  std::string_view pre_tokenizer;     // no JSON: GGUF's name of the splitting rule if its pattern is unknown, or empty
};

// The tensors of the result are in GGUF's layout. A large checkpoint is split over several files, in any order.
readable_model read_checkpoint(const std::vector<byte_source*>& files, const checkpoint_texts& texts,
                               interrupt_checker& interrupts);

}  // namespace hartonomous
