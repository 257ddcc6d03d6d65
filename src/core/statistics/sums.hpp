// The vector part of running_sum and running_error (sums.cpp).
#pragma once

#include <cstddef>

#include "hartonomous/statistics.hpp"

namespace hartonomous::statistics_detail {

// For i < count, where count is a multiple of partial_sum_count = 16: partial[i % 16] += a[i] * b[i]
void add_products(const float* a, const float* b, std::size_t count, double* partial) noexcept;
// partial[i % 16] += a[i]^2
void add_squares(const float* a, std::size_t count, double* partial) noexcept;
// distance[i % 16] += (a[i] - b[i])^2, size[i % 16] += a[i]^2
void add_errors(const float* a, const float* b, std::size_t count, double* distance, double* size) noexcept;

}  // namespace hartonomous::statistics_detail
