// Q4_K and Q5_K: 256 weights in eight sub-blocks of 32, each with a scale and a minimum of 6 bits that are multiples of
// the block's two half precision numbers. The formats differ only in the fifth bit of the levels.
#include "codec/q4_k_q5_k.hpp"

#include <cmath>
#include <cstdint>

#include "codec/scalar.hpp"

namespace hartonomous::codecs {
namespace {

using namespace q4_k_q5_k;

// ---- choosing scales -------------------------------------------------------------------------------------------

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

// Stores everything but the levels; `out` is a block of either format.
template <class Block>
chosen encode_common(const affine_plan& plan, const block_input& in, Block& out) {
  chosen to;
  if (in.importance != nullptr) {
    const float mean_square = 2.0f * sum_of_squares(in.x, super_block) / static_cast<float>(super_block);
    choose_by_importance(plan.top, top_scale, mean_square, in, &to);
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

int upper_bits(const block_q4_k&, int, int) { return 0; }
int upper_bits(const block_q5_k& in, int l, int j) { return ((in.qh[l] >> j) & 1) << 4; }

// In both formats, sub-block j is in group j / 2: in the low nibbles if j is even, otherwise in the high ones.
template <class Block>
void decode_block(const Block& in, float* x) {
  const float d = in.d.get(), dmin = in.dmin.get();
  for (int j = 0; j < sub_blocks; ++j) {
    const float scale = d * static_cast<float>(scale_of(in.scales, j));
    const float minimum = dmin * static_cast<float>(minimum_of(in.scales, j));
    const std::uint8_t* qs = in.qs + j / 2 * 32;
    const int shift = j % 2 * 4;
    for (int l = 0; l < 32; ++l) {
      const int q = ((qs[l] >> shift) & 15) | upper_bits(in, l, j);
      *x++ = scale * static_cast<float>(q) - minimum;
    }
  }
}

}  // namespace

const codec scalar_q4_k = {format::Q4_K,
                           dequantize_run<block_q4_k, super_block, decode_block<block_q4_k>>,
                           quantize_run<block_q4_k, super_block, encode_q4_k>,
                           2,
                           {0, 2}};
const codec scalar_q5_k = {format::Q5_K,
                           dequantize_run<block_q5_k, super_block, decode_block<block_q5_k>>,
                           quantize_run<block_q5_k, super_block, encode_q5_k>,
                           2,
                           {0, 2}};

}  // namespace hartonomous::codecs
