// IQ4_NL: blocks of 32 weights with one half precision scale and unevenly spaced levels.
#include "codec/iq4_nl.hpp"

#include <cmath>

#include "codec/scalar.hpp"
#include "codec/search.hpp"

namespace hartonomous::codecs {
namespace {

// The weight of largest magnitude, the first of equals; 0 if all are negligible.
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
float search_uneven(float extreme, const float* x, const float* w) {
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

void encode_iq4_nl(const block_input& in, block_iq4_nl& out) {
  float w[short_block];
  if (in.importance != nullptr) {
    const float mean_square = sum_of_squares(in.x, short_block) * uneven_square_share;
    importance_weights(in.x, in.importance, mean_square, short_block, w);
  } else {
    for (int j = 0; j < short_block; ++j) w[j] = in.x[j] * in.x[j];
  }
  const float extreme = extreme_of(in.x);
  const float scale = extreme != 0.0f ? search_uneven(extreme, in.x, w) : 0.0f;
  const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
  out.d.set(scale);
  for (int j = 0; j < 16; ++j) {
    const int low = uneven_level(inverse * in.x[j]), high = uneven_level(inverse * in.x[j + 16]);
    out.qs[j] = static_cast<std::uint8_t>(low | high << 4);
  }
}

void decode_iq4_nl(const block_iq4_nl& in, float* x) {
  const float d = in.d.get();
  for (int j = 0; j < 16; ++j) {
    x[j] = d * static_cast<float>(uneven_values[in.qs[j] & 15]);
    x[j + 16] = d * static_cast<float>(uneven_values[in.qs[j] >> 4]);
  }
}

}  // namespace

const codec scalar_iq4_nl = {format::IQ4_NL,
                             dequantize_run<block_iq4_nl, short_block, decode_iq4_nl>,
                             quantize_run<block_iq4_nl, short_block, encode_iq4_nl>,
                             1,
                             {0, 2}};

}  // namespace hartonomous::codecs
