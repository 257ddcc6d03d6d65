// Conversions between float and the two 16-bit formats: IEEE binary16 ("half", F16) and bfloat16 (BF16).
//
// Conversions to 16 bits round to nearest, ties to even. Infinities are kept; a NaN stays a (quiet) NaN with its sign
// and the upper bits of its payload. The results are those of the F16C and AVX512-BF16 instructions with default
// settings, so that vector code can replace these functions. Portable: no intrinsics, no branches that depend on the
// machine.
#pragma once

#include <cstdint>
#include <cstring>

namespace hartonomous {

namespace half_detail {

inline std::uint32_t bits_of(float value) noexcept {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float float_of(std::uint32_t bits) noexcept {
  float value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace half_detail

// Exact: every half is a float.
inline float f16_to_f32(std::uint16_t half) noexcept {
  const std::uint32_t sign = std::uint32_t{half & 0x8000u} << 16;
  const std::uint32_t magnitude = half & 0x7FFFu;
  // A subnormal half is a multiple of 2^-24. (Reinterpreting its bits would give a subnormal float, and arithmetic on
  // those takes some 150 cycles on many processors.)
  if (magnitude < 0x0400u) {
    return half_detail::float_of(sign | half_detail::bits_of(static_cast<float>(magnitude) * 0x1p-24f));
  }
  // Move exponent and mantissa to their bits in a float; the exponent biases are 127 and 15.
  std::uint32_t bits = (magnitude << 13) + (std::uint32_t{127 - 15} << 23);
  if (magnitude >= 0x7C00u) bits |= 0x7F800000u;  // infinity or NaN: the float's exponent is all ones, too
  if (magnitude > 0x7C00u) bits |= 0x00400000u;   // make a NaN quiet
  return half_detail::float_of(sign | bits);
}

// Magnitudes of 65520 and more become infinity; those up to 2^-25 become zero.
inline std::uint16_t f32_to_f16(float value) noexcept {
  const std::uint32_t bits = half_detail::bits_of(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<std::uint16_t>(sign | 0x7E00u | ((magnitude >> 13) & 0x3FFu));
  if (magnitude >= 0x47800000u) return static_cast<std::uint16_t>(sign | 0x7C00u);  // 65536 and more
  if (magnitude < 0x38800000u) {
    // Below 2^-14 a half is a multiple of 2^-24, which is the unit in the last place of 0.5, so adding 0.5 rounds
    // correctly.
    const std::uint32_t rounded = half_detail::bits_of(half_detail::float_of(magnitude) + 0.5f);
    return static_cast<std::uint16_t>(sign | (rounded - 0x3F000000u));
  }
  // Rebias the exponent by -112, add half a unit in the last place (one less if the mantissa is even), and truncate. A
  // carry out of the mantissa correctly increments the exponent, at the upper end to infinity.
  const std::uint32_t odd = (magnitude >> 13) & 1u;
  magnitude += 0xC8000000u + 0xFFFu + odd;
  return static_cast<std::uint16_t>(sign | (magnitude >> 13));
}

// Exact: a bfloat16 is the upper half of a float.
inline float bf16_to_f32(std::uint16_t bf16) noexcept { return half_detail::float_of(std::uint32_t{bf16} << 16); }

inline std::uint16_t f32_to_bf16(float value) noexcept {
  const std::uint32_t bits = half_detail::bits_of(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x0040u);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace hartonomous
