// The formats as grids (grid.hpp), and blocks made of what the quantizer has chosen.
#include "hessian/grid.hpp"

#include <cstring>

#include "codec/blocks.hpp"
#include "codec/iq4_nl_iq4_xs.hpp"
#include "codec/q2_k_q3_k.hpp"
#include "codec/q4_k_q5_k.hpp"
#include "codec/q6_k.hpp"
#include "codec/short_blocks.hpp"

namespace hartonomous::hessian_detail {
namespace {

using namespace codecs;

// Levels as stored, which are never negative.
template <int count>
struct stored_levels {
  std::uint8_t q[count];

  stored_levels(const std::int8_t* levels, int least) {
    for (int i = 0; i < count; ++i) q[i] = static_cast<std::uint8_t>(levels[i] - least);
  }
};

void pack_q2_k(const std::int8_t* levels, const std::int8_t* scales, const std::int8_t* minima, float d, float dmin,
               std::byte* out) {
  auto& to = *reinterpret_cast<block_q2_k*>(out);
  to.d.set(d);
  to.dmin.set(dmin);
  for (int j = 0; j < q2_k_q3_k::sub_blocks; ++j) to.scales[j] = static_cast<std::uint8_t>(scales[j] | minima[j] << 4);
  q2_k_q3_k::pack_two_bits(levels, to.qs);
}

void pack_q3_k(const std::int8_t* levels, const std::int8_t* scales, const std::int8_t*, float d, float,
               std::byte* out) {
  auto& to = *reinterpret_cast<block_q3_k*>(out);
  to.d.set(d);
  std::int8_t stored[q2_k_q3_k::sub_blocks];
  for (int j = 0; j < q2_k_q3_k::sub_blocks; ++j) {
    stored[j] = static_cast<std::int8_t>(scales[j] + q2_k_q3_k::q3_half_scale);
  }
  q2_k_q3_k::q3_pack_scales(stored, to.scales);
  std::int8_t q[super_block];
  for (int i = 0; i < super_block; ++i) q[i] = static_cast<std::int8_t>(levels[i] + q2_k_q3_k::q3_half);
  q2_k_q3_k::pack_two_bits(q, to.qs);
  q2_k_q3_k::q3_pack_third_bits(q, to.hmask);
}

// What Q4_K and Q5_K have in common.
template <class Block>
q4_k_q5_k::chosen pack_scales(const std::int8_t* levels, const std::int8_t* scales, const std::int8_t* minima, float d,
                              float dmin, Block& to) {
  to.d.set(d);
  to.dmin.set(dmin);
  q4_k_q5_k::chosen chosen;
  for (int j = 0; j < q4_k_q5_k::sub_blocks; ++j) {
    chosen.scale[j] = static_cast<std::uint8_t>(scales[j]);
    chosen.minimum[j] = static_cast<std::uint8_t>(minima[j]);
  }
  std::memcpy(chosen.q, levels, super_block);
  q4_k_q5_k::pack_scales(chosen, to.scales);
  q4_k_q5_k::pack_nibbles(chosen.q, to.qs);
  return chosen;
}

void pack_q4_k(const std::int8_t* levels, const std::int8_t* scales, const std::int8_t* minima, float d, float dmin,
               std::byte* out) {
  pack_scales(levels, scales, minima, d, dmin, *reinterpret_cast<block_q4_k*>(out));
}

void pack_q5_k(const std::int8_t* levels, const std::int8_t* scales, const std::int8_t* minima, float d, float dmin,
               std::byte* out) {
  auto& to = *reinterpret_cast<block_q5_k*>(out);
  const q4_k_q5_k::chosen chosen = pack_scales(levels, scales, minima, d, dmin, to);
  q4_k_q5_k::pack_fifth_bits(chosen.q, to.qh);
}

void pack_q6_k(const std::int8_t* levels, const std::int8_t* scales, const std::int8_t*, float d, float,
               std::byte* out) {
  auto& to = *reinterpret_cast<block_q6_k*>(out);
  to.d.set(d);
  std::memcpy(to.scales, scales, q6_k::sub_blocks);
  std::int8_t q[super_block];
  for (int i = 0; i < super_block; ++i) q[i] = static_cast<std::int8_t>(levels[i] + q6_k::half);
  q6_k::pack_levels(q, to);
}

// Q4_0, Q4_1, Q5_0, Q5_1: the least level becomes 0.
template <class Block, int least, bool offset, bool five_bits>
void pack_short(const std::int8_t* levels, const std::int8_t*, const std::int8_t*, float d, float m, std::byte* out) {
  auto& to = *reinterpret_cast<Block*>(out);
  to.d.set(d);
  if constexpr (offset) to.m.set(m);
  const stored_levels<short_block> stored(levels, least);
  pack_short_nibbles(stored.q, to.qs);
  if constexpr (five_bits) pack_short_fifth_bits(stored.q, to.qh);
}

void pack_q8_0(const std::int8_t* levels, const std::int8_t*, const std::int8_t*, float d, float, std::byte* out) {
  auto& to = *reinterpret_cast<block_q8_0*>(out);
  to.d.set(d);
  std::memcpy(to.qs, levels, short_block);
}

// The position of each level's value.
void uneven_positions(const std::int8_t* levels, int count, std::uint8_t* q) {
  for (int i = 0; i < count; ++i) {
    q[i] = 0;
    while (uneven_values[q[i]] != levels[i]) ++q[i];
  }
}

void pack_iq4_nl(const std::int8_t* levels, const std::int8_t*, const std::int8_t*, float d, float, std::byte* out) {
  auto& to = *reinterpret_cast<block_iq4_nl*>(out);
  to.d.set(d);
  std::uint8_t q[short_block];
  uneven_positions(levels, short_block, q);
  pack_short_nibbles(q, to.qs);
}

// Levels as in eight blocks of IQ4_NL.
void pack_iq4_xs(const std::int8_t* levels, const std::int8_t* scales, const std::int8_t*, float d, float,
                 std::byte* out) {
  auto& to = *reinterpret_cast<block_iq4_xs*>(out);
  to.d.set(d);
  iq4_xs::pack_scales(scales, to);
  std::uint8_t q[super_block];
  uneven_positions(levels, super_block, q);
  for (int j = 0; j < iq4_xs::sub_blocks; ++j) pack_short_nibbles(q + 32 * j, to.qs + 16 * j);
}

}  // namespace

const grid* find_grid(format f) noexcept {
  static constexpr grid all[] = {
      {format::Q2_K, 256, 16, true, true, false, 0, 3, 0, 15, 15, 0.1f, 0, sizeof(block_q2_k), pack_q2_k},
      {format::Q3_K, 256, 16, false, true, false, -4, 3, -32, 31, 0, 0.1f, 0, sizeof(block_q3_k), pack_q3_k},
      {format::Q4_K, 256, 32, true, true, false, 0, 15, 0, 63, 63, 0.1f, 0, sizeof(block_q4_k), pack_q4_k},
      {format::Q5_K, 256, 32, true, true, false, 0, 31, 0, 63, 63, 0.1f, 0, sizeof(block_q5_k), pack_q5_k},
      {format::Q6_K, 256, 16, false, true, false, -32, 31, -128, 127, 0, 0.1f, 0, sizeof(block_q6_k), pack_q6_k},
      {format::Q4_0, 32, 32, false, false, false, -8, 7, 1, 1, 0, 0.1f, 0.02f, sizeof(block_q4_0),
       pack_short<block_q4_0, -8, false, false>},
      {format::Q4_1, 32, 32, true, false, false, 0, 15, 1, 1, 0, 0.1f, 0.015f, sizeof(block_q4_1),
       pack_short<block_q4_1, 0, true, false>},
      {format::Q5_0, 32, 32, false, false, false, -16, 15, 1, 1, 0, 0.1f, 0.01f, sizeof(block_q5_0),
       pack_short<block_q5_0, -16, false, true>},
      {format::Q5_1, 32, 32, true, false, false, 0, 31, 1, 1, 0, 0.1f, 0.008f, sizeof(block_q5_1),
       pack_short<block_q5_1, 0, true, true>},
      {format::Q8_0, 32, 32, false, false, false, -127, 127, 1, 1, 0, 0.1f, 0.002f, sizeof(block_q8_0), pack_q8_0},
      {format::IQ4_NL, 32, 32, false, false, true, -127, 113, 1, 1, 0, 1.0f, 0.015f, sizeof(block_iq4_nl), pack_iq4_nl},
      {format::IQ4_XS, 256, 32, false, true, true, -127, 113, -32, 31, 0, 1.0f, 0, sizeof(block_iq4_xs), pack_iq4_xs},
  };
  for (const grid& one : all) {
    if (one.id == f) return &one;
  }
  return nullptr;
}

}  // namespace hartonomous::hessian_detail
