// What the scalar and the vector codecs of Q4_K and Q5_K share: scales in 12 bytes, levels as nibbles and fifth bits.
#pragma once

#include <cstdint>
#include <cstring>

#include "codec/affine_blocks.hpp"
#include "codec/blocks.hpp"
#include "codec/rounding.hpp"
#include "codec/search.hpp"

namespace hartonomous::codecs::q4_k_q5_k {

inline constexpr int sub_blocks = 8;
inline constexpr int sub_block = 32;
inline constexpr int top_scale = 63;

using chosen = affine_levels<sub_block>;

// ---- the 12 bytes of scales ------------------------------------------------------------------------------------

// Bytes 0..3: scale j, 4..7: minimum j for j = 0..3, in the lower 6 bits. Bytes 8..11: low nibbles of scale and minimum
// j for j = 4..7, whose upper two bits are the upper bits of bytes 0..3 and 4..7.
inline void pack_scales(const chosen& from, std::uint8_t* s) {
  for (int j = 0; j < 4; ++j) {
    const int scale = from.scale[j + 4], minimum = from.minimum[j + 4];
    s[j] = static_cast<std::uint8_t>(from.scale[j] | (scale >> 4) << 6);
    s[j + 4] = static_cast<std::uint8_t>(from.minimum[j] | (minimum >> 4) << 6);
    s[j + 8] = static_cast<std::uint8_t>((scale & 15) | (minimum & 15) << 4);
  }
}

inline int scale_of(const std::uint8_t* s, int j) { return j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4; }

inline int minimum_of(const std::uint8_t* s, int j) { return j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | (s[j] >> 6) << 4; }

// ---- choosing scales ---------------------------------------------------------------------------------------------

// Scales and minima as multiples of a 63rd of the largest one.
inline float share_of_largest(const float* values, std::uint8_t* levels) {
  float largest = 0.0f;
  for (int j = 0; j < sub_blocks; ++j) largest = values[j] > largest ? values[j] : largest;
  const float inverse = largest > 0.0f ? 63.0f / largest : 0.0f;
  for (int j = 0; j < sub_blocks; ++j) {
    // Converted to a byte like the reference, where a negative scale (from a rare failed fit) wraps around to a large
    // level.
    const auto level = static_cast<std::uint8_t>(nearest_int(inverse * values[j]));
    levels[j] = level < top_scale ? level : top_scale;
  }
  return largest / 63.0f;
}

// Q4_K tries scales from 14/15 to 16/15 of the plain one, Q5_K from 30.5/31 to 32/31.
inline constexpr affine_plan q4_plan = {15, -1.0f, 0.1f, 20, false};
inline constexpr affine_plan q5_plan = {31, -0.5f, 0.1f, 15, false};

// ---- levels to bytes ---------------------------------------------------------------------------------------------

inline void pack_nibbles(const std::uint8_t* q, std::uint8_t* qs) {
  for (int group = 0; group < 4; ++group, q += 64, qs += 32) {
    for (int l = 0; l < 32; ++l) qs[l] = static_cast<std::uint8_t>((q[l] & 15) | (q[l + 32] & 15) << 4);
  }
}

inline void pack_fifth_bits(const std::uint8_t* q, std::uint8_t* qh) {
  std::memset(qh, 0, 32);
  for (int j = 0; j < sub_blocks; ++j) {
    for (int l = 0; l < 32; ++l) qh[l] = static_cast<std::uint8_t>(qh[l] | (q[32 * j + l] >> 4) << j);
  }
}

}  // namespace hartonomous::codecs::q4_k_q5_k
