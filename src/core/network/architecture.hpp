// What a file of src/core/architecture defines for its family of models: the names of sizes and tensors in GGUF files
// and in Hugging Face checkpoints, and how a block is built from the parts in block_pass.hpp.
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

// A model class of the transformers library, as config.json names it under `architectures`.
struct checkpoint_class {
  const char* name;
  // If true, attention has a sliding window whenever the config gives its size or does not mention it; otherwise
  // use_sliding_window decides.
  bool has_window;
};

// A tensor of a block.
struct expected_tensor {
  std::string name;                  // after "blk.N."
  std::vector<std::uint64_t> shape;  // row-major, rows first; a vector has one number
  bool required;
  std::string checkpoint_name = {};  // after "layers.N."; * stands for the number of an expert
  // Rotary positions rotate pairs of its rows. In checkpoints the pairs are the halves of each head; if the
  // architecture rotates adjacent rows, the rows are reordered on reading.
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
  bool turns_whole_heads;  // otherwise rope.dimension_count may be less than the size of a head
  std::vector<expected_tensor> (*block_tensors)(const hyperparameters& config);
  void (*run_block)(network_detail::block_pass& pass);
};

}  // namespace hartonomous
