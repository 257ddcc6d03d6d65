// TQ1_0 and TQ2_0 with vector instructions: the same bytes and floats as tq1_0_tq2_0.cpp.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/vector_tq1_0_tq2_0.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include <cfloat>

#include "codec/scalar.hpp"
#include "codec/short-inl.hpp"
#include "codec/tq1_0_tq2_0.hpp"
#include "codec/vector.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::codecs::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

const codec& tq1_0_codec() { return scalar_tq1_0; }
const codec& tq2_0_codec() { return scalar_tq2_0; }

#else

namespace {

// Stores the scale and computes the levels -1..1 as bytes, one for each weight. A subnormal scale has no reciprocal:
// all levels are then zero, as in the scalar code.
HWY_INLINE void choose(const float* x, stored_half& d, std::uint8_t* q) {
  const float scale = largest_magnitude<super_block>(x);
  const float inverse = 1.0f / scale;
  const floats factor = all(inverse <= FLT_MAX ? inverse : 0.0f);
  d.set(scale);
  for (std::size_t i = 0; i < super_block; i += lane_count()) {
    store_integers(round_away(hn::Mul(hn::LoadU(float_tag(), x + i), factor)), q + i);
  }
}

// ---- TQ1_0 -----------------------------------------------------------------------------------------------------

// Eight levels or bytes, as numbers of 16 bits.
using pair_tag = hn::FixedTag<std::uint16_t, 8>;
using pairs = hn::Vec<pair_tag>;
using eight_tag = hn::Rebind<std::uint8_t, pair_tag>;

HWY_INLINE pairs load_pairs(const std::uint8_t* from) {
  return hn::PromoteTo(pair_tag(), hn::LoadU(eight_tag(), from));
}
HWY_INLINE void store_pairs(pairs value, std::uint8_t* to) {
  hn::StoreU(hn::TruncateTo(eight_tag(), value), eight_tag(), to);
}

// byte_of() of the scalar code: number + (13 * number + 242) / 243, where the quotient is a product with a reciprocal.
HWY_INLINE pairs bytes_of_numbers(pairs number) {
  const pair_tag d;
  const pairs dividend = hn::Add(hn::Mul(number, hn::Set(d, 13)), hn::Set(d, 242));
  return hn::Add(number, hn::ShiftRight<7>(hn::MulHigh(dividend, hn::Set(d, 34522))));
}

void encode_tq1_0(const float* x, block_tq1_0& out) {
  using namespace tq1_0;
  const pair_tag d;
  HWY_ALIGN std::uint8_t q[super_block + 8];
  HWY_ALIGN std::uint8_t last[8];
  choose(x, out.d, q);
  for (const run& r : runs) {
    for (int m = 0; m < r.bytes; m += 8) {
      pairs number = hn::Zero(d);
      for (int n = 0; n < levels_in_byte; ++n) {
        number = hn::Mul(number, hn::Set(d, 3));
        // A level of -1 is the byte 255, to which 1 is added in 16 bits.
        if (n < r.levels) {
          const pairs level = hn::Add(load_pairs(q + r.first + n * r.bytes + m), hn::Set(d, 1));
          number = hn::Add(number, hn::And(level, hn::Set(d, 3)));
        }
      }
      if (r.bytes < 8) {
        store_pairs(bytes_of_numbers(number), last);
        for (int i = 0; i < r.bytes; ++i) out.qs[r.at + i] = last[i];
      } else {
        store_pairs(bytes_of_numbers(number), out.qs + r.at + m);
      }
    }
  }
}

HWY_INLINE void decode_tq1_0(const block_tq1_0& in, float* x) {
  using namespace tq1_0;
  const pair_tag d;
  HWY_ALIGN std::uint8_t from[56];
  HWY_ALIGN std::int8_t q[super_block + 8];
  for (int i = 0; i < 52; ++i) from[i] = in.qs[i];
  for (int i = 52; i < 56; ++i) from[i] = 0;
  for (const run& r : runs) {
    for (int n = 0; n < r.levels; ++n) {
      for (int m = 0; m < r.bytes; m += 8) {
        const pairs product = hn::Mul(load_pairs(from + r.at + m), hn::Set(d, static_cast<std::uint16_t>(powers[n])));
        const pairs level = hn::ShiftRight<8>(hn::Mul(hn::And(product, hn::Set(d, 255)), hn::Set(d, 3)));
        store_pairs(hn::Sub(level, hn::Set(d, 1)), reinterpret_cast<std::uint8_t*>(q) + r.first + n * r.bytes + m);
      }
    }
  }
  scale_levels<super_block>(q, load_scale(in.d), x);
}

// ---- TQ2_0 -----------------------------------------------------------------------------------------------------

void encode_tq2_0(const float* x, block_tq2_0& out) {
  const sixteen_tag d;
  HWY_ALIGN std::uint8_t q[super_block];
  choose(x, out.d, q);
  for (std::size_t l = 0; l < 64; l += 16) {
    const std::uint8_t* from = q + l / 32 * 128 + l % 32;
    sixteen packed = hn::Zero(d);
    for (std::size_t n = 4; n-- > 0;) {
      packed = hn::Or(hn::ShiftLeft<2>(packed), hn::Add(hn::Load(d, from + 32 * n), hn::Set(d, 1)));
    }
    hn::StoreU(packed, d, out.qs + l);
  }
}

HWY_INLINE void decode_tq2_0(const block_tq2_0& in, float* x) {
  const sixteen_tag d;
  HWY_ALIGN std::int8_t q[super_block];
  for (std::size_t l = 0; l < 64; l += 16) {
    sixteen packed = hn::LoadU(d, in.qs + l);
    std::int8_t* to = q + l / 32 * 128 + l % 32;
    for (std::size_t n = 0; n < 4; ++n, packed = hn::ShiftRight<2>(packed)) {
      const sixteen level = hn::Sub(hn::And(packed, hn::Set(d, 3)), hn::Set(d, 1));
      hn::Store(level, d, reinterpret_cast<std::uint8_t*>(to) + 32 * n);
    }
  }
  scale_levels<super_block>(q, load_scale(in.d), x);
}

template <class Block, void (*Encode)(const float*, Block&)>
void quantize_blocks(const float* in, const float*, float, std::byte* out, std::size_t count) {
  auto* block = reinterpret_cast<Block*>(out);
  for (std::size_t b = 0; b < count; ++b) Encode(in + b * super_block, block[b]);
}

}  // namespace

const codec& tq1_0_codec() {
  static constexpr codec vector = {format::TQ1_0,
                                   dequantize_blocks<block_tq1_0, decode_tq1_0, super_block>,
                                   quantize_blocks<block_tq1_0, encode_tq1_0>,
                                   1,
                                   {52}};
  return vector;
}

const codec& tq2_0_codec() {
  static constexpr codec vector = {format::TQ2_0,
                                   dequantize_blocks<block_tq2_0, decode_tq2_0, super_block>,
                                   quantize_blocks<block_tq2_0, encode_tq2_0>,
                                   1,
                                   {64}};
  return vector;
}

#endif  // HWY_TARGET

}  // namespace hartonomous::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hartonomous::codecs {

HWY_EXPORT(tq1_0_codec);
HWY_EXPORT(tq2_0_codec);

const codec& vector_tq1_0() { return HWY_DYNAMIC_DISPATCH(tq1_0_codec)(); }
const codec& vector_tq2_0() { return HWY_DYNAMIC_DISPATCH(tq2_0_codec)(); }

}  // namespace hartonomous::codecs
#endif  // HWY_ONCE
