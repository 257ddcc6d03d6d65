// The vector part of running_sum (sums.cpp).
#pragma once

#include <cstddef>

namespace hartonomous::statistics_detail {

inline constexpr std::size_t partial_sums = 32;

// partial[i % 32] += a[i] * b[i], or (a[i] - b[i])^2, for i < count; count is a multiple of 32.
void add_products(const float* a, const float* b, std::size_t count, double* partial) noexcept;
void add_squared_differences(const float* a, const float* b, std::size_t count, double* partial) noexcept;

}  // namespace hartonomous::statistics_detail
