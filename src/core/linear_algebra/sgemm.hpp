// Products of row-major float matrices by OpenBLAS, accumulated in float, on the calling thread.
#pragma once

#include <cstddef>

namespace hartonomous {

// A matrix with a distance of `stride` between the beginnings of its rows.
struct matrix_view {
  const float* data;
  std::size_t rows, columns, stride;
};

// out = scale * a * transposed(b): a.rows x b.rows, with rows `stride` apart. a.columns = b.columns.
void multiply_transposed(const matrix_view& a, const matrix_view& b, float scale, float* out, std::size_t stride);

// out = transposed(a) * b: a.columns x b.columns, with rows `stride` apart. a.rows = b.rows.
void multiply_from_transposed(const matrix_view& a, const matrix_view& b, float* out, std::size_t stride);

// out = a * b: a.rows x b.columns. a.columns = b.rows.
void multiply(const matrix_view& a, const matrix_view& b, float* out, std::size_t stride);

// The same two products, added to what is in `out`.
void add_product_from_transposed(const matrix_view& a, const matrix_view& b, float* out, std::size_t stride);
void add_product(const matrix_view& a, const matrix_view& b, float* out, std::size_t stride);

}  // namespace hartonomous
