// The supported architectures, one file each in this folder.
#pragma once

#include <string>
#include <string_view>

#include "network/architecture.hpp"

namespace hartonomous::architecture_detail {

extern const network_architecture llama;
extern const network_architecture mistral3;
extern const network_architecture qwen2;
extern const network_architecture qwen2moe;
extern const network_architecture qwen3;
extern const network_architecture qwen3moe;
extern const network_architecture gemma2;
extern const network_architecture gemma3;
extern const network_architecture phi3;
extern const network_architecture gpt_oss;
extern const network_architecture granite;
extern const network_architecture granitemoe;
extern const network_architecture olmo2;
extern const network_architecture smollm3;
extern const network_architecture starcoder2;
extern const network_architecture gpt2;

// Finds an architecture by general.architecture. Error 0A000, with a hint that lists those that are supported.
const network_architecture& find_architecture(const std::string& name);

// A checkpoint class with its architecture. If the class is not supported, error 0A000 with a detail that lists those
// that are.
struct known_checkpoint {
  const network_architecture& architecture;
  const checkpoint_class& model_class;
};
known_checkpoint find_checkpoint_class(std::string_view name);

}  // namespace hartonomous::architecture_detail
