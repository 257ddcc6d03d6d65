// What quantize() asks of every number before it encodes: over runs, at the speed of memory (checks.cpp).
#pragma once

#include <cstddef>
#include <cstdint>

#include "hartonomous/half.hpp"

namespace hartonomous::codecs {

inline constexpr std::uint32_t infinity_bits = 0x7F800000;

// Magnitudes from one to another, as bits: these order as the magnitudes do, and NaN stands above infinity.
struct magnitude_range {
  std::uint32_t first, last;

  bool contains(float value) const noexcept {
    const std::uint32_t magnitude = half_detail::bits_of(value) & 0x7FFFFFFFu;
    return magnitude >= first && magnitude <= last;
  }
};

bool any_in_range(const magnitude_range& range, const float* values, std::size_t count) noexcept;

// Finite and zero or more; a zero may have either sign.
bool all_finite_positive(const float* values, std::size_t count) noexcept;

}  // namespace hartonomous::codecs
