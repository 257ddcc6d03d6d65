// What a file of src/core/architecture says of its family of models: what its keys mean, which tensors a block has, and
// how a block is put together from the parts in block_pass.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hartonomous/hyperparameters.hpp"

namespace hartonomous {

namespace network_detail {
class block_pass;
}

// A tensor of a block, by its name after "blk.N.".
struct expected_tensor {
  std::string name;
  std::uint64_t rows, columns;  // a vector has one row
  bool required;
};

struct network_architecture {
  const char* name;  // general.architecture
  rope_pairs pairs;
  bool turns_whole_heads;  // otherwise rope.dimension_count may be less than a head has
  std::vector<expected_tensor> (*block_tensors)(const hyperparameters& config);
  void (*run_block)(network_detail::block_pass& pass);
};

}  // namespace hartonomous
