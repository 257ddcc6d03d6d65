// The hyperparameters of a language model: its sizes, and how its queries and keys are rotated by position.
//
// GGUF files and Hugging Face checkpoints (whose config.json is read by src/core/checkpoint) share this struct. Names
// follow GGUF's keys where there is one. Sources: GGUF's and llama.cpp's definitions (docs/manual/evaluate.md);
// RoFormer (Su et al. 2021), YaRN (Peng et al. 2023), GQA (Ainslie et al. 2023).
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

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
  std::uint32_t shared_feed_forward = 0;  // inner width of an expert that all tokens pass through besides; 0: none
  float epsilon = 0.0f;                   // in norms
  float attention_scale = 0.0f;           // factor of query times key
  // Scores s of attention, or logits, become cap * tanh(s / cap), unless it is 0.
  float attention_softcap = 0.0f, logit_softcap = 0.0f;
  // Factors of the embeddings, of what each part of a block adds to the residual stream, and of the logits.
  float embedding_scale = 1.0f, residual_scale = 1.0f, logit_scale = 1.0f;
  // Queries are multiplied by 1 + growth * log(1 + floor(position / interval)), unless the growth is 0.
  float query_growth = 0.0f;
  std::uint32_t query_growth_interval = 1;
  rope_parameters rope;
  bool long_factors = false;  // the tensors rope_factors_long and rope_factors_short (LongRoPE, Ding et al. 2024)
  // In some blocks a token attends only to itself and the window - 1 tokens before it, and rotations are others.
  std::uint32_t window = 0;     // 0: there are none
  std::vector<bool> windowed;   // by block; empty: none
  rope_parameters window_rope;  // of these blocks
  std::vector<bool> unrotated;  // blocks without rotations; empty: none

  // The widest inner width of the feed-forward networks that a token passes through.
  std::uint32_t inner_width() const noexcept {
    return experts == 0 ? feed_forward : std::max(expert_feed_forward, shared_feed_forward);
  }
  bool has_window(std::uint32_t block) const noexcept { return block < windowed.size() && windowed[block]; }
  bool rotates(std::uint32_t block) const noexcept { return block >= unrotated.size() || !unrotated[block]; }
  std::uint64_t query_width() const noexcept { return std::uint64_t{heads} * head_size; }
  std::uint64_t kv_width() const noexcept { return std::uint64_t{kv_heads} * head_size; }
};

// Reads the keys of a GGUF file. Errors: 0A000 if the architecture or one of its features is not supported; 55000 if a
// key is missing or its value is invalid.
hyperparameters read_hyperparameters(const gguf_metadata& metadata);

// The kinds of structures, as structured pruning names them, that such a model cannot do without: their parts lie in
// joined tensors, or what is left would compute something else. Besides "repair", if no block can make up for others.
std::vector<std::string_view> fixed_structures(const hyperparameters& config);

// Writes the same keys in the order of llama.cpp's converter. `vocabulary` is the number of tokens.
void write_hyperparameters(const hyperparameters& config, std::uint32_t vocabulary, gguf_metadata& metadata);

}  // namespace hartonomous
