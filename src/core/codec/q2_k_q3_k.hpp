// What the scalar and the vector codecs of Q2_K and Q3_K share: packed scales, the lower two bits of levels, and their
// third bits.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "codec/affine_blocks.hpp"
#include "codec/blocks.hpp"
#include "codec/rounding.hpp"
#include "codec/search.hpp"

namespace hartonomous::codecs::q2_k_q3_k {

inline constexpr int sub_blocks = 16;
inline constexpr int sub_block = 16;

// The lower two bits of each level: see block_q2_k.
template <class Level>
void pack_two_bits(const Level* q, std::uint8_t* qs) {
  for (int n = 0; n < 2; ++n, q += 128, qs += 32) {
    for (int l = 0; l < 32; ++l) {
      qs[l] =
          static_cast<std::uint8_t>((q[l] & 3) | (q[l + 32] & 3) << 2 | (q[l + 64] & 3) << 4 | (q[l + 96] & 3) << 6);
    }
  }
}

// ---- Q2_K ------------------------------------------------------------------------------------------------------

inline constexpr int q2_top = 3;
inline constexpr int q2_top_scale = 15;
inline constexpr affine_plan q2_plan = {q2_top, -0.5f, 0.1f, 15, true};

using q2_chosen = affine_levels<sub_block>;

// Scales and minima as multiples of a 15th of the largest one.
inline float q2_share_of_largest(const float* values, std::uint8_t* levels) {
  float largest = 0.0f;
  for (int j = 0; j < sub_blocks; ++j) largest = values[j] > largest ? values[j] : largest;
  const float inverse = largest > 0.0f ? 15.0f / largest : 0.0f;
  for (int j = 0; j < sub_blocks; ++j) levels[j] = static_cast<std::uint8_t>(nearest_int(inverse * values[j]) & 15);
  return largest / 15.0f;
}

// ---- Q3_K ------------------------------------------------------------------------------------------------------

inline constexpr int q3_half = 4;
inline constexpr int q3_half_scale = 32;

// Packs sixteen levels 0..63 into 12 bytes: the low nibbles of 0..7 and 8..15 share bytes 0..7; the upper two bits of
// level j begin at bit 2 * (j / 4) of byte 8 + j % 4. Handles eight, or four, bytes at a time.
inline void q3_pack_scales(const std::int8_t* levels, std::uint8_t* s) {
  std::uint64_t halves[2];
  std::uint32_t quarters[4];
  std::memcpy(halves, levels, sub_blocks);
  std::memcpy(quarters, levels, sub_blocks);
  constexpr std::uint64_t nibbles = 0x0f0f0f0f0f0f0f0f;
  const std::uint64_t low = (halves[0] & nibbles) | (halves[1] & nibbles) << 4;
  std::uint32_t high = 0;
  for (int j = 0; j < 4; ++j) high |= (quarters[j] >> 4 & 0x03030303) << 2 * j;
  std::memcpy(s, &low, sizeof low);
  std::memcpy(s + 8, &high, sizeof high);
}

inline int q3_scale_of(const std::uint8_t* s, int j) {
  const int low = (s[j % 8] >> (j / 8 * 4)) & 15;
  const int high = (s[8 + j % 4] >> (j / 4 * 2)) & 3;
  return (low | high << 4) - q3_half_scale;
}

// Returns the block's scale before it is rounded to half, and packs the sub-blocks' scales as multiples of it: the one
// of largest magnitude becomes -32. 0 if all are zero.
inline float q3_share_of_extreme(const float* scale, std::uint8_t* packed) {
  float magnitude = 0.0f, extreme = 0.0f;
  for (int j = 0; j < sub_blocks; ++j) {
    if (std::fabs(scale[j]) > magnitude) {
      magnitude = std::fabs(scale[j]);
      extreme = scale[j];
    }
  }
  std::int8_t levels[sub_blocks] = {};
  float d = 0.0f;
  if (extreme != 0.0f) {
    const float inverse = -32.0f / extreme;
    for (int j = 0; j < sub_blocks; ++j) {
      // Converted to a byte like the reference; the value is in range except for subnormal blocks.
      const auto level = static_cast<std::int8_t>(nearest_int(inverse * scale[j]));
      levels[j] = static_cast<std::int8_t>(clamp(level, -q3_half_scale, q3_half_scale - 1) + q3_half_scale);
    }
    d = 1.0f / inverse;
  }
  q3_pack_scales(levels, packed);
  return d;
}

// The same, but weighted by the sub-blocks' weights; NaN if a scale is not finite.
inline float q3_search_scales(const float* scale, const float* total, std::uint8_t* packed) {
  std::int8_t levels[sub_blocks];
  const float d = search_symmetric(q3_half_scale, sub_blocks, scale, total, levels);
  q3_pack_scales(levels, packed);
  return all_finite(scale, sub_blocks) ? d : std::numeric_limits<float>::quiet_NaN();
}

inline void q3_pack_third_bits(const std::int8_t* q, std::uint8_t* hmask) {
  std::memset(hmask, 0, 32);
  for (int j = 0; j < 8; ++j) {
    for (int l = 0; l < 32; ++l) hmask[l] = static_cast<std::uint8_t>(hmask[l] | (q[32 * j + l] >> 2) << j);
  }
}

}  // namespace hartonomous::codecs::q2_k_q3_k
