// What the scalar and the vector code of MXFP4 and NVFP4 share: the values of the levels, and scales of one byte.
//
// Sources: OCP Microscaling Formats (MX) Specification 1.0, for E2M1 levels and E8M0 scales; ggml, for how they are
// chosen (docs/manual/formats.md).
#pragma once

#include <cmath>
#include <cstdint>

#include "codec/blocks.hpp"
#include "codec/scalar.hpp"
#include "hartonomous/half.hpp"

namespace hartonomous::codecs {

// Twice the values of E2M1, so that they are integers: all scales are therefore half of what their bytes say.
inline constexpr std::int8_t fp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

namespace mxfp4 {

// 2^(e - 128). Zero and one give subnormal numbers. 255, which stands for NaN in the specification, is a power of two
// like the others, as in ggml.
inline float scale_of(std::uint8_t e) noexcept {
  return half_detail::float_of(e < 2 ? 0x00200000u << e : (std::uint32_t{e} - 1) << 23);
}

// The exponent for which the largest magnitude of a block lies between 4 and 8, the largest value of E2M1 being 6. It
// is that of a logarithm that was rounded to float, so that a magnitude just below a power of two counts as that power
// if it is large. ggml's conversion is undefined for a magnitude below 2^-125, for which this gives 0.
inline std::uint8_t exponent_for(float magnitude) noexcept {
  const std::uint32_t bits = half_detail::bits_of(magnitude);
  const int above = static_cast<int>(bits >> 23) - 126;                    // magnitude < 2^above
  const auto below = static_cast<double>(0x800000u - (bits & 0x7FFFFFu));  // in units of 2^(above - 24)
  constexpr double log2_e = 1.4426950408889634;
  const auto logarithm = static_cast<float>(above - below * log2_e * 0x1p-24);  // its floor is what matters
  const int exponent = static_cast<int>(std::floor(logarithm)) + 125;
  return magnitude > 0.0f && exponent > 0 ? static_cast<std::uint8_t>(exponent) : std::uint8_t{0};
}

}  // namespace mxfp4

namespace nvfp4 {

inline constexpr int block = 64;
inline constexpr int sub_blocks = 4;
inline constexpr int sub_block = 16;

// The largest magnitude of a sub-block whose scale is not cut off: beyond 6 times the largest scale, 448.
inline constexpr float largest_held = 2688.0f;

// Half of an unsigned number with four bits of exponent and three of mantissa, without infinity. The byte 7F stands for
// NaN and counts as zero; the upper bit counts for nothing otherwise.
inline float scale_of(std::uint8_t byte) noexcept {
  const std::uint32_t exponent = byte >> 3 & 15u, mantissa = byte & 7u;
  if (byte == 0x7F) return 0.0f;
  if (exponent == 0) return static_cast<float>(mantissa) * 0x1p-10f;
  return half_detail::float_of((exponent + 119) << 23 | mantissa << 20);
}

// The nearest such number, halves up. Everything from 256 on becomes 448, and what rounds to 2^-6 from below becomes
// 7/8 of it, as in ggml.
inline std::uint8_t nearest_scale(float scale) noexcept {
  if (!(scale > 0.0f)) return 0;
  if (scale < 0x1p-6f) {
    const float shifted = scale * 512.0f + 0.5f;  // a sum that is rounded itself
    const int mantissa = static_cast<int>(shifted);
    return static_cast<std::uint8_t>(mantissa < 7 ? mantissa : 7);
  }
  if (scale >= 256.0f) return 0x7E;
  const std::uint32_t rounded = (half_detail::bits_of(scale) + (1u << 19)) >> 20;
  const std::uint32_t byte = rounded - (120u << 3);
  return static_cast<std::uint8_t>(byte < 15u << 3 ? byte : 0x7Eu);
}

}  // namespace nvfp4

}  // namespace hartonomous::codecs
