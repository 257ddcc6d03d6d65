// Solving for some right sides at a time (ridge.hpp). Tasks have a fixed size, so that the result does not depend on
// the number of threads.
#include "structures/ridge.hpp"

#include "linear_algebra/eigen.hpp"

#include <algorithm>
#include <cstdint>

namespace hartonomous::structures_detail {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;

constexpr std::size_t panel = 64;  // right sides that are solved together
constexpr Index tile = 128;        // rows of a task

// The solution X of H X = sides, given the inverse of H's lower triangular factor: X = L^-T (L^-1 sides).
MatrixXd solve(const hessian_detail::square_matrix& inverse, const MatrixXd& sides, thread_pool& pool,
               interrupt_checker& interrupts) {
  const Index size = inverse.rows();
  const auto tiles = static_cast<std::size_t>((size + tile - 1) / tile);
  MatrixXd half(size, sides.cols()), solved(size, sides.cols());
  pool.run(tiles, interrupts, [&](std::size_t t) {
    const Index row = static_cast<Index>(t) * tile, height = std::min(tile, size - row);
    half.middleRows(row, height).noalias() = inverse.block(row, 0, height, row + height) * sides.topRows(row + height);
  });
  pool.run(tiles, interrupts, [&](std::size_t t) {
    const Index row = static_cast<Index>(t) * tile, height = std::min(tile, size - row);
    solved.middleRows(row, height).noalias() =
        inverse.block(row, row, size - row, height).transpose() * half.bottomRows(size - row);
  });
  return solved;
}

}  // namespace

std::uint64_t solve_bytes(std::uint64_t n) noexcept { return 3 * n * panel * sizeof(double); }

bool solve_rows(hessian_detail::square_matrix& h, std::size_t rows, const matrix_element& b, float* out,
                thread_pool& pool, interrupt_checker& interrupts) {
  const auto n = static_cast<std::size_t>(h.rows());
  if (!hessian_detail::invert_factor(h, pool, interrupts)) return false;
  for (std::size_t first = 0; first < rows; first += panel) {
    const std::size_t count = std::min(panel, rows - first);
    MatrixXd sides(h.rows(), static_cast<Index>(count));
    for (std::size_t r = 0; r < count; ++r) {
      for (std::size_t k = 0; k < n; ++k) sides(static_cast<Index>(k), static_cast<Index>(r)) = b(first + r, k);
    }
    const MatrixXd solved = solve(h, sides, pool, interrupts);
    for (std::size_t r = 0; r < count; ++r) {
      for (std::size_t k = 0; k < n; ++k) {
        out[(first + r) * n + k] = static_cast<float>(solved(static_cast<Index>(k), static_cast<Index>(r)));
      }
    }
  }
  return true;
}

}  // namespace hartonomous::structures_detail
