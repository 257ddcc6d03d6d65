// Q2_K and Q3_K: 256 weights in sixteen sub-blocks of 16. Q2_K has a scale and a minimum of 4 bits for each sub-block,
// Q3_K a signed scale of 6 bits; both count in units of the block's half precision numbers.
#include <cmath>
#include <cstring>
#include <limits>

#include "rounding.hpp"
#include "scalar.hpp"
#include "search.hpp"

namespace hartonomous::codecs {
namespace {

constexpr int sub_blocks = 16;
constexpr int sub_block = 16;

// Two bits of each level: see block_q2_k.
template <class Level>
void pack_two_bits(const Level* q, std::uint8_t* qs) {
  for (int n = 0; n < 2; ++n, q += 128, qs += 32) {
    for (int l = 0; l < 32; ++l) {
      qs[l] =
          static_cast<std::uint8_t>((q[l] & 3) | (q[l + 32] & 3) << 2 | (q[l + 64] & 3) << 4 | (q[l + 96] & 3) << 6);
    }
  }
}

int two_bits(const std::uint8_t* qs, int weight) {
  return (qs[weight / 128 * 32 + weight % 32] >> (weight / 32 % 4 * 2)) & 3;
}

// ---- Q2_K ------------------------------------------------------------------------------------------------------

constexpr int q2_top = 3;
constexpr int q2_top_scale = 15;
constexpr affine_plan q2_plan = {q2_top, -0.5f, 0.1f, 15, true};

struct q2_chosen {
  std::uint8_t q[super_block];
  std::uint8_t scale[sub_blocks];
  std::uint8_t minimum[sub_blocks];
  float d, dmin;  // before rounding to half
};

// Scales and minima as multiples of a 15th of the largest.
float share_of_largest(const float* values, std::uint8_t* levels) {
  float largest = 0.0f;
  for (int j = 0; j < sub_blocks; ++j) largest = values[j] > largest ? values[j] : largest;
  const float inverse = largest > 0.0f ? 15.0f / largest : 0.0f;
  for (int j = 0; j < sub_blocks; ++j) levels[j] = static_cast<std::uint8_t>(nearest_int(inverse * values[j]) & 15);
  return largest / 15.0f;
}

void q2_choose_plain(const float* x, q2_chosen* to) {
  float scale[sub_blocks], minimum[sub_blocks];
  for (int j = 0; j < sub_blocks; ++j) {
    const float* mine = x + j * sub_block;
    float w[sub_block];
    for (int i = 0; i < sub_block; ++i) w[i] = std::fabs(mine[i]);
    const affine_fit fit = search_affine(q2_plan, sub_block, mine, w, to->q + j * sub_block);
    scale[j] = fit.scale;
    minimum[j] = fit.minimum;
  }
  to->d = share_of_largest(scale, to->scale);
  to->dmin = share_of_largest(minimum, to->minimum);
}

void q2_choose_by_importance(const block_input& in, q2_chosen* to) {
  const float mean_square = sum_of_squares(in.x, super_block) / static_cast<float>(super_block);
  float scale[sub_blocks], minimum[sub_blocks], total[sub_blocks];
  for (int j = 0; j < sub_blocks; ++j) {
    const float* mine = in.x + j * sub_block;
    float w[sub_block];
    importance_weights(mine, in.importance + j * sub_block, mean_square, sub_block, w);
    total[j] = sum_of(w, sub_block);
    const affine_fit fit = search_affine(importance_plan(q2_top), sub_block, mine, w, to->q + j * sub_block);
    scale[j] = fit.scale;
    minimum[j] = fit.minimum;
  }
  to->d = search_positive(q2_top_scale, sub_blocks, scale, total, to->scale);
  to->dmin = search_positive(q2_top_scale, sub_blocks, minimum, total, to->minimum);
}

// The levels once more, for the scales as they are stored. A sub-block of scale zero keeps its levels.
void q2_requantize(const float* x, float d, float dmin, q2_chosen* to) {
  for (int j = 0; j < sub_blocks; ++j) {
    const float scale = d * static_cast<float>(to->scale[j]);
    if (scale == 0.0f) continue;
    const float minimum = dmin * static_cast<float>(to->minimum[j]);
    for (int i = j * sub_block; i < (j + 1) * sub_block; ++i) {
      to->q[i] = static_cast<std::uint8_t>(clamp(nearest_int((x[i] + minimum) / scale), 0, q2_top));
    }
  }
}

void encode_q2_k(const block_input& in, block_q2_k& out) {
  q2_chosen to;
  if (in.importance != nullptr) {
    q2_choose_by_importance(in, &to);
  } else {
    q2_choose_plain(in.x, &to);
  }
  out.d.set(to.d);
  out.dmin.set(to.dmin);
  for (int j = 0; j < sub_blocks; ++j) out.scales[j] = static_cast<std::uint8_t>(to.scale[j] | to.minimum[j] << 4);
  q2_requantize(in.x, out.d.get(), out.dmin.get(), &to);
  pack_two_bits(to.q, out.qs);
}

void decode_q2_k(const block_q2_k& in, float* x) {
  const float d = in.d.get(), dmin = in.dmin.get();
  for (int j = 0; j < sub_blocks; ++j) {
    const float scale = d * static_cast<float>(in.scales[j] & 15);
    const float minimum = dmin * static_cast<float>(in.scales[j] >> 4);
    for (int i = j * sub_block; i < (j + 1) * sub_block; ++i) {
      x[i] = scale * static_cast<float>(two_bits(in.qs, i)) - minimum;
    }
  }
}

// ---- Q3_K ------------------------------------------------------------------------------------------------------

constexpr int q3_half = 4;
constexpr int q3_half_scale = 32;

// Sixteen levels 0..63 in 12 bytes: low nibbles of 0..7 and 8..15 share bytes 0..7; the upper two bits of level j are
// bits 2 * (j / 4) and up of byte 8 + j % 4.
void pack_scales(const std::int8_t* levels, std::uint8_t* s) {
  std::memset(s, 0, 12);
  for (int j = 0; j < sub_blocks; ++j) {
    s[j % 8] = static_cast<std::uint8_t>(s[j % 8] | (levels[j] & 15) << (j / 8 * 4));
    s[8 + j % 4] = static_cast<std::uint8_t>(s[8 + j % 4] | (levels[j] >> 4) << (j / 4 * 2));
  }
}

int scale_of(const std::uint8_t* s, int j) {
  const int low = (s[j % 8] >> (j / 8 * 4)) & 15;
  const int high = (s[8 + j % 4] >> (j / 4 * 2)) & 3;
  return (low | high << 4) - q3_half_scale;
}

// Scales of the sub-blocks, and d: the scale of largest magnitude becomes -32. All scales zero: d = 0 and no levels.
float q3_choose_plain(const float* x, std::int8_t* q, std::uint8_t* packed) {
  float scale[sub_blocks];
  float magnitude = 0.0f, extreme = 0.0f;
  for (int j = 0; j < sub_blocks; ++j) {
    scale[j] = improve_symmetric(q3_half, sub_block, x + j * sub_block, q + j * sub_block);
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
      // Through a byte, as in the reference; in range but for subnormal blocks.
      const auto level = static_cast<std::int8_t>(nearest_int(inverse * scale[j]));
      levels[j] = static_cast<std::int8_t>(clamp(level, -q3_half_scale, q3_half_scale - 1) + q3_half_scale);
    }
    d = 1.0f / inverse;
  }
  pack_scales(levels, packed);
  return d;
}

float q3_choose_by_importance(const block_input& in, std::int8_t* q, std::uint8_t* packed) {
  const float mean_square = 2.0f * sum_of_squares(in.x, super_block) / static_cast<float>(super_block);
  float scale[sub_blocks], total[sub_blocks];
  for (int j = 0; j < sub_blocks; ++j) {
    const float* mine = in.x + j * sub_block;
    float w[sub_block];
    importance_weights(mine, in.importance + j * sub_block, mean_square, sub_block, w);
    total[j] = sum_of(w, sub_block);
    scale[j] = search_symmetric(q3_half, sub_block, mine, w, q + j * sub_block);
  }
  std::int8_t levels[sub_blocks];
  const float d = search_symmetric(q3_half_scale, sub_blocks, scale, total, levels);
  pack_scales(levels, packed);
  return all_finite(scale, sub_blocks) ? d : std::numeric_limits<float>::quiet_NaN();
}

void q3_requantize(const float* x, float d, const std::uint8_t* packed, std::int8_t* q) {
  for (int j = 0; j < sub_blocks; ++j) {
    const float scale = d * static_cast<float>(scale_of(packed, j));
    if (scale == 0.0f) continue;
    for (int i = j * sub_block; i < (j + 1) * sub_block; ++i) {
      q[i] = static_cast<std::int8_t>(q3_half + clamp(nearest_int(x[i] / scale), -q3_half, q3_half - 1));
    }
  }
}

void encode_q3_k(const block_input& in, block_q3_k& out) {
  std::int8_t q[super_block];
  const float d =
      in.importance != nullptr ? q3_choose_by_importance(in, q, out.scales) : q3_choose_plain(in.x, q, out.scales);
  out.d.set(d);
  q3_requantize(in.x, out.d.get(), out.scales, q);
  pack_two_bits(q, out.qs);
  std::memset(out.hmask, 0, sizeof out.hmask);
  for (int i = 0; i < super_block; ++i) {
    out.hmask[i % 32] = static_cast<std::uint8_t>(out.hmask[i % 32] | (q[i] >> 2) << (i / 32));
  }
}

void decode_q3_k(const block_q3_k& in, float* x) {
  const float d = in.d.get();
  for (int j = 0; j < sub_blocks; ++j) {
    const float scale = d * static_cast<float>(scale_of(in.scales, j));
    for (int i = j * sub_block; i < (j + 1) * sub_block; ++i) {
      const int q = two_bits(in.qs, i) | ((in.hmask[i % 32] >> (i / 32)) & 1) << 2;
      x[i] = scale * static_cast<float>(q - q3_half);
    }
  }
}

}  // namespace

const codec scalar_q2_k = {format::Q2_K,
                           dequantize_run<block_q2_k, super_block, decode_q2_k>,
                           quantize_run<block_q2_k, super_block, encode_q2_k>,
                           2,
                           {80, 82}};
const codec scalar_q3_k = {format::Q3_K,
                           dequantize_run<block_q3_k, super_block, decode_q3_k>,
                           quantize_run<block_q3_k, super_block, encode_q3_k>,
                           1,
                           {108}};

}  // namespace hartonomous::codecs
