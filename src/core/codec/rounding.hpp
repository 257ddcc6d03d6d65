// Rounding as in the reference encoders.
#pragma once

#include <cfloat>
#include <cstdint>
#include <cstring>

// Identical bytes require that every operation is rounded to float immediately (unlike x87 arithmetic).
static_assert(FLT_EVAL_METHOD == 0, "codecs need float arithmetic that is evaluated in float precision");

namespace hartonomous::codecs {

// Nearest integer, ties to even, for |value| < 2^22.
//
// Adding 1.5 * 2^23 shifts the fraction out of the mantissa, and the floating-point unit rounds the sum. Out of range,
// the result is some integer, the same on every machine. Encoders get there only with subnormal blocks, where the
// reciprocal of a scale overflows, and clamp the result.
inline std::int32_t nearest_int(float value) noexcept {
  const float shifted = value + 12582912.0f;
  std::uint32_t bits = 0;
  std::memcpy(&bits, &shifted, sizeof bits);
  return static_cast<std::int32_t>(bits & 0x007FFFFFu) - 0x00400000;
}

inline std::int32_t clamp(std::int32_t value, std::int32_t low, std::int32_t high) noexcept {
  return value < low ? low : value > high ? high : value;
}

// The integer part, at most `top`. Gives 0 for values outside [0, 128), which occur if the reciprocal of a subnormal
// scale has overflowed (that scale is zero as a half).
inline std::uint32_t truncate_level(float value, std::uint32_t top) noexcept {
  if (!(value >= 0.0f && value < 128.0f)) return 0;
  const auto level = static_cast<std::uint32_t>(value);
  return level < top ? level : top;
}

// Nearest integer, ties away from zero; 0 if it does not fit an int8 (see truncate_level).
inline std::int8_t round_away_int8(float value) noexcept {
  if (!(value > -128.0f && value < 128.0f)) return 0;
  const auto whole = static_cast<std::int32_t>(value);
  const float fraction = value - static_cast<float>(whole);  // exact
  return static_cast<std::int8_t>(whole + (fraction >= 0.5f ? 1 : 0) - (fraction <= -0.5f ? 1 : 0));
}

}  // namespace hartonomous::codecs
