// Q6_K: 256 weights in sixteen sub-blocks of 16, each with a signed 8-bit scale that is a multiple of the block's half
// precision number.
#include "codec/q6_k.hpp"

#include <cstdint>

#include "codec/scalar.hpp"

namespace hartonomous::codecs {
namespace {

using namespace q6_k;

// Computes the levels again for the scales as stored. A sub-block whose stored scale is zero keeps its levels.
void requantize(const float* x, float d, const std::int8_t* scales, std::int8_t* q) {
  for (int j = 0; j < sub_blocks; ++j) {
    const float scale = d * static_cast<float>(scales[j]);
    if (scale == 0.0f) continue;
    for (int i = j * sub_block; i < (j + 1) * sub_block; ++i) {
      q[i] = static_cast<std::int8_t>(half + clamp(nearest_int(x[i] / scale), -half, half - 1));
    }
  }
}

void encode_q6_k(const block_input& in, block_q6_k& out) {
  std::int8_t q[super_block];
  float scale[sub_blocks];
  for (int j = 0; j < sub_blocks; ++j) {
    const int at = j * sub_block;
    const float* w = in.importance != nullptr ? in.importance + at : nullptr;
    scale[j] = search_symmetric(half, sub_block, in.x + at, w, q + at);
  }
  if (!store_scales(scale, out)) return;
  requantize(in.x, out.d.get(), out.scales, q);
  pack_levels(q, out);
}

void decode_q6_k(const block_q6_k& in, float* x) {
  const float d = in.d.get();
  float scale[sub_blocks];
  for (int j = 0; j < sub_blocks; ++j) scale[j] = d * static_cast<float>(in.scales[j]);
  for (int n = 0; n < 2; ++n) {
    const std::uint8_t* ql = in.ql + 64 * n;
    const std::uint8_t* qh = in.qh + 32 * n;
    for (int quarter = 0; quarter < 4; ++quarter) {
      const std::uint8_t* low = ql + quarter % 2 * 32;
      const int low_shift = quarter / 2 * 4, high_shift = quarter * 2;
      for (int l = 0; l < 32; ++l) {
        const int q = ((low[l] >> low_shift) & 15) | ((qh[l] >> high_shift) & 3) << 4;
        *x++ = scale[8 * n + 2 * quarter + l / 16] * static_cast<float>(q - half);
      }
    }
  }
}

}  // namespace

const codec scalar_q6_k = {format::Q6_K,
                           dequantize_run<block_q6_k, super_block, decode_q6_k>,
                           quantize_run<block_q6_k, super_block, encode_q6_k>,
                           1,
                           {208}};

}  // namespace hartonomous::codecs
