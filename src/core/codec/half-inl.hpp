// Half precision in vectors: the same bits as f16_to_f32() and f32_to_f16() of hartonomous/half.hpp.
//
// Uses instructions where the processor is known to have them. Highway's replacement truncates and handles neither NaN
// nor infinity, so the other targets calculate like half.hpp.
#if defined(HARTONOMOUS_CODEC_HALF_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HARTONOMOUS_CODEC_HALF_INL_HPP
#undef HARTONOMOUS_CODEC_HALF_INL_HPP
#else
#define HARTONOMOUS_CODEC_HALF_INL_HPP
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "codec/blocks.hpp"
#include "codec/lanes-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::codecs::HWY_NAMESPACE {
namespace {

// As many halves (as bits) as a vector has floats.
using half_tag = hn::Rebind<std::uint16_t, float_tag>;
using halves = hn::Vec<half_tag>;

#if (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2) || HWY_ARCH_ARM_A64

using hardware_half_tag = hn::Rebind<hwy::float16_t, float_tag>;

HWY_INLINE floats to_floats(halves half) { return hn::PromoteTo(float_tag(), hn::BitCast(hardware_half_tag(), half)); }

HWY_INLINE halves to_halves(floats value) { return hn::BitCast(half_tag(), hn::DemoteTo(hardware_half_tag(), value)); }

HWY_INLINE floats load_scale(const stored_half& from) {
  return to_floats(hn::Set(half_tag(), static_cast<std::uint16_t>(from.bytes[0] | from.bytes[1] << 8)));
}

#else

HWY_INLINE floats to_floats(halves half) {
  const float_tag d;
  const int_tag i;
  const ints bits = hn::PromoteTo(i, half);
  const ints sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(i, 0x8000)));
  const ints shifted = hn::ShiftLeft<13>(hn::And(bits, hn::Set(i, 0x7FFF)));
  const ints finite = hn::BitCast(i, hn::Mul(hn::BitCast(d, shifted), all(0x1p112f)));
  const ints special = hn::And(hn::VecFromMask(i, hn::Gt(shifted, hn::Set(i, 0x0F7FFFFF))), hn::Set(i, 0x7F800000));
  const ints quiet = hn::And(hn::VecFromMask(i, hn::Gt(shifted, hn::Set(i, 0x0F800000))), hn::Set(i, 0x00400000));
  return hn::BitCast(d, hn::Or(hn::Or(sign, finite), hn::Or(special, quiet)));
}

HWY_INLINE halves to_halves(floats value) {
  const float_tag d;
  const int_tag i;
  const ints magnitude = hn::BitCast(i, hn::Abs(value));
  const ints sign = hn::And(hn::ShiftRight<16>(hn::BitCast(i, value)), hn::Set(i, 0x8000));
  // Normal halves; 65536 stands for all larger values.
  const ints bounded = hn::Min(magnitude, hn::Set(i, 0x47800000));
  const ints odd = hn::And(hn::ShiftRight<13>(bounded), hn::Set(i, 1));
  const ints normal = hn::ShiftRight<13>(hn::Add(hn::Sub(bounded, hn::Set(i, 0x38000000 - 0xFFF)), odd));
  const ints rounded = hn::BitCast(i, hn::Add(hn::BitCast(d, magnitude), all(0.5f)));
  const ints subnormal = hn::Sub(rounded, hn::Set(i, 0x3F000000));
  const ints payload = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(i, 0x3FF));
  const ints nan = hn::Or(payload, hn::Set(i, 0x7E00));
  const ints number = hn::IfThenElse(hn::Lt(magnitude, hn::Set(i, 0x38800000)), subnormal, normal);
  const ints bits = hn::IfThenElse(hn::Gt(magnitude, hn::Set(i, 0x7F800000)), nan, number);
  return hn::DemoteTo(half_tag(), hn::Or(bits, sign));
}

// The scale of a block in every lane.
HWY_INLINE floats load_scale(const stored_half& from) { return all(from.get()); }

#endif

HWY_INLINE void store_scale(std::uint16_t half, stored_half& to) {
  to.bytes[0] = static_cast<std::uint8_t>(half);
  to.bytes[1] = static_cast<std::uint8_t>(half >> 8);
}

}  // namespace
}  // namespace hartonomous::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
