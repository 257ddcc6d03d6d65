// config.json: what kind of network a checkpoint holds.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "checkpoint/json.hpp"
#include "hartonomous/hyperparameters.hpp"

namespace hartonomous::checkpoint_detail {

struct checkpoint_config {
  hyperparameters network;
  std::uint32_t vocabulary = 0;
  bool tied = false;  // no output matrix of its own
  // One factor for each pair of a head's positions (Llama 3.1); empty: none.
  std::vector<float> rope_factors;
  std::optional<std::uint32_t> bos, eos, padding;
};

checkpoint_config read_config(const json& value);

}  // namespace hartonomous::checkpoint_detail
