// What the containers (GGUF, safetensors) have in common: named tensors of numbers, and the rest as JSON.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hartonomous/bytes.hpp"
#include "hartonomous/format.hpp"
#include "hartonomous/interrupt.hpp"

namespace hartonomous {

// Bytes of a tensor's name. It goes into a B-tree index of the store, whose entries have at most 2704 bytes.
inline constexpr std::size_t max_tensor_name_bytes = 2048;

struct model_tensor {
  std::string name;
  std::string dtype;                 // the container's own name of the number format
  format storage = format::F32;      // how its bytes are carried
  std::vector<std::uint64_t> shape;  // row-major, rows first
  std::uint64_t row_length = 0;      // of the matrix it is seen as
  std::uint64_t weights = 0;         // product of the shape
  std::uint64_t offset = 0;          // in the file
  std::uint64_t bytes = 0;
};

struct model_file {
  std::string metadata_json;          // {"format": "gguf" | "safetensors", ...}: all of the file but its weights
  std::vector<model_tensor> tensors;  // in the order of their data
};

// `container` is "gguf" or "safetensors". Errors: 22P03 a malformed file, 22023 an unknown container or a tensor's name
// that is too long.
model_file read_model_file(byte_source& source, std::string_view container, interrupt_checker& interrupts);

}  // namespace hartonomous
