// TQ1_0 and TQ2_0: three levels, -1, 0 and 1, and a half precision scale for 256 weights.
#include "codec/tq1_0_tq2_0.hpp"

#include "codec/q2_k_q3_k.hpp"
#include "codec/rounding.hpp"
#include "codec/scalar.hpp"
#include "codec/search.hpp"

namespace hartonomous::codecs {
namespace {

// Stores the scale and computes the levels 0..2, with the scale before it is rounded to half.
void choose(const float* x, stored_half& d, std::uint8_t* q) {
  const float scale = largest_magnitude(x, super_block);
  const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
  d.set(scale);
  for (int i = 0; i < super_block; ++i) q[i] = static_cast<std::uint8_t>(round_away_int8(x[i] * inverse) + 1);
}

void encode_tq1_0(const block_input& in, block_tq1_0& out) {
  using namespace tq1_0;
  std::uint8_t q[super_block];
  choose(in.x, out.d, q);
  for (const run& r : runs) {
    for (int m = 0; m < r.bytes; ++m) {
      unsigned number = 0;
      for (int n = 0; n < levels_in_byte; ++n) number = 3 * number + (n < r.levels ? q[r.first + n * r.bytes + m] : 0);
      out.qs[r.at + m] = byte_of(number);
    }
  }
}

void decode_tq1_0(const block_tq1_0& in, float* x) {
  using namespace tq1_0;
  const float d = in.d.get();
  for (const run& r : runs) {
    for (int n = 0; n < r.levels; ++n) {
      for (int m = 0; m < r.bytes; ++m) {
        const unsigned fraction = in.qs[r.at + m] * powers[n] & 255;
        x[r.first + n * r.bytes + m] = static_cast<float>(static_cast<int>(fraction * 3 >> 8) - 1) * d;
      }
    }
  }
}

void encode_tq2_0(const block_input& in, block_tq2_0& out) {
  std::uint8_t q[super_block];
  choose(in.x, out.d, q);
  q2_k_q3_k::pack_two_bits(q, out.qs);
}

void decode_tq2_0(const block_tq2_0& in, float* x) {
  const float d = in.d.get();
  for (int i = 0; i < super_block; ++i) {
    const int level = in.qs[i / 128 * 32 + i % 32] >> i / 32 % 4 * 2 & 3;
    x[i] = static_cast<float>(level - 1) * d;
  }
}

}  // namespace

const codec scalar_tq1_0 = {format::TQ1_0,
                            dequantize_run<block_tq1_0, super_block, decode_tq1_0>,
                            quantize_run<block_tq1_0, super_block, encode_tq1_0>,
                            1,
                            {52}};

const codec scalar_tq2_0 = {format::TQ2_0,
                            dequantize_run<block_tq2_0, super_block, decode_tq2_0>,
                            quantize_run<block_tq2_0, super_block, encode_tq2_0>,
                            1,
                            {64}};

}  // namespace hartonomous::codecs
