// MXFP4 and NVFP4: levels that are numbers of four bits themselves, with scales of one byte for 32 and 16 weights.
#include "codec/mxfp4_nvfp4.hpp"

#include <cmath>

#include "codec/scalar.hpp"
#include "codec/search.hpp"

namespace hartonomous::codecs {
namespace {

// The first of the levels whose weights are nearest to x. Differences are floats: far above the largest value several
// are equal, and the first of them is the result.
int nearest_level(float x, float scale) {
  int nearest = 0;
  float least = std::fabs(static_cast<float>(fp4_values[0]) * scale - x);
  for (int level = 1; level < 16; ++level) {
    const float difference = std::fabs(static_cast<float>(fp4_values[level]) * scale - x);
    if (difference < least) {
      nearest = level;
      least = difference;
    }
  }
  return nearest;
}

// The low nibbles hold the first half of the weights, the high ones the second.
template <int Weights>
void store_levels(const float* x, float scale, std::uint8_t* qs) {
  for (int j = 0; j < Weights / 2; ++j) {
    qs[j] = static_cast<std::uint8_t>(nearest_level(x[j], scale) | nearest_level(x[j + Weights / 2], scale) << 4);
  }
}

template <int Weights>
void load_weights(const std::uint8_t* qs, float scale, float* x) {
  for (int j = 0; j < Weights / 2; ++j) {
    x[j] = static_cast<float>(fp4_values[qs[j] & 15]) * scale;
    x[j + Weights / 2] = static_cast<float>(fp4_values[qs[j] >> 4]) * scale;
  }
}

void encode_mxfp4(const block_input& in, block_mxfp4& out) {
  out.e = mxfp4::exponent_for(largest_magnitude(in.x, short_block));
  store_levels<short_block>(in.x, mxfp4::scale_of(out.e), out.qs);
}

void decode_mxfp4(const block_mxfp4& in, float* x) { load_weights<short_block>(in.qs, mxfp4::scale_of(in.e), x); }

void encode_nvfp4(const block_input& in, block_nvfp4& out) {
  using namespace nvfp4;
  for (int s = 0; s < sub_blocks; ++s) {
    const float* x = in.x + s * sub_block;
    out.scales[s] = nearest_scale(largest_magnitude(x, sub_block) / 6.0f);
    store_levels<sub_block>(x, scale_of(out.scales[s]), out.qs + s * sub_block / 2);
  }
}

void decode_nvfp4(const block_nvfp4& in, float* x) {
  using namespace nvfp4;
  for (int s = 0; s < sub_blocks; ++s) {
    load_weights<sub_block>(in.qs + s * sub_block / 2, scale_of(in.scales[s]), x + s * sub_block);
  }
}

}  // namespace

const codec scalar_mxfp4 = {format::MXFP4,
                            dequantize_run<block_mxfp4, short_block, decode_mxfp4>,
                            quantize_run<block_mxfp4, short_block, encode_mxfp4>,
                            0,
                            {}};

const codec scalar_nvfp4 = {format::NVFP4,
                            dequantize_run<block_nvfp4, nvfp4::block, decode_nvfp4>,
                            quantize_run<block_nvfp4, nvfp4::block, encode_nvfp4>,
                            0,
                            {}};

}  // namespace hartonomous::codecs
