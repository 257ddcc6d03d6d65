// What the scalar and the vector codec of Q6_K share: the block's scale, and levels split into four and two bits.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "codec/blocks.hpp"
#include "codec/rounding.hpp"
#include "codec/search.hpp"

namespace hartonomous::codecs::q6_k {

inline constexpr int sub_blocks = 16;
inline constexpr int sub_block = 16;
inline constexpr int half = 32;

// Stores the block's scale, and the sub-blocks' scales as multiples of it. False if the block counts as zero; it is
// then complete.
inline bool store_scales(const float* scale, block_q6_k& out) {
  const float extreme = extreme_scale(scale, sub_blocks);
  if (std::fabs(extreme) < 1e-15f) {  // the reference treats smaller blocks as zero
    std::memset(&out, 0, sizeof out);
    return false;
  }
  // The extreme scale becomes -128, so that the full range of an int8 is used; d takes the sign.
  const float inverse = -128.0f / extreme;
  out.d.set(1.0f / inverse);
  for (int j = 0; j < sub_blocks; ++j) {
    const int level = nearest_int(inverse * scale[j]);
    out.scales[j] = static_cast<std::int8_t>(level < 127 ? level : 127);
  }
  return true;
}

inline void pack_levels(const std::int8_t* q, block_q6_k& out) {
  for (int n = 0; n < 2; ++n, q += 128) {
    std::uint8_t* ql = out.ql + 64 * n;
    std::uint8_t* qh = out.qh + 32 * n;
    for (int l = 0; l < 32; ++l) {
      const int a = q[l], b = q[l + 32], c = q[l + 64], e = q[l + 96];
      ql[l] = static_cast<std::uint8_t>((a & 15) | (c & 15) << 4);
      ql[l + 32] = static_cast<std::uint8_t>((b & 15) | (e & 15) << 4);
      qh[l] = static_cast<std::uint8_t>(a >> 4 | b >> 4 << 2 | c >> 4 << 4 | e >> 4 << 6);
    }
  }
}

}  // namespace hartonomous::codecs::q6_k
