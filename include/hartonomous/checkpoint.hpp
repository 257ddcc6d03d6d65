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

#include <memory>
#include <string_view>
#include <vector>

#include "hartonomous/bytes.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/model_file.hpp"

namespace hartonomous {

struct checkpoint {
  model_file file;                    // offsets are into `data`
  std::unique_ptr<byte_source> data;  // the tensors in GGUF's layout, read through `files`, which must outlive it
};

// A large checkpoint is split over several files, in any order. If `tokenizer` is "null", the model gets no vocabulary
// and can only be run on token ids.
checkpoint read_checkpoint(const std::vector<byte_source*>& files, std::string_view config, std::string_view tokenizer,
                           interrupt_checker& interrupts);

}  // namespace hartonomous
