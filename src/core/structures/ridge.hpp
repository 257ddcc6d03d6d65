// Least squares with damping, by the inverse of a Cholesky factor (inside src/core/structures only).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "hartonomous/interrupt.hpp"
#include "hartonomous/thread_pool.hpp"
#include "hessian/factor.hpp"

namespace hartonomous::structures_detail {

// An element of the right side, by row and column.
using matrix_element = std::function<double(std::size_t row, std::size_t column)>;

// out = B H⁻¹, rows x n, for the symmetric n x n matrix H, of which the lower triangle is given and what is above must
// be zero; H is overwritten. False if H is not positive definite; `out` is undefined then.
bool solve_rows(hessian_detail::square_matrix& h, std::size_t rows, const matrix_element& b, float* out,
                thread_pool& pool, interrupt_checker& interrupts);

// Bytes that solve_rows() takes besides its arguments.
std::uint64_t solve_bytes(std::uint64_t n) noexcept;

}  // namespace hartonomous::structures_detail
