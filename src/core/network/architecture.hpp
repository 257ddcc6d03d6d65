// What a file of src/core/architecture says of its family of models: under which names GGUF files and Hugging Face
// checkpoints have its sizes and tensors, and how a block is put together from the parts in block_pass.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hartonomous/hyperparameters.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous {

namespace network_detail {
class block_pass;
}

// A hyperparameter that is a number above 0.
struct named_size {
  const char* key;     // in GGUF, after "ARCHITECTURE."
  const char* member;  // of config.json
  std::uint32_t hyperparameters::*value;
};

// A class of models of the transformers library, as config.json names it under `architectures`.
struct checkpoint_class {
  const char* name;
  // Attention is in a window wherever the config has one, or says nothing of it; otherwise use_sliding_window says so.
  bool has_window;
};

// A tensor of a block.
struct expected_tensor {
  std::string name;                  // after "blk.N."
  std::vector<std::uint64_t> shape;  // row-major, rows first; a vector has one number
  bool required;
  std::string checkpoint_name = {};  // after "layers.N."; of an expert, * is its number
  // Rotary positions turn pairs of its rows. Checkpoints have the halves of each head as pairs; where the architecture
  // turns adjacent rows, they are read in that order.
  bool has_turned_rows = false;

  std::uint64_t columns() const noexcept { return shape.back(); }
  std::uint64_t rows() const noexcept {
    std::uint64_t rows = 1;
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
    return rows;
  }
};

struct network_architecture {
  const char* name;  // general.architecture
  span<const checkpoint_class> checkpoint_classes;
  span<const named_size> sizes;
  rope_pairs pairs;
  bool turns_whole_heads;  // otherwise rope.dimension_count may be less than a head has
  std::vector<expected_tensor> (*block_tensors)(const hyperparameters& config);
  void (*run_block)(network_detail::block_pass& pass);
};

}  // namespace hartonomous
