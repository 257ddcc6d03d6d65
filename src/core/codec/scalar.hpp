// The scalar codecs, one object per format, and templates that apply a function on one block to many.
#pragma once

#include <cstddef>

#include "codec/blocks.hpp"
#include "hartonomous/codec.hpp"

namespace hartonomous::codecs {

// plain.cpp
extern const codec scalar_f32, scalar_f16, scalar_bf16;
// legacy.cpp
extern const codec scalar_q8_0, scalar_q4_0, scalar_q4_1, scalar_q5_0, scalar_q5_1;
// iq4_nl_iq4_xs.cpp
extern const codec scalar_iq4_nl, scalar_iq4_xs;
// grid_formats.cpp
extern const codec scalar_iq1_s, scalar_iq1_m, scalar_iq2_xxs, scalar_iq2_xs, scalar_iq2_s, scalar_iq3_xxs,
    scalar_iq3_s;
// mxfp4_nvfp4.cpp
extern const codec scalar_mxfp4, scalar_nvfp4;
// tq1_0_tq2_0.cpp
extern const codec scalar_tq1_0, scalar_tq2_0;
// q1_0_q2_0.cpp
extern const codec scalar_q1_0, scalar_q2_0;
// q2_k_q3_k.cpp, q4_k_q5_k.cpp, q6_k.cpp
extern const codec scalar_q2_k, scalar_q3_k, scalar_q4_k, scalar_q5_k, scalar_q6_k;

// The input of an encoder for one block. `importance` is null or has at least one positive number.
struct block_input {
  const float* x;
  const float* importance;
  float row_mean_square;
};

// A weighted fit of a block whose importance is all zero would give scale zero, or 0/0.
inline bool has_importance(const float* importance, std::size_t count) noexcept {
  if (importance == nullptr) return false;
  for (std::size_t i = 0; i < count; ++i) {
    if (importance[i] > 0.0f) return true;
  }
  return false;
}

// Block structures consist of bytes, so the caller's bytes may be accessed through them.
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
