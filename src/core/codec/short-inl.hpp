// Blocks of 32 weights in vectors: the basis of the encoders and decoders of Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1.
//
// Levels pass through memory as bytes: they are packed and unpacked sixteen at a time, but converted to and from floats
// one vector at a time.
#if defined(HARTONOMOUS_CODEC_SHORT_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HARTONOMOUS_CODEC_SHORT_INL_HPP
#undef HARTONOMOUS_CODEC_SHORT_INL_HPP
#else
#define HARTONOMOUS_CODEC_SHORT_INL_HPP
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "codec/blocks.hpp"
#include "codec/half-inl.hpp"
#include "codec/lanes-inl.hpp"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET != HWY_SCALAR
namespace hartonomous::codecs::HWY_NAMESPACE {
namespace {

// ---- runs ------------------------------------------------------------------------------------------------------

// dequantize_run() of scalar.hpp for this instruction set, with Decode inlined.
template <class Block, void (*Decode)(const Block&, float*), std::size_t Weights = short_block>
void dequantize_blocks(const std::byte* blocks, float* out, std::size_t count) {
  const auto* block = reinterpret_cast<const Block*>(blocks);
  for (std::size_t i = 0; i < count; ++i) Decode(block[i], out + i * Weights);
}

// ---- magnitudes ------------------------------------------------------------------------------------------------

template <std::size_t Count>
HWY_INLINE float largest_magnitude(const float* x) {
  const float_tag d;
  floats largest = hn::Abs(hn::LoadU(d, x));
  for (std::size_t i = lane_count(); i < Count; i += lane_count()) {
    largest = hn::Max(largest, hn::Abs(hn::LoadU(d, x + i)));
  }
  return hn::GetLane(hn::MaxOfLanes(d, largest));
}

// Adds what turns truncation into rounding to the nearest integer, ties away from zero, for |value| < 2^22. This is the
// float just below 0.5: 0.5 added to that float would give 1.
HWY_INLINE floats round_away(floats value) { return hn::Add(value, hn::CopySignToAbs(all(0x1.FFFFFEp-2f), value)); }

// ---- levels and bytes ------------------------------------------------------------------------------------------

using sixteen_tag = hn::FixedTag<std::uint8_t, 16>;
using sixteen = hn::Vec<sixteen_tag>;

HWY_INLINE void pack_nibbles(const std::uint8_t* q, std::uint8_t* qs) {
  const sixteen_tag d;
  const sixteen low = hn::And(hn::LoadU(d, q), hn::Set(d, 15));
  hn::StoreU(hn::Or(low, hn::ShiftLeft<4>(hn::LoadU(d, q + 16))), d, qs);
}

// Writes up to 10 bytes, of which only the first four matter.
HWY_INLINE void pack_fifth_bits(const std::uint8_t* q, std::uint8_t* qh) {
  const sixteen_tag d;
  const sixteen fifth = hn::Set(d, 16);
  hn::StoreMaskBits(d, hn::TestBit(hn::LoadU(d, q), fifth), qh);
  hn::StoreMaskBits(d, hn::TestBit(hn::LoadU(d, q + 16), fifth), qh + 2);
}

HWY_INLINE sixteen unpack_low(const std::uint8_t* qs) {
  const sixteen_tag d;
  return hn::And(hn::LoadU(d, qs), hn::Set(d, 15));
}

HWY_INLINE sixteen unpack_high(const std::uint8_t* qs) { return hn::ShiftRight<4>(hn::LoadU(sixteen_tag(), qs)); }

// Sixteen bits as the fifth bits of levels. Reads up to 8 bytes.
HWY_INLINE sixteen unpack_fifth_bits(const std::uint8_t* qh) {
  const sixteen_tag d;
  return hn::IfThenElseZero(hn::LoadMaskBits(d, qh), hn::Set(d, 16));
}

// ---- levels and floats -----------------------------------------------------------------------------------------

// Stores the integer parts of numbers below 2^22 in magnitude as bytes; negative ones in two's complement.
HWY_INLINE void store_integers(floats value, std::uint8_t* to) {
  const hn::RebindToUnsigned<int_tag> u;
  const hn::Rebind<std::uint8_t, float_tag> bytes;
#if HWY_TARGET == HWY_SSSE3  // has no instruction that cuts a float
  const auto bits = hn::BitCast(u, hn::ConvertTo(int_tag(), value));
#else
  // See nearest_int() of rounding.hpp. Highway's conversion would also handle numbers that fit no integer.
  const auto bits = hn::BitCast(u, hn::Add(hn::Trunc(value), all(12582912.0f)));
#endif
  hn::StoreU(hn::TruncateTo(bytes, bits), bytes, to);
}

// Number i of a block gets the level at q[i].
HWY_INLINE floats load_levels(const std::int8_t* q) {
  const hn::Rebind<std::int8_t, float_tag> bytes;
  return hn::ConvertTo(float_tag(), hn::PromoteTo(int_tag(), hn::LoadU(bytes, q)));
}

template <std::size_t Count = short_block>
HWY_INLINE void scale_levels(const std::int8_t* q, floats d, float* out) {
  for (std::size_t i = 0; i < Count; i += lane_count()) {
    hn::StoreU(hn::Mul(load_levels(q + i), d), float_tag(), out + i);
  }
}

HWY_INLINE void scale_levels(const std::int8_t* q, floats d, floats m, float* out) {
  for (std::size_t i = 0; i < short_block; i += lane_count()) {
    hn::StoreU(hn::Add(hn::Mul(load_levels(q + i), d), m), float_tag(), out + i);
  }
}

}  // namespace
}  // namespace hartonomous::codecs::HWY_NAMESPACE
#endif  // HWY_TARGET
HWY_AFTER_NAMESPACE();

#endif
