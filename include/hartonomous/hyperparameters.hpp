// The hyperparameters of a language model: its sizes, and how its queries and keys are rotated by position.
//
// GGUF files and Hugging Face checkpoints (whose config.json is read by src/core/checkpoint) share this struct. Names
// follow GGUF's keys where there is one. Sources: GGUF's and llama.cpp's definitions (docs/manual/evaluate.md);
// RoFormer (Su et al. 2021), YaRN (Peng et al. 2023), GQA (Ainslie et al. 2023).
#pragma once

#include <cstdint>
#include <optional>

#include "hartonomous/gguf.hpp"

namespace hartonomous {

// Which two numbers of a head are rotated together.
enum class rope_pairs {
  adjacent,  // (2i, 2i + 1)
  halves,    // (i, i + dimensions / 2)
};

// How rotary positions are extended beyond the training context.
enum class rope_scaling {
  none,
  linear,  // all positions are divided by the factor
  yarn,    // only those of slowly rotating pairs
};

struct rope_parameters {
  rope_pairs pairs = rope_pairs::adjacent;
  std::uint32_t dimensions = 0;
  double base = 10000.0;
  rope_scaling scaling = rope_scaling::none;
  double factor = 1.0;
  // YaRN's parameters, where the file gives them: the original context (default: the model's), the scale of attention
  // beyond what `factor` implies (default: 1), and the numbers of rotations between which the two kinds of pairs are
  // blended (defaults: 32 and 1).
  std::optional<std::uint32_t> original_context;
  std::optional<double> magnitude, beta_fast, beta_slow;
};

// How a family of models builds its blocks; src/core/architecture has one file for each.
struct network_architecture;

struct hyperparameters {
  const network_architecture* architecture = nullptr;
  std::uint32_t blocks = 0;
  std::uint32_t context = 0;  // positions the model was trained for
  std::uint32_t width = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;  // a divisor of heads
  std::uint32_t head_size = 0;
  std::uint32_t feed_forward = 0;
  std::uint32_t experts = 0;              // in a block's feed-forward network; 0: there are none
  std::uint32_t experts_used = 0;         // per token
  std::uint32_t expert_feed_forward = 0;  // inner width of one expert
  float epsilon = 0.0f;                   // in RMSNorm
  float attention_scale = 0.0f;           // factor of query times key
  rope_parameters rope;

  // The inner width of the feed-forward network that a token passes through.
  std::uint32_t inner_width() const noexcept { return experts > 0 ? expert_feed_forward : feed_forward; }
  std::uint64_t query_width() const noexcept { return std::uint64_t{heads} * head_size; }
  std::uint64_t kv_width() const noexcept { return std::uint64_t{kv_heads} * head_size; }
};

// Reads the keys of a GGUF file. Errors: 0A000 if the architecture or one of its features is not supported; 55000 if a
// key is missing or its value is invalid.
hyperparameters read_hyperparameters(const gguf_metadata& metadata);

// Writes the same keys in the order of llama.cpp's converter. `vocabulary` is the number of tokens.
void write_hyperparameters(const hyperparameters& config, std::uint32_t vocabulary, gguf_metadata& metadata);

}  // namespace hartonomous
