// What GGUF and safetensors files have in common: named tensors of numbers, and all other contents as JSON.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hartonomous/bytes.hpp"
#include "hartonomous/format.hpp"
#include "hartonomous/interrupt.hpp"

namespace hartonomous {

// Longest name of a tensor in bytes. It goes into a B-tree index of the store, whose entries have at most 2704 bytes.
inline constexpr std::size_t max_tensor_name_bytes = 2048;

struct model_tensor {
  std::string name;
  std::string dtype;                 // the container's name of the number format
  format storage = format::F32;      // the format in which its bytes are stored
  std::vector<std::uint64_t> shape;  // row-major, rows first
  std::uint64_t row_length = 0;      // of the tensor as a matrix
  std::uint64_t weights = 0;         // product of the shape
  std::uint64_t offset = 0;          // of the data in the file
  std::uint64_t bytes = 0;
};

struct model_file {
  std::string metadata_json;  // {"format": "gguf" | "safetensors", ...}: the contents of the file except the weights
  std::vector<model_tensor> tensors;  // in the order of their data
};

// A model, and the source that the offsets of its tensors refer to; it reads the files, which must outlive it.
struct readable_model {
  model_file file;
  std::unique_ptr<byte_source> data;
  std::vector<std::string> unknown_members;  // of a checkpoint's config: they may change the network and are ignored
};

// Reads the headers of a model's files: one, the parts of a split GGUF model in any order, or the safetensors files of
// a checkpoint. `container` is "gguf" or "safetensors". A single part of a split model is read as it is. If
// `pre_tokenizer` is not empty, it names how the vocabulary of a GGUF file splits text (name_pre_tokenizer()). Errors:
// 22P03 if a file is malformed or the files are not those of one model; 22023 if the container is unknown or a tensor's
// name is too long; 54000 beyond the limits of the containers.
readable_model read_model_files(const std::vector<byte_source*>& files, std::string_view container,
                                std::string_view pre_tokenizer, interrupt_checker& interrupts);

}  // namespace hartonomous
