// Half and bfloat16 conversions, against every one of the 65536 values and against their neighbourhoods.
#include "hartonomous/half.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

namespace hartonomous {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

// The value of a half from its definition, through double.
double f16_by_definition(unsigned half) {
  const int exponent = static_cast<int>((half >> 10) & 31u);
  const double mantissa = half & 1023u;
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024.0 + mantissa, exponent - 25);
  return (half & 0x8000u) != 0 ? -magnitude : magnitude;
}

bool is_nan_half(unsigned half) { return (half & 0x7FFFu) > 0x7C00u; }

TEST(Half, EveryHalfHasItsValueAndComesBack) {
  for (unsigned half = 0; half < 65536; ++half) {
    const float value = f16_to_f32(static_cast<std::uint16_t>(half));
    if (is_nan_half(half)) {
      ASSERT_TRUE(std::isnan(value)) << half;
      ASSERT_EQ(f32_to_f16(value), half | 0x200u);  // quiet, the payload kept
      continue;
    }
    if ((half & 0x7FFFu) == 0x7C00u) {
      ASSERT_TRUE(std::isinf(value));
    } else {
      ASSERT_EQ(value, f16_by_definition(half)) << half;
    }
    ASSERT_EQ(std::signbit(value), (half & 0x8000u) != 0);
    ASSERT_EQ(f32_to_f16(value), half);
  }
}

TEST(Half, RoundsToNearestTiesToEven) {
  for (unsigned half = 0; half < 0x7BFFu; ++half) {
    // The midpoint of two neighbouring halves is a float.
    const auto middle = static_cast<float>((f16_by_definition(half) + f16_by_definition(half + 1)) / 2);
    const unsigned even = half % 2 == 0 ? half : half + 1;
    ASSERT_EQ(f32_to_f16(middle), even) << half;
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, 0.0f)), half);
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, infinity)), half + 1);
    ASSERT_EQ(f32_to_f16(-middle), even | 0x8000u);
  }
}

TEST(Half, OverflowsToInfinityFrom65520) {
  EXPECT_EQ(f32_to_f16(65504.0f), 0x7BFF);
  EXPECT_EQ(f32_to_f16(std::nextafter(65520.0f, 0.0f)), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7C00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::max()), 0x7C00);
  EXPECT_EQ(f32_to_f16(-65520.0f), 0xFC00);
  EXPECT_EQ(f32_to_f16(infinity), 0x7C00);
}

TEST(Half, SignalingNanStaysNan) {
  // A payload in the lower bits only would look like infinity if merely cut off.
  EXPECT_TRUE(is_nan_half(f32_to_f16(half_detail::float_of(0x7F800001u))));
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(half_detail::float_of(0xFF800001u)))));
  EXPECT_EQ(f32_to_bf16(half_detail::float_of(0x7F800001u)), 0x7FC0);
}

TEST(Bfloat, EveryBfloatComesBack) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const float value = bf16_to_f32(static_cast<std::uint16_t>(bits));
    ASSERT_EQ(half_detail::bits_of(value), bits << 16);
    ASSERT_EQ(f32_to_bf16(value), std::isnan(value) ? bits | 0x40u : bits);
  }
}

TEST(Bfloat, RoundsToNearestTiesToEven) {
  EXPECT_EQ(f32_to_bf16(half_detail::float_of(0x3F808000u)), 0x3F80);
  EXPECT_EQ(f32_to_bf16(half_detail::float_of(0x3F808001u)), 0x3F81);
  EXPECT_EQ(f32_to_bf16(half_detail::float_of(0x3F818000u)), 0x3F82);
  EXPECT_EQ(f32_to_bf16(half_detail::float_of(0x3F817FFFu)), 0x3F81);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_EQ(f32_to_bf16(-infinity), 0xFF80);
}

}  // namespace
}  // namespace hartonomous
