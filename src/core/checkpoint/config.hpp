// Reads config.json: which network a checkpoint holds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/json.hpp"
#include "hartonomous/hyperparameters.hpp"

namespace hartonomous::checkpoint_detail {

struct checkpoint_config {
  hyperparameters network;
  std::uint32_t vocabulary = 0;
  std::vector<std::string> unknown_members;  // of the config, which may change the network
  bool tied = false;                         // there is no separate output matrix
  // One factor for each rotated pair of a head (Llama 3.1); empty if there are none.
  std::vector<float> rope_factors;
  std::optional<std::uint32_t> bos, eos, padding;
  // The files are an adapter of low rank; its factors are scaled by alpha / rank.
  std::optional<float> adapter_alpha;
  // Weights that share a factor in a checkpoint quantized in blocks; 0 if there are none.
  std::uint32_t scale_block_rows = 0, scale_block_columns = 0;
};

checkpoint_config read_config(const json& value);

}  // namespace hartonomous::checkpoint_detail
