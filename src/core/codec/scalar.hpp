// The scalar codecs, one object per format, and what turns functions on one block into functions on a run.
#pragma once

#include <cstddef>

#include "codec/blocks.hpp"
#include "hartonomous/codec.hpp"

namespace hartonomous::codecs {

// plain.cpp
extern const codec scalar_f32, scalar_f16, scalar_bf16;
// legacy.cpp
extern const codec scalar_q8_0, scalar_q4_0, scalar_q4_1, scalar_q5_0, scalar_q5_1;
// iq4_nl.cpp
extern const codec scalar_iq4_nl;
// q2_k_q3_k.cpp, q4_k_q5_k.cpp, q6_k.cpp
extern const codec scalar_q2_k, scalar_q3_k, scalar_q4_k, scalar_q5_k, scalar_q6_k;

// What an encoder of one block needs. `importance` is null or has one positive number at least.
struct block_input {
  const float* x;
  const float* importance;
  float row_mean_square;
};

// A block nobody cares about would get scale zero, or 0/0, from a weighted fit.
inline bool has_importance(const float* importance, std::size_t count) noexcept {
  if (importance == nullptr) return false;
  for (std::size_t i = 0; i < count; ++i) {
    if (importance[i] > 0.0f) return true;
  }
  return false;
}

// Block structures consist of bytes, so reading the caller's bytes through them is allowed.
template <class Block, std::size_t Weights, void (*Decode)(const Block&, float*)>
void dequantize_run(const std::byte* blocks, float* out, std::size_t count) {
  const auto* block = reinterpret_cast<const Block*>(blocks);
  for (std::size_t i = 0; i < count; ++i) Decode(block[i], out + i * Weights);
}

template <class Block, std::size_t Weights, void (*Encode)(const block_input&, Block&)>
void quantize_run(const float* in, const float* importance, float row_mean_square, std::byte* out, std::size_t count) {
  auto* block = reinterpret_cast<Block*>(out);
  for (std::size_t i = 0; i < count; ++i) {
    const float* mine = importance != nullptr ? importance + i * Weights : nullptr;
    const block_input input = {in + i * Weights, has_importance(mine, Weights) ? mine : nullptr, row_mean_square};
    Encode(input, block[i]);
  }
}

}  // namespace hartonomous::codecs
