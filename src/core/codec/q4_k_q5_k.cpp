// Q4_K and Q5_K: 256 weights in eight sub-blocks of 32, each with a scale and a minimum of 6 bits that count in units
// of the block's two half precision numbers. The formats differ in the fifth bit of the levels only.
#include <cmath>
#include <cstring>

#include "rounding.hpp"
#include "scalar.hpp"
#include "search.hpp"

namespace hartonomous::codecs {
namespace {

constexpr int sub_blocks = 8;
constexpr int sub_block = 32;
constexpr int top_scale = 63;

// What an encoder decides before it packs.
struct chosen {
  std::uint8_t q[super_block];
  std::uint8_t scale[sub_blocks];
  std::uint8_t minimum[sub_blocks];
  float d, dmin;  // before rounding to half
};

// ---- the 12 bytes of scales ------------------------------------------------------------------------------------

// Bytes 0..3: scale j, 4..7: minimum j for j = 0..3, in the lower 6 bits. Bytes 8..11: low nibbles of scale and
// minimum j for j = 4..7, whose upper two bits sit atop bytes 0..3 and 4..7.
void pack_scales(const chosen& from, std::uint8_t* s) {
  for (int j = 0; j < 4; ++j) {
    const int scale = from.scale[j + 4], minimum = from.minimum[j + 4];
    s[j] = static_cast<std::uint8_t>(from.scale[j] | (scale >> 4) << 6);
    s[j + 4] = static_cast<std::uint8_t>(from.minimum[j] | (minimum >> 4) << 6);
    s[j + 8] = static_cast<std::uint8_t>((scale & 15) | (minimum & 15) << 4);
  }
}

int scale_of(const std::uint8_t* s, int j) { return j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4; }

int minimum_of(const std::uint8_t* s, int j) { return j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | (s[j] >> 6) << 4; }

// ---- choosing --------------------------------------------------------------------------------------------------

// Scales and minima as multiples of a 63rd of the largest.
float share_of_largest(const float* values, std::uint8_t* levels) {
  float largest = 0.0f;
  for (int j = 0; j < sub_blocks; ++j) largest = values[j] > largest ? values[j] : largest;
  const float inverse = largest > 0.0f ? 63.0f / largest : 0.0f;
  for (int j = 0; j < sub_blocks; ++j) {
    // Through a byte as in the reference, where a negative scale (rare: a fit gone wrong) wraps to a large level.
    const auto level = static_cast<std::uint8_t>(nearest_int(inverse * values[j]));
    levels[j] = level < top_scale ? level : top_scale;
  }
  return largest / 63.0f;
}

void choose_plain(const affine_plan& plan, const float* x, chosen* to) {
  float scale[sub_blocks], minimum[sub_blocks];
  for (int j = 0; j < sub_blocks; ++j) {
    const float* mine = x + j * sub_block;
    const float rms = std::sqrt(sum_of_squares(mine, sub_block) / static_cast<float>(sub_block));
    float w[sub_block];
    for (int i = 0; i < sub_block; ++i) w[i] = rms + std::fabs(mine[i]);
    const affine_fit fit = search_affine(plan, sub_block, mine, w, to->q + j * sub_block);
    scale[j] = fit.scale;
    minimum[j] = fit.minimum;
  }
  to->d = share_of_largest(scale, to->scale);
  to->dmin = share_of_largest(minimum, to->minimum);
}

void choose_by_importance(int top, const block_input& in, chosen* to) {
  const float mean_square = 2.0f * sum_of_squares(in.x, super_block) / static_cast<float>(super_block);
  float scale[sub_blocks], minimum[sub_blocks], total[sub_blocks];
  for (int j = 0; j < sub_blocks; ++j) {
    const float* mine = in.x + j * sub_block;
    float w[sub_block];
    importance_weights(mine, in.importance + j * sub_block, mean_square, sub_block, w);
    total[j] = sum_of(w, sub_block);
    const affine_fit fit = search_affine(importance_plan(top), sub_block, mine, w, to->q + j * sub_block);
    scale[j] = fit.scale;
    minimum[j] = fit.minimum;
  }
  to->d = search_positive(top_scale, sub_blocks, scale, total, to->scale);
  to->dmin = search_positive(top_scale, sub_blocks, minimum, total, to->minimum);
}

// The levels once more, for the scales as they are stored. A sub-block whose scale came out as zero keeps its levels.
void requantize(int top, const float* x, float d, float dmin, chosen* to) {
  for (int j = 0; j < sub_blocks; ++j) {
    const float scale = d * static_cast<float>(to->scale[j]);
    if (scale == 0.0f) continue;
    const float minimum = dmin * static_cast<float>(to->minimum[j]);
    for (int i = j * sub_block; i < (j + 1) * sub_block; ++i) {
      to->q[i] = static_cast<std::uint8_t>(clamp(nearest_int((x[i] + minimum) / scale), 0, top));
    }
  }
}

// Q4_K tries scales from 14/15 to 16/15 of the plain one, Q5_K from 30.5/31 to 32/31.
constexpr affine_plan q4_plan = {15, -1.0f, 0.1f, 20, false};
constexpr affine_plan q5_plan = {31, -0.5f, 0.1f, 15, false};

// All but the levels' bytes; `out` is a block of either format.
template <class Block>
chosen encode_common(const affine_plan& plan, const block_input& in, Block& out) {
  chosen to;
  if (in.importance != nullptr) {
    choose_by_importance(plan.top, in, &to);
  } else {
    choose_plain(plan, in.x, &to);
  }
  pack_scales(to, out.scales);
  out.d.set(to.d);
  out.dmin.set(to.dmin);
  requantize(plan.top, in.x, out.d.get(), out.dmin.get(), &to);
  return to;
}

// ---- blocks ----------------------------------------------------------------------------------------------------

void pack_nibbles(const std::uint8_t* q, std::uint8_t* qs) {
  for (int group = 0; group < 4; ++group, q += 64, qs += 32) {
    for (int l = 0; l < 32; ++l) qs[l] = static_cast<std::uint8_t>((q[l] & 15) | (q[l + 32] & 15) << 4);
  }
}

void pack_fifth_bits(const std::uint8_t* q, std::uint8_t* qh) {
  std::memset(qh, 0, 32);
  for (int j = 0; j < sub_blocks; ++j) {
    for (int l = 0; l < 32; ++l) qh[l] = static_cast<std::uint8_t>(qh[l] | (q[32 * j + l] >> 4) << j);
  }
}

void encode_q4_k(const block_input& in, block_q4_k& out) {
  const chosen to = encode_common(q4_plan, in, out);
  pack_nibbles(to.q, out.qs);
}

void encode_q5_k(const block_input& in, block_q5_k& out) {
  const chosen to = encode_common(q5_plan, in, out);
  pack_nibbles(to.q, out.qs);
  pack_fifth_bits(to.q, out.qh);
}

// Sub-block j of both formats stands in group j / 2, in the low nibbles when j is even.
void decode_q4_k(const block_q4_k& in, float* x) {
  const float d = in.d.get(), dmin = in.dmin.get();
  for (int j = 0; j < sub_blocks; ++j) {
    const float scale = d * static_cast<float>(scale_of(in.scales, j));
    const float minimum = dmin * static_cast<float>(minimum_of(in.scales, j));
    const std::uint8_t* qs = in.qs + j / 2 * 32;
    const int shift = j % 2 * 4;
    for (int l = 0; l < 32; ++l) *x++ = scale * static_cast<float>((qs[l] >> shift) & 15) - minimum;
  }
}

void decode_q5_k(const block_q5_k& in, float* x) {
  const float d = in.d.get(), dmin = in.dmin.get();
  for (int j = 0; j < sub_blocks; ++j) {
    const float scale = d * static_cast<float>(scale_of(in.scales, j));
    const float minimum = dmin * static_cast<float>(minimum_of(in.scales, j));
    const std::uint8_t* qs = in.qs + j / 2 * 32;
    const int shift = j % 2 * 4;
    for (int l = 0; l < 32; ++l) {
      const int q = ((qs[l] >> shift) & 15) | ((in.qh[l] >> j) & 1) << 4;
      *x++ = scale * static_cast<float>(q) - minimum;
    }
  }
}

}  // namespace

const codec scalar_q4_k = {format::Q4_K,
                           dequantize_run<block_q4_k, super_block, decode_q4_k>,
                           quantize_run<block_q4_k, super_block, encode_q4_k>,
                           2,
                           {0, 2}};
const codec scalar_q5_k = {format::Q5_K,
                           dequantize_run<block_q5_k, super_block, decode_q5_k>,
                           quantize_run<block_q5_k, super_block, encode_q5_k>,
                           2,
                           {0, 2}};

}  // namespace hartonomous::codecs
