// The blocks of the formats, byte for byte. Every structure has alignment 1, so that a block may be at any address.
//
// q is the stored level of a weight, d the scale of a block. A "sub-block" of the K formats is 32 (Q4_K, Q5_K) or 16
// (Q2_K, Q3_K, Q6_K) consecutive weights with their own scale, which is stored as a small integer.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hartonomous/half.hpp"

namespace hartonomous::codecs {

// A half precision number, little-endian.
struct stored_half {
  std::uint8_t bytes[2];

  float get() const noexcept { return f16_to_f32(static_cast<std::uint16_t>(bytes[0] | bytes[1] << 8)); }
  void set(float value) noexcept {
    const std::uint16_t half = f32_to_f16(value);
    bytes[0] = static_cast<std::uint8_t>(half);
    bytes[1] = static_cast<std::uint8_t>(half >> 8);
  }
};

// 32 weights per block. `qs` byte j: low nibble weight j, high nibble weight j + 16. `qh` bit i (little-endian): fifth
// bit of weight i.
inline constexpr int short_block = 32;

struct block_q8_0 {  // x = d * q
  stored_half d;
  std::int8_t qs[32];
};
struct block_q4_0 {  // x = d * (q - 8)
  stored_half d;
  std::uint8_t qs[16];
};
struct block_q4_1 {  // x = d * q + m
  stored_half d;
  stored_half m;
  std::uint8_t qs[16];
};
struct block_q5_0 {  // x = d * (q - 16)
  stored_half d;
  std::uint8_t qh[4];
  std::uint8_t qs[16];
};
struct block_q5_1 {  // x = d * q + m
  stored_half d;
  stored_half m;
  std::uint8_t qh[4];
  std::uint8_t qs[16];
};
struct block_iq4_nl {  // x = d * (value of level q): see iq4_nl_iq4_xs.hpp
  stored_half d;
  std::uint8_t qs[16];
};

// 256 weights per block.
inline constexpr int super_block = 256;

// x = (d * scale) * q - (dmin * min). scales[s]: low nibble scale, high nibble min of sub-block s. Two bits per weight:
// byte l of half n (128 weights, 32 bytes) holds weights l, l + 32, l + 64, l + 96 of that half, lowest bits first.
struct block_q2_k {
  std::uint8_t scales[16];
  std::uint8_t qs[64];
  stored_half d;
  stored_half dmin;
};

// x = d * (scale - 32) * (q - 4). The lower two bits of q are as in Q2_K; the third bit of weight w is bit w / 32 of
// hmask[w % 32]. Sixteen scales of 6 bits: see q3_pack_scales in q2_k_q3_k.hpp.
struct block_q3_k {
  std::uint8_t hmask[32];
  std::uint8_t qs[64];
  std::uint8_t scales[12];
  stored_half d;
};

// x = (d * scale) * q - (dmin * min), eight sub-blocks, 6 bits for each scale and min: see pack_scales in
// q4_k_q5_k.hpp. Nibbles: byte l of group g (64 weights, 32 bytes): low weight l, high weight l + 32 of that group.
struct block_q4_k {
  stored_half d;
  stored_half dmin;
  std::uint8_t scales[12];
  std::uint8_t qs[128];
};
// Like Q4_K. The fifth bit of weight l of group g is bit 2g of qh[l], that of weight l + 32 is bit 2g + 1.
struct block_q5_k {
  stored_half d;
  stored_half dmin;
  std::uint8_t scales[12];
  std::uint8_t qh[32];
  std::uint8_t qs[128];
};

// x = d * scale * (q - 32). In each half (128 weights; 64 bytes of ql, 32 of qh), for l = 0..31: ql[l] holds the low
// nibbles of weights l and l + 64, ql[l + 32] those of l + 32 and l + 96; qh[l] the upper two bits of weights
// l, l + 32, l + 64, l + 96, lowest bits first.
struct block_q6_k {
  std::uint8_t ql[128];
  std::uint8_t qh[64];
  std::int8_t scales[16];
  stored_half d;
};

// x = d * (scale - 32) * (value of level q: see iq4_nl_iq4_xs.hpp), eight sub-blocks, 6 bits for each scale: the lower
// four of sub-blocks 2i (low nibble) and 2i + 1 are in scales_l[i], the upper two of sub-block j are bits 2j and 2j + 1
// of scales_h (little-endian). Byte l of sub-block j (16 bytes): low nibble weight l, high nibble weight l + 16.
struct block_iq4_xs {
  stored_half d;
  std::uint8_t scales_h[2];
  std::uint8_t scales_l[4];
  std::uint8_t qs[128];
};

// The formats that round groups of weights to points of a grid: grids.hpp says how indexes, signs and scales are
// stored.
struct block_iq2_xxs {  // for each 32 weights 4 indexes, then 4 times 7 signs and a scale in 32 bits
  stored_half d;
  std::uint8_t qs[64];
};
struct block_iq2_xs {  // for each 8 weights an index of 9 bits and 7 signs; for each 16 a scale of 4 bits
  stored_half d;
  std::uint8_t qs[64];
  std::uint8_t scales[8];
};
struct block_iq2_s {  // for each 8 weights an index of 10 bits, the upper two in qh, and 8 signs
  stored_half d;
  std::uint8_t qs[32];
  std::uint8_t signs[32];
  std::uint8_t qh[8];
  std::uint8_t scales[8];
};
struct block_iq3_xxs {  // for each 4 weights an index; signs and scales as in IQ2_XXS
  stored_half d;
  std::uint8_t qs[64];
  std::uint8_t signs_and_scales[32];
};
struct block_iq3_s {  // for each 4 weights an index of 9 bits, the uppermost in qh; for each 32 a scale of 4 bits
  stored_half d;
  std::uint8_t qs[64];
  std::uint8_t qh[8];
  std::uint8_t signs[32];
  std::uint8_t scales[4];
};
struct block_iq1_s {  // for each 8 weights an index of 11 bits; for each 32 a scale of 3 bits and the sign of the shift
  stored_half d;
  std::uint8_t qs[32];
  std::uint8_t qh[16];
};
struct block_iq1_m {  // for each 8 weights an index of 11 bits and the sign of the shift; for each 16 a scale of 3 bits
  std::uint8_t qs[32];
  std::uint8_t qh[16];
  std::uint8_t scales[8];
};

// x = d * (value of level q: see mxfp4_nvfp4.hpp), d = 2^(e - 128). Nibbles as in Q4_0.
struct block_mxfp4 {
  std::uint8_t e;
  std::uint8_t qs[16];
};

// 64 weights in four sub-blocks of 16, each with a scale of 8 bits; the values of the levels are those of MXFP4. Byte j
// of sub-block s (8 bytes): low nibble weight j, high nibble weight j + 8.
struct block_nvfp4 {
  std::uint8_t scales[4];
  std::uint8_t qs[32];
};

// 256 weights, x = d * (q - 1) with q in 0..2. A byte holds five levels, each of the last four bytes four of them: see
// tq1_0_tq2_0.hpp.
struct block_tq1_0 {
  std::uint8_t qs[52];
  stored_half d;
};

// x = d * (q - 1), two bits per weight as in Q2_K.
struct block_tq2_0 {
  std::uint8_t qs[64];
  stored_half d;
};

// 128 weights, x = d where bit i of `qs` (little-endian) is set, else -d.
inline constexpr int sign_block = 128;
struct block_q1_0 {
  stored_half d;
  std::uint8_t qs[16];
};

// 64 weights, x = d * (q - 1). Byte j holds weights 4j to 4j + 3, two bits each, lowest bits first.
inline constexpr int two_bit_block = 64;
struct block_q2_0 {
  stored_half d;
  std::uint8_t qs[16];
};

static_assert(sizeof(block_q8_0) == 34 && alignof(block_q8_0) == 1);
static_assert(sizeof(block_q4_0) == 18 && alignof(block_q4_0) == 1);
static_assert(sizeof(block_q4_1) == 20 && alignof(block_q4_1) == 1);
static_assert(sizeof(block_q5_0) == 22 && alignof(block_q5_0) == 1);
static_assert(sizeof(block_q5_1) == 24 && alignof(block_q5_1) == 1);
static_assert(sizeof(block_iq4_nl) == 18 && alignof(block_iq4_nl) == 1);
static_assert(sizeof(block_q2_k) == 84 && alignof(block_q2_k) == 1);
static_assert(sizeof(block_q3_k) == 110 && alignof(block_q3_k) == 1);
static_assert(sizeof(block_q4_k) == 144 && alignof(block_q4_k) == 1);
static_assert(sizeof(block_q5_k) == 176 && alignof(block_q5_k) == 1);
static_assert(sizeof(block_q6_k) == 210 && alignof(block_q6_k) == 1);
static_assert(sizeof(block_iq4_xs) == 136 && alignof(block_iq4_xs) == 1);
static_assert(sizeof(block_iq2_xxs) == 66 && alignof(block_iq2_xxs) == 1);
static_assert(sizeof(block_iq2_xs) == 74 && alignof(block_iq2_xs) == 1);
static_assert(sizeof(block_iq2_s) == 82 && alignof(block_iq2_s) == 1);
static_assert(sizeof(block_iq3_xxs) == 98 && alignof(block_iq3_xxs) == 1);
static_assert(sizeof(block_iq3_s) == 110 && alignof(block_iq3_s) == 1);
static_assert(sizeof(block_iq1_s) == 50 && alignof(block_iq1_s) == 1);
static_assert(sizeof(block_iq1_m) == 56 && alignof(block_iq1_m) == 1);
static_assert(sizeof(block_mxfp4) == 17 && alignof(block_mxfp4) == 1);
static_assert(sizeof(block_nvfp4) == 36 && alignof(block_nvfp4) == 1);
static_assert(sizeof(block_tq1_0) == 54 && alignof(block_tq1_0) == 1);
static_assert(sizeof(block_tq2_0) == 66 && alignof(block_tq2_0) == 1);
static_assert(sizeof(block_q1_0) == 18 && alignof(block_q1_0) == 1);
static_assert(sizeof(block_q2_0) == 18 && alignof(block_q2_0) == 1);

}  // namespace hartonomous::codecs
