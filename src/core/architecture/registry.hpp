// The architectures that can be run, one file each in this folder.
#pragma once

#include <string>
#include <string_view>

#include "network/architecture.hpp"

namespace hartonomous::architecture_detail {

extern const network_architecture llama;
extern const network_architecture qwen2;
extern const network_architecture qwen3;
extern const network_architecture qwen3moe;

// By general.architecture. Error 0A000, with a hint that lists those there are.
const network_architecture& find_architecture(const std::string& name);

// By a class of checkpoints. Error 0A000, with a detail that lists those there are.
struct known_checkpoint {
  const network_architecture& architecture;
  const checkpoint_class& model_class;
};
known_checkpoint find_checkpoint_class(std::string_view name);

}  // namespace hartonomous::architecture_detail
