// What the scalar and the vector code of IQ4_NL and IQ4_XS share: the values of the levels, and the scales of IQ4_XS.
#pragma once

#include <cstdint>

#include "codec/blocks.hpp"
#include "codec/rounding.hpp"
#include "codec/search.hpp"

namespace hartonomous::codecs {

// They are closer together where weights are frequent.
inline constexpr std::int8_t uneven_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                  1,    13,   25,  38,  53,  69,  89,  113};

// From the midpoint of two values on, the upper one is the nearest. This is exact: the reference compares the distances
// to both values, and near the midpoint neither difference is rounded.
inline constexpr float uneven_middles[15] = {-115.5f, -93.5f, -74.0f, -57.0f, -42.0f, -28.5f, -16.0f, -4.5f,
                                             7.0f,    19.0f,  31.5f,  45.5f,  61.0f,  79.0f,  101.0f};

// Number of scales tried on either side of the one that maps the weight of largest magnitude to the lowest value.
inline constexpr int uneven_trials = 7;

// Times the sum of the squares of a block of that many weights, this is twice their mean: the term added to the weights
// of a fit with importance.
template <int Weights>
inline constexpr float uneven_square_share = 2.0f / static_cast<float>(Weights);

namespace iq4_xs {

inline constexpr int sub_blocks = 8;
inline constexpr int sub_block = short_block;
inline constexpr int half = 32;

// Scales of sub-blocks from -32 to 31, six bits each.
inline void pack_scales(const std::int8_t* levels, block_iq4_xs& out) {
  unsigned low[sub_blocks], high = 0;
  for (int j = 0; j < sub_blocks; ++j) {
    const auto bits = static_cast<unsigned>(levels[j] + half);
    low[j] = bits & 15;
    high |= bits >> 4 << 2 * j;
  }
  for (int i = 0; i < 4; ++i) out.scales_l[i] = static_cast<std::uint8_t>(low[2 * i] | low[2 * i + 1] << 4);
  out.scales_h[0] = static_cast<std::uint8_t>(high);
  out.scales_h[1] = static_cast<std::uint8_t>(high >> 8);
}

// Stores the block's scale, and the sub-blocks' scales as multiples of it. inverse[j] is what the weights of sub-block
// j are multiplied by for their levels: as in the reference, for a scale that is not yet rounded to half precision.
inline void store_scales(const float* scale, block_iq4_xs& out, float* inverse) {
  // The extreme scale becomes -32, so that the full range of 6 bits is used; d takes the sign.
  const float d = -extreme_scale(scale, sub_blocks) / static_cast<float>(half);
  const float per_d = d != 0.0f ? 1.0f / d : 0.0f;
  out.d.set(d);
  std::int8_t levels[sub_blocks];
  for (int j = 0; j < sub_blocks; ++j) {
    levels[j] = static_cast<std::int8_t>(clamp(nearest_int(per_d * scale[j]), -half, half - 1));
    const float stored = d * static_cast<float>(levels[j]);
    inverse[j] = stored != 0.0f ? 1.0f / stored : 0.0f;
  }
  pack_scales(levels, out);
}

// The scale of sub-block j, without the factor d.
inline float scale_of(const block_iq4_xs& in, int j) {
  const int low = in.scales_l[j / 2] >> j % 2 * 4 & 15, high = in.scales_h[j / 4] >> j % 4 * 2 & 3;
  return static_cast<float>((low | high << 4) - half);
}

}  // namespace iq4_xs

}  // namespace hartonomous::codecs
