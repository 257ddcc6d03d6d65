// Blocked Cholesky factorization and inversion of the factor (factor.hpp). Tasks have a fixed size, so that the result
// does not depend on the number of threads.
#include "hessian/factor.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace hartonomous::hessian_detail {
namespace {

using Eigen::Index;
using Eigen::Lower;

constexpr Index tile = 128;

std::size_t tiles(Index length) { return static_cast<std::size_t>((length + tile - 1) / tile); }

// Factors the diagonal tile at `from` of `width` columns, and divides what is below by it.
bool factor_column(square_view& a, Index from, Index width, thread_pool& pool, interrupt_checker& interrupts) {
  Eigen::LLT<square_matrix> diagonal(a.block(from, from, width, width).selfadjointView<Lower>());
  if (diagonal.info() != Eigen::Success) return false;
  const square_matrix factor = diagonal.matrixL();
  if (!factor.allFinite()) return false;
  a.block(from, from, width, width) = factor;
  const Index begin = from + width;
  pool.run(tiles(a.rows() - begin), interrupts, [&](std::size_t t) {
    const Index row = begin + static_cast<Index>(t) * tile, height = std::min(tile, a.rows() - row);
    auto below = a.block(row, from, height, width);
    factor.triangularView<Lower>().transpose().solveInPlace<Eigen::OnTheRight>(below);
  });
  return true;
}

// Subtracts the products of the finished column of tiles from the rest of the lower triangle.
void update_rest(square_view& a, Index from, Index width, thread_pool& pool, interrupt_checker& interrupts) {
  const Index begin = from + width;
  const std::size_t side = tiles(a.rows() - begin);
  pool.run(side * (side + 1) / 2, interrupts, [&](std::size_t t) {
    // Tiles are counted row by row of the triangle.
    auto i = static_cast<std::size_t>((std::sqrt(8.0 * static_cast<double>(t) + 1.0) - 1.0) / 2.0);
    while (i * (i + 1) / 2 > t) --i;
    while ((i + 1) * (i + 2) / 2 <= t) ++i;
    const Index row = begin + static_cast<Index>(i) * tile;
    const Index column = begin + static_cast<Index>(t - i * (i + 1) / 2) * tile;
    const Index height = std::min(tile, a.rows() - row), columns = std::min(tile, a.rows() - column);
    const square_matrix product = a.block(row, from, height, width) * a.block(column, from, columns, width).transpose();
    if (row == column) {
      a.block(row, column, height, columns).triangularView<Lower>() -= product;
    } else {
      a.block(row, column, height, columns) -= product;
    }
  });
}

// With the rows above inverted already, X = L⁻¹ has in this row of tiles -X_ii · (sum over k of L_ik X_kj).
void invert_row(square_view& a, Index from, Index height, thread_pool& pool, interrupt_checker& interrupts) {
  square_matrix inverse = square_matrix::Identity(height, height);
  a.block(from, from, height, height).triangularView<Lower>().solveInPlace(inverse);
  const square_matrix row = a.block(from, 0, height, from);
  pool.run(tiles(from), interrupts, [&](std::size_t t) {
    const Index column = static_cast<Index>(t) * tile, width = std::min(tile, from - column), rest = from - column;
    const square_matrix sum = row.rightCols(rest) * a.block(column, column, rest, width);
    a.block(from, column, height, width).noalias() = -inverse * sum;
  });
  a.block(from, from, height, height).triangularView<Lower>() = inverse;
}

}  // namespace

bool invert_factor(square_view matrix, thread_pool& pool, interrupt_checker& interrupts) {
  const Index n = matrix.rows();
  for (Index from = 0; from < n; from += tile) {
    const Index width = std::min(tile, n - from);
    if (!factor_column(matrix, from, width, pool, interrupts)) return false;
    update_rest(matrix, from, width, pool, interrupts);
  }
  for (Index from = 0; from < n; from += tile) invert_row(matrix, from, std::min(tile, n - from), pool, interrupts);
  return true;
}

// With X = L⁻¹ the inverse is XᵀX. Row by row of tiles, from the first on: its own tiles of X are not needed after it.
bool invert(square_view matrix, thread_pool& pool, interrupt_checker& interrupts) {
  if (!invert_factor(matrix, pool, interrupts)) return false;
  const Index n = matrix.rows();
  for (Index from = 0; from < n; from += tile) {
    const Index height = std::min(tile, n - from), rest = n - from;
    const square_matrix below = matrix.block(from, from, rest, height);
    pool.run(tiles(from + height), interrupts, [&](std::size_t t) {
      const Index column = static_cast<Index>(t) * tile, width = std::min(tile, n - column);
      const square_matrix product = below.transpose() * matrix.block(from, column, rest, width);
      matrix.block(from, column, height, width) = product;
      matrix.block(column, from, width, height) = product.transpose();
    });
  }
  return true;
}

bool invert_small(double* matrix, std::size_t size) {
  // The matrix is U Uᵀ with U upper triangular, found from the last row on; C = U⁻¹.
  std::vector<double> u(size * size, 0.0);
  for (std::size_t j = size; j-- > 0;) {
    double pivot = matrix[j * size + j];
    for (std::size_t k = j + 1; k < size; ++k) pivot -= u[j * size + k] * u[j * size + k];
    if (!(pivot > 0.0)) return false;
    u[j * size + j] = std::sqrt(pivot);
    for (std::size_t i = 0; i < j; ++i) {
      double sum = matrix[i * size + j];
      for (std::size_t k = j + 1; k < size; ++k) sum -= u[i * size + k] * u[j * size + k];
      u[i * size + j] = sum / u[j * size + j];
    }
  }
  std::fill_n(matrix, size * size, 0.0);
  for (std::size_t j = 0; j < size; ++j) {
    matrix[j * size + j] = 1.0 / u[j * size + j];
    for (std::size_t i = j; i-- > 0;) {
      double sum = 0.0;
      for (std::size_t k = i + 1; k <= j; ++k) sum += u[i * size + k] * matrix[k * size + j];
      matrix[i * size + j] = -sum / u[i * size + i];
    }
  }
  return true;
}

}  // namespace hartonomous::hessian_detail
