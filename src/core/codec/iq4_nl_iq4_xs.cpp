// IQ4_NL and IQ4_XS: unevenly spaced levels. IQ4_NL has a half precision scale for each 32 weights, IQ4_XS one for 256
// weights, in eight sub-blocks of 32, each with a 6-bit scale that is a multiple of the block's.
#include "codec/iq4_nl_iq4_xs.hpp"

#include <cmath>

#include "codec/scalar.hpp"
#include "codec/search.hpp"

namespace hartonomous::codecs {
namespace {

// The weight of largest magnitude of a sub-block, the first of equals; 0 if all are negligible.
float extreme_of(const float* x) {
  float magnitude = 0.0f, extreme = 0.0f;
  for (int j = 0; j < short_block; ++j) {
    if (std::fabs(x[j]) > magnitude) {
      magnitude = std::fabs(x[j]);
      extreme = x[j];
    }
  }
  return magnitude < negligible ? 0.0f : extreme;
}

int uneven_level(float scaled) {
  int level = 0;
  for (const float middle : uneven_middles) level += scaled < middle ? 0 : 1;  // the highest one for NaN
  return level;
}

// Sums of w v x and w v^2 over the values v of the levels; their quotient is the best scale.
struct uneven_sums {
  float vx = 0.0f, v2 = 0.0f;

  uneven_sums(float inverse, const float* x, const float* w) {
    for (int j = 0; j < short_block; ++j) {
      const float v = static_cast<float>(uneven_values[uneven_level(inverse * x[j])]);
      vx += w[j] * v * x[j];
      v2 += w[j] * v * v;
    }
  }
};

// Tries the scale that maps the extreme weight to 127, then those that map it to -134, -133, ... -120.
float search_scale(float extreme, const float* x, const float* w) {
  const constexpr auto lowest = static_cast<float>(uneven_values[0]);
  const uneven_sums first(1.0f / (-extreme / lowest), x, w);
  float scale = first.v2 > 0.0f ? first.vx / first.v2 : 0.0f;
  float gain = scale * first.vx;
  for (int t = -uneven_trials; t <= uneven_trials; ++t) {
    const uneven_sums sums(static_cast<float>(t + uneven_values[0]) / extreme, x, w);
    if (sums.v2 > 0.0f && sums.vx * sums.vx > gain * sums.v2) {
      scale = sums.vx / sums.v2;
      gain = scale * sums.vx;
    }
  }
  return scale;
}

// The best scale of 32 weights of a block with that mean square (times two); 0 if all are negligible.
float best_scale(const float* x, const float* importance, float mean_square) {
  const float extreme = extreme_of(x);
  if (extreme == 0.0f) return 0.0f;
  float w[short_block];
  if (importance != nullptr) {
    importance_weights(x, importance, mean_square, short_block, w);
  } else {
    for (int j = 0; j < short_block; ++j) w[j] = x[j] * x[j];
  }
  return search_scale(extreme, x, w);
}

void store_levels(const float* x, float inverse, std::uint8_t* qs) {
  for (int j = 0; j < 16; ++j) {
    const int low = uneven_level(inverse * x[j]), high = uneven_level(inverse * x[j + 16]);
    qs[j] = static_cast<std::uint8_t>(low | high << 4);
  }
}

void load_weights(const std::uint8_t* qs, float scale, float* x) {
  for (int j = 0; j < 16; ++j) {
    x[j] = scale * static_cast<float>(uneven_values[qs[j] & 15]);
    x[j + 16] = scale * static_cast<float>(uneven_values[qs[j] >> 4]);
  }
}

// ---- IQ4_NL ----------------------------------------------------------------------------------------------------

void encode_iq4_nl(const block_input& in, block_iq4_nl& out) {
  const float mean_square = sum_of_squares(in.x, short_block) * uneven_square_share<short_block>;
  const float scale = best_scale(in.x, in.importance, mean_square);
  out.d.set(scale);
  store_levels(in.x, scale != 0.0f ? 1.0f / scale : 0.0f, out.qs);
}

void decode_iq4_nl(const block_iq4_nl& in, float* x) { load_weights(in.qs, in.d.get(), x); }

// ---- IQ4_XS ----------------------------------------------------------------------------------------------------

void encode_iq4_xs(const block_input& in, block_iq4_xs& out) {
  using namespace iq4_xs;
  const float mean_square = sum_of_squares(in.x, super_block) * uneven_square_share<super_block>;
  float scale[sub_blocks], inverse[sub_blocks];
  for (int j = 0; j < sub_blocks; ++j) {
    const int at = j * sub_block;
    scale[j] = best_scale(in.x + at, in.importance != nullptr ? in.importance + at : nullptr, mean_square);
  }
  store_scales(scale, out, inverse);
  for (int j = 0; j < sub_blocks; ++j) store_levels(in.x + j * sub_block, inverse[j], out.qs + j * 16);
}

void decode_iq4_xs(const block_iq4_xs& in, float* x) {
  using namespace iq4_xs;
  const float d = in.d.get();
  for (int j = 0; j < sub_blocks; ++j) load_weights(in.qs + j * 16, d * scale_of(in, j), x + j * sub_block);
}

}  // namespace

const codec scalar_iq4_nl = {format::IQ4_NL,
                             dequantize_run<block_iq4_nl, short_block, decode_iq4_nl>,
                             quantize_run<block_iq4_nl, short_block, encode_iq4_nl>,
                             1,
                             {0}};

const codec scalar_iq4_xs = {format::IQ4_XS,
                             dequantize_run<block_iq4_xs, super_block, decode_iq4_xs>,
                             quantize_run<block_iq4_xs, super_block, encode_iq4_xs>,
                             1,
                             {0}};

}  // namespace hartonomous::codecs
