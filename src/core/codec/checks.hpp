// Checks that quantize() makes for every number before it encodes, at the speed of memory (checks.cpp).
#pragma once

#include <cstddef>
#include <cstdint>

#include "hartonomous/half.hpp"

namespace hartonomous::codecs {

inline constexpr std::uint32_t infinity_bits = 0x7F800000;

// A range of magnitudes, as bits: these have the same order as the magnitudes, and NaN is above infinity.
struct magnitude_range {
  std::uint32_t first, last;

  bool contains(float value) const noexcept {
    const std::uint32_t magnitude = half_detail::bits_of(value) & 0x7FFFFFFFu;
    return magnitude >= first && magnitude <= last;
  }
};

bool any_in_range(const magnitude_range& range, const float* values, std::size_t count) noexcept;

// Whether all are finite and zero or more; a zero may have either sign.
bool all_finite_positive(const float* values, std::size_t count) noexcept;

}  // namespace hartonomous::codecs
