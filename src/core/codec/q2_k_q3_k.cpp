// Q2_K and Q3_K: 256 weights in sixteen sub-blocks of 16. Each sub-block has a scale and a minimum of 4 bits in Q2_K,
// and a signed scale of 6 bits in Q3_K; they are multiples of the block's half precision numbers.
#include "codec/q2_k_q3_k.hpp"

#include <cmath>
#include <cstdint>

#include "codec/scalar.hpp"

namespace hartonomous::codecs {
namespace {

using namespace q2_k_q3_k;

int two_bits(const std::uint8_t* qs, int weight) {
  return (qs[weight / 128 * 32 + weight % 32] >> (weight / 32 % 4 * 2)) & 3;
}

// ---- Q2_K ------------------------------------------------------------------------------------------------------

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
  to->d = q2_share_of_largest(scale, to->scale);
  to->dmin = q2_share_of_largest(minimum, to->minimum);
}

void encode_q2_k(const block_input& in, block_q2_k& out) {
  q2_chosen to;
  if (in.importance != nullptr) {
    const float mean_square = sum_of_squares(in.x, super_block) / static_cast<float>(super_block);
    choose_by_importance(q2_top, q2_top_scale, mean_square, in, &to);
  } else {
    q2_choose_plain(in.x, &to);
  }
  out.d.set(to.d);
  out.dmin.set(to.dmin);
  for (int j = 0; j < sub_blocks; ++j) out.scales[j] = static_cast<std::uint8_t>(to.scale[j] | to.minimum[j] << 4);
  requantize(q2_top, in.x, out.d.get(), out.dmin.get(), &to);
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

float q3_choose_plain(const float* x, std::int8_t* q, std::uint8_t* packed) {
  float scale[sub_blocks];
  for (int j = 0; j < sub_blocks; ++j) {
    scale[j] = improve_symmetric(q3_half, sub_block, x + j * sub_block, q + j * sub_block);
  }
  return q3_share_of_extreme(scale, packed);
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
  return q3_search_scales(scale, total, packed);
}

void q3_requantize(const float* x, float d, const std::uint8_t* packed, std::int8_t* q) {
  for (int j = 0; j < sub_blocks; ++j) {
    const float scale = d * static_cast<float>(q3_scale_of(packed, j));
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
  q3_pack_third_bits(q, out.hmask);
}

void decode_q3_k(const block_q3_k& in, float* x) {
  const float d = in.d.get();
  for (int j = 0; j < sub_blocks; ++j) {
    const float scale = d * static_cast<float>(q3_scale_of(in.scales, j));
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
