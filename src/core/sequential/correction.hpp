// Sums over tokens, and the correction of weights that follows from them (inside src/core/sequential only).
#pragma once

#include <cstddef>
#include <vector>

#include "hartonomous/hessian.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/sequential_quantizer.hpp"
#include "hartonomous/thread_pool.hpp"

namespace hartonomous::sequential_detail {

// A row-major matrix of floats.
struct float_matrix {
  std::size_t rows = 0, columns = 0;
  std::vector<float> values;
};

// The sum over tokens of left rightᵀ, summed in double. `left` is tokens x left_columns, `right` tokens x
// right_columns. If `minus` is not null, the left side is left - minus.
float_matrix cross_gram(const float* left, const float* minus, std::size_t left_columns, const float* right,
                        std::size_t right_columns, std::size_t tokens, thread_pool& pool,
                        interrupt_checker& interrupts);

// The same of x with itself, in double: columns x columns, symmetric.
std::vector<double> gram_of(const float* x, std::size_t columns, std::size_t tokens, thread_pool& pool,
                            interrupt_checker& interrupts);

// right_side (rows x hessian.columns()) times H⁻¹, in place.
void solve_against(const input_hessian& hessian, float_matrix& right_side, thread_pool& pool,
                   interrupt_checker& interrupts);

// out += factor * a b, for row-major matrices; out is a.rows x b.columns.
void add_product(const float* a, std::size_t rows, const float_matrix& b, float factor, float* out, thread_pool& pool,
                 interrupt_checker& interrupts);

}  // namespace hartonomous::sequential_detail
