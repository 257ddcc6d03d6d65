// Q8_0, Q4_0, Q4_1, Q5_0, Q5_1: blocks of 32 weights with one half precision scale, and an offset in the _1 formats.
#include <cfloat>
#include <cmath>
#include <cstdint>

#include "codec/rounding.hpp"
#include "codec/scalar.hpp"
#include "codec/search.hpp"
#include "codec/short_blocks.hpp"

namespace hartonomous::codecs {
namespace {

// Like the reference, levels are chosen with the scale before it is rounded to half.
float reciprocal_or_zero(float d) { return d != 0.0f ? 1.0f / d : 0.0f; }

// ---- bytes to levels -------------------------------------------------------------------------------------------

int nibble(const std::uint8_t* qs, int weight) { return weight < 16 ? qs[weight] & 15 : qs[weight - 16] >> 4; }

int fifth_bit(const std::uint8_t* qh, int weight) { return ((qh[weight / 8] >> (weight % 8)) & 1) << 4; }

// ---- scales without importance ---------------------------------------------------------------------------------

// The scale for which the value of largest magnitude (the first of equals) gets the level -half; it may be negative.
float symmetric_scale(const float* x, int half) {
  float magnitude = 0.0f, extreme = 0.0f;
  for (int j = 0; j < short_block; ++j) {
    if (magnitude < std::fabs(x[j])) {
      magnitude = std::fabs(x[j]);
      extreme = x[j];
    }
  }
  return extreme / static_cast<float>(-half);
}

void symmetric_levels(const float* x, float d, int half, std::uint8_t* q) {
  const float inverse = reciprocal_or_zero(d);
  const float shift = static_cast<float>(half) + 0.5f;
  for (int j = 0; j < short_block; ++j) {
    q[j] = static_cast<std::uint8_t>(truncate_level(x[j] * inverse + shift, 2u * static_cast<unsigned>(half) - 1u));
  }
}

// Scale and offset that map the range of the block onto 0..top.
affine_fit range_fit(const float* x, int top, std::uint8_t* q) {
  float low = FLT_MAX, high = -FLT_MAX;
  for (int j = 0; j < short_block; ++j) {
    if (x[j] < low) low = x[j];
    if (x[j] > high) high = x[j];
  }
  const float d = (high - low) / static_cast<float>(top);
  const float inverse = reciprocal_or_zero(d);
  for (int j = 0; j < short_block; ++j) {
    q[j] = static_cast<std::uint8_t>(truncate_level((x[j] - low) * inverse + 0.5f, static_cast<unsigned>(top)));
  }
  return {d, -low};
}

// ---- with or without importance --------------------------------------------------------------------------------

float symmetric_fit(const block_input& in, int half, std::uint8_t* q) {
  if (in.importance == nullptr) {
    const float d = symmetric_scale(in.x, half);
    symmetric_levels(in.x, d, half, q);
    return d;
  }
  float w[short_block];
  std::int8_t levels[short_block];
  importance_weights(in.x, in.importance, in.row_mean_square, short_block, w);
  const float d = search_symmetric(half, short_block, in.x, w, levels);
  for (int j = 0; j < short_block; ++j) q[j] = static_cast<std::uint8_t>(levels[j]);
  return d;
}

affine_fit best_affine_fit(const block_input& in, int top, std::uint8_t* q) {
  if (in.importance == nullptr) return range_fit(in.x, top, q);
  float w[short_block];
  importance_weights(in.x, in.importance, in.row_mean_square, short_block, w);
  return search_affine(importance_plan(top), short_block, in.x, w, q);
}

// ---- blocks ----------------------------------------------------------------------------------------------------

void encode_q8_0(const block_input& in, block_q8_0& out) {
  const float d = largest_magnitude(in.x, short_block) / 127.0f;
  const float inverse = reciprocal_or_zero(d);
  out.d.set(d);
  for (int j = 0; j < short_block; ++j) out.qs[j] = round_away_int8(in.x[j] * inverse);
}

void decode_q8_0(const block_q8_0& in, float* x) {
  const float d = in.d.get();
  for (int j = 0; j < short_block; ++j) x[j] = static_cast<float>(in.qs[j]) * d;
}

void encode_q4_0(const block_input& in, block_q4_0& out) {
  std::uint8_t q[short_block];
  out.d.set(symmetric_fit(in, 8, q));
  pack_short_nibbles(q, out.qs);
}

void decode_q4_0(const block_q4_0& in, float* x) {
  const float d = in.d.get();
  for (int j = 0; j < short_block; ++j) x[j] = static_cast<float>(nibble(in.qs, j) - 8) * d;
}

void encode_q4_1(const block_input& in, block_q4_1& out) {
  std::uint8_t q[short_block];
  const affine_fit fit = best_affine_fit(in, 15, q);
  out.d.set(fit.scale);
  out.m.set(-fit.minimum);
  pack_short_nibbles(q, out.qs);
}

void decode_q4_1(const block_q4_1& in, float* x) {
  const float d = in.d.get(), m = in.m.get();
  for (int j = 0; j < short_block; ++j) x[j] = static_cast<float>(nibble(in.qs, j)) * d + m;
}

void encode_q5_0(const block_input& in, block_q5_0& out) {
  std::uint8_t q[short_block];
  out.d.set(symmetric_fit(in, 16, q));
  pack_short_nibbles(q, out.qs);
  pack_short_fifth_bits(q, out.qh);
}

void decode_q5_0(const block_q5_0& in, float* x) {
  const float d = in.d.get();
  for (int j = 0; j < short_block; ++j) {
    x[j] = static_cast<float>((nibble(in.qs, j) | fifth_bit(in.qh, j)) - 16) * d;
  }
}

void encode_q5_1(const block_input& in, block_q5_1& out) {
  std::uint8_t q[short_block];
  const affine_fit fit = best_affine_fit(in, 31, q);
  out.d.set(fit.scale);
  out.m.set(-fit.minimum);
  pack_short_nibbles(q, out.qs);
  pack_short_fifth_bits(q, out.qh);
}

void decode_q5_1(const block_q5_1& in, float* x) {
  const float d = in.d.get(), m = in.m.get();
  for (int j = 0; j < short_block; ++j) x[j] = static_cast<float>(nibble(in.qs, j) | fifth_bit(in.qh, j)) * d + m;
}

template <class Block, void (*Decode)(const Block&, float*), void (*Encode)(const block_input&, Block&)>
constexpr codec short_codec(format id, std::uint32_t scales) {
  return {id, dequantize_run<Block, short_block, Decode>, quantize_run<Block, short_block, Encode>, scales, {0, 2}};
}

}  // namespace

const codec scalar_q8_0 = short_codec<block_q8_0, decode_q8_0, encode_q8_0>(format::Q8_0, 1);
const codec scalar_q4_0 = short_codec<block_q4_0, decode_q4_0, encode_q4_0>(format::Q4_0, 1);
const codec scalar_q4_1 = short_codec<block_q4_1, decode_q4_1, encode_q4_1>(format::Q4_1, 2);
const codec scalar_q5_0 = short_codec<block_q5_0, decode_q5_0, encode_q5_0>(format::Q5_0, 1);
const codec scalar_q5_1 = short_codec<block_q5_1, decode_q5_1, encode_q5_1>(format::Q5_1, 2);

}  // namespace hartonomous::codecs
