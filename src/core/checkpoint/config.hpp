// config.json: what kind of network a checkpoint holds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/json.hpp"
#include "hartonomous/gguf.hpp"

namespace hartonomous::checkpoint_detail {

struct network_config {
  std::string architecture;  // GGUF's name: llama, qwen2, qwen3
  std::uint32_t blocks, width, inner, heads, key_heads, head_width, context, vocabulary;
  bool tied;  // no output matrix of its own
  float epsilon;
  float frequency_base;
  // One factor for each pair of a head's positions (Llama 3.1); empty: none.
  std::vector<float> frequency_factors;
  struct scaling {
    std::string type;  // linear, yarn
    double factor;
    std::optional<std::uint32_t> original_context;
    // YaRN's, where the config gives them.
    std::optional<double> magnitude;  // what queries and keys are multiplied with, beyond what the factor implies
    std::optional<double> beta_fast, beta_slow;
  };
  std::optional<scaling> frequency_scaling;
  std::optional<std::uint32_t> bos, eos, padding;

  bool permutes() const noexcept { return architecture == "llama"; }
  bool has_head_norms() const noexcept { return architecture == "qwen3"; }
};

network_config read_config(const json& value);

// The hyperparameters under llama.cpp's keys.
void describe(const network_config& config, gguf_metadata& metadata);

}  // namespace hartonomous::checkpoint_detail
