// What a language model's architecture leaves open: its sizes, and how positions turn its queries and keys.
//
// Names are those of GGUF's keys where it has one. Sources: GGUF's and llama.cpp's definitions
// (docs/manual/evaluate.md); RoFormer (Su et al. 2021), YaRN (Peng et al. 2023), GQA (Ainslie et al. 2023).
#pragma once

#include <cstdint>

#include "hartonomous/gguf.hpp"

namespace hartonomous {

// Which numbers of a head a rotation turns together.
enum class rope_pairs {
  adjacent,  // (2i, 2i + 1)
  halves,    // (i, i + dimensions / 2)
};

struct rope_parameters {
  rope_pairs pairs = rope_pairs::adjacent;
  std::uint32_t dimensions = 0;
  double base = 10000.0;
  double scale = 1.0;  // of positions: 1 / factor
  bool yarn = false;
  double original_context = 0.0;  // what the model was trained on before YaRN
  double magnitude = 1.0;         // YaRN's factor for attention, as the file gives it
  double beta_fast = 32.0, beta_slow = 1.0;
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
  float epsilon = 0.0f;          // of RMSNorm
  float attention_scale = 0.0f;  // of query times key
  rope_parameters rope;

  std::uint64_t query_width() const noexcept { return std::uint64_t{heads} * head_size; }
  std::uint64_t kv_width() const noexcept { return std::uint64_t{kv_heads} * head_size; }
};

// From the keys of a GGUF file. Errors: 0A000 an architecture, or a feature of one, that is not known here; 55000 a key
// is missing or its value makes no sense.
hyperparameters read_hyperparameters(const gguf_metadata& metadata);

}  // namespace hartonomous
