// What a language model's architecture leaves open: its sizes, and how positions turn its queries and keys.
//
// One struct for GGUF files and for Hugging Face checkpoints, whose config.json is read by src/core/checkpoint. Names
// are those of GGUF's keys where it has one. Sources: GGUF's and llama.cpp's definitions (docs/manual/evaluate.md);
// RoFormer (Su et al. 2021), YaRN (Peng et al. 2023), GQA (Ainslie et al. 2023).
#pragma once

#include <cstdint>
#include <optional>

#include "hartonomous/gguf.hpp"

namespace hartonomous {

// Which numbers of a head a rotation turns together.
enum class rope_pairs {
  adjacent,  // (2i, 2i + 1)
  halves,    // (i, i + dimensions / 2)
};

// How a model reaches positions beyond those it was trained on.
enum class rope_scaling {
  none,
  linear,  // every position is divided by the factor
  yarn,    // only those of pairs that turn slowly
};

struct rope_parameters {
  rope_pairs pairs = rope_pairs::adjacent;
  std::uint32_t dimensions = 0;
  double base = 10000.0;
  rope_scaling scaling = rope_scaling::none;
  double factor = 1.0;
  // Of YaRN, where the file gives them: the context before scaling (otherwise the model's), what attention is
  // multiplied with beyond what the factor implies (1), and the turns between which pairs are blended (32 and 1).
  std::optional<std::uint32_t> original_context;
  std::optional<double> magnitude, beta_fast, beta_slow;
};

// How the blocks of a family of models are built: one of those in src/core/architecture.
struct network_architecture;

struct hyperparameters {
  const network_architecture* architecture = nullptr;
  std::uint32_t blocks = 0;
  std::uint32_t context = 0;  // positions the model was made for
  std::uint32_t width = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;  // divides heads
  std::uint32_t head_size = 0;
  std::uint32_t feed_forward = 0;
  std::uint32_t experts = 0;              // of a block's feed-forward network; 0: it has no experts
  std::uint32_t experts_used = 0;         // by each token
  std::uint32_t expert_feed_forward = 0;  // the width within one
  float epsilon = 0.0f;                   // of RMSNorm
  float attention_scale = 0.0f;           // of query times key
  rope_parameters rope;

  // The width within a feed-forward network as a token passes it.
  std::uint32_t inner_width() const noexcept { return experts > 0 ? expert_feed_forward : feed_forward; }
  std::uint64_t query_width() const noexcept { return std::uint64_t{heads} * head_size; }
  std::uint64_t kv_width() const noexcept { return std::uint64_t{kv_heads} * head_size; }
};

// From the keys of a GGUF file. Errors: 0A000 an architecture, or a feature of one, that is not known here; 55000 a key
// is missing or its value makes no sense.
hyperparameters read_hyperparameters(const gguf_metadata& metadata);

// The same keys, in the order in which llama.cpp's converter writes them; `vocabulary` is the number of tokens.
void write_hyperparameters(const hyperparameters& config, std::uint32_t vocabulary, gguf_metadata& metadata);

}  // namespace hartonomous
