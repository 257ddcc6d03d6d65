// What the scalar codecs of Q2_K, Q4_K and Q5_K share: 256 weights in sub-blocks, each with a scale and a minimum that
// are multiples of the block's two half precision numbers.
#pragma once

#include <cstdint>

#include "codec/blocks.hpp"
#include "codec/rounding.hpp"
#include "codec/scalar.hpp"
#include "codec/search.hpp"

namespace hartonomous::codecs {

// The encoder's choices before packing.
template <int sub_block>
struct affine_levels {
  static constexpr int sub_blocks = super_block / sub_block;

  std::uint8_t q[super_block];
  std::uint8_t scale[sub_blocks];
  std::uint8_t minimum[sub_blocks];
  float d, dmin;  // before rounding to half
};

// `mean_square` is that of the block; importance_weights() needs it.
template <int sub_block>
void choose_by_importance(int top, int top_scale, float mean_square, const block_input& in,
                          affine_levels<sub_block>* to) {
  constexpr int sub_blocks = affine_levels<sub_block>::sub_blocks;
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

// Computes the levels again for the scales as stored. A sub-block whose stored scale is zero keeps its levels.
template <int sub_block>
void requantize(int top, const float* x, float d, float dmin, affine_levels<sub_block>* to) {
  for (int j = 0; j < affine_levels<sub_block>::sub_blocks; ++j) {
    const float scale = d * static_cast<float>(to->scale[j]);
    if (scale == 0.0f) continue;
    const float minimum = dmin * static_cast<float>(to->minimum[j]);
    for (int i = j * sub_block; i < (j + 1) * sub_block; ++i) {
      to->q[i] = static_cast<std::uint8_t>(clamp(nearest_int((x[i] + minimum) / scale), 0, top));
    }
  }
}

}  // namespace hartonomous::codecs
