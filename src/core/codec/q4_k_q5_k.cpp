// Q4_K and Q5_K: 256 weights in eight sub-blocks of 32, each with a scale and a minimum of 6 bits that count in units
// of the block's two half precision numbers. The formats differ in the fifth bit of the levels only.
#include "codec/q4_k_q5_k.hpp"

#include <cmath>
#include <cstdint>

#include "codec/scalar.hpp"

namespace hartonomous::codecs {
namespace {

using namespace q4_k_q5_k;

// ---- choosing --------------------------------------------------------------------------------------------------

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
