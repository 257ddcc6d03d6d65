// Q1_0 and Q2_0: one bit, a sign, for each of 128 weights, and two bits for each of 64; one half precision scale.
#include <cmath>

#include "codec/rounding.hpp"
#include "codec/scalar.hpp"
#include "codec/search.hpp"

namespace hartonomous::codecs {
namespace {

// The scale is the mean of the magnitudes.
void encode_q1_0(const block_input& in, block_q1_0& out) {
  float total = 0.0f;
  for (int i = 0; i < sign_block; ++i) total += std::fabs(in.x[i]);
  out.d.set(total / static_cast<float>(sign_block));
  for (int byte = 0; byte < sign_block / 8; ++byte) {
    unsigned bits = 0;
    for (int i = 0; i < 8; ++i) bits |= (in.x[8 * byte + i] >= 0.0f ? 1u : 0u) << i;
    out.qs[byte] = static_cast<std::uint8_t>(bits);
  }
}

void decode_q1_0(const block_q1_0& in, float* x) {
  const float d = in.d.get();
  for (int i = 0; i < sign_block; ++i) x[i] = (in.qs[i / 8] >> i % 8 & 1) != 0 ? d : -d;
}

// The scale is the largest magnitude, so that level 3 never occurs. If the scale is so small that it has no reciprocal,
// numbers that become infinite or NaN get level 0, as in ggml on x86; the scale is then zero as a half.
int two_bit_level(float scaled) { return std::fabs(scaled) < 128.0f ? round_away_int8(scaled) + 1 : 0; }

void encode_q2_0(const block_input& in, block_q2_0& out) {
  const float d = largest_magnitude(in.x, two_bit_block);
  const float inverse = d > 0.0f ? 1.0f / d : 0.0f;
  out.d.set(d);
  for (int byte = 0; byte < two_bit_block / 4; ++byte) {
    int bits = 0;
    for (int i = 0; i < 4; ++i) bits |= two_bit_level(in.x[4 * byte + i] * inverse) << 2 * i;
    out.qs[byte] = static_cast<std::uint8_t>(bits);
  }
}

void decode_q2_0(const block_q2_0& in, float* x) {
  const float d = in.d.get();
  for (int i = 0; i < two_bit_block; ++i) x[i] = static_cast<float>((in.qs[i / 4] >> i % 4 * 2 & 3) - 1) * d;
}

}  // namespace

const codec scalar_q1_0 = {format::Q1_0,
                           dequantize_run<block_q1_0, sign_block, decode_q1_0>,
                           quantize_run<block_q1_0, sign_block, encode_q1_0>,
                           1,
                           {0}};

const codec scalar_q2_0 = {format::Q2_0,
                           dequantize_run<block_q2_0, two_bit_block, decode_q2_0>,
                           quantize_run<block_q2_0, two_bit_block, encode_q2_0>,
                           1,
                           {0}};

}  // namespace hartonomous::codecs
