// H and its inverse from a Gram matrix (hartonomous/importance.hpp).
#include <algorithm>
#include <cmath>
#include <utility>

#include "hartonomous/error.hpp"
#include "hartonomous/importance.hpp"
#include "hessian/factor.hpp"

namespace hartonomous {
namespace {

using Eigen::Index;
using hessian_detail::square_matrix;

// Where row i of the upper triangle of an n x n matrix begins.
std::size_t triangle_row(std::size_t n, std::size_t i) { return i * n - i * (i + 1) / 2 + i; }

}  // namespace

double damped_hessian::ridge(span<const float> gram, std::size_t columns, double damping, double mean) {
  double trace = 0.0;
  for (std::size_t i = 0; i < columns; ++i) trace += double{gram[triangle_row(columns, i)]};
  if (trace > 0.0) return damping * trace / static_cast<double>(columns);
  return mean > 0.0 ? 1e-6 * mean : 1.0;
}

std::uint64_t damped_hessian::bytes(std::uint64_t columns) noexcept {
  return columns * columns * sizeof(double) + columns * (columns + 1) / 2 * sizeof(float);
}

double damped_hessian::entry(std::size_t i, std::size_t j) const noexcept {
  const std::size_t row = std::min(i, j), column = std::max(i, j);
  return double{gram_[triangle_row(columns_, row) + (column - row)]} + (i == j ? ridge_ : 0.0);
}

bool damped_hessian::invert(thread_pool& pool, interrupt_checker& interrupts) {
  const auto n = static_cast<Index>(columns_);
  inverse_.assign(columns_ * columns_, 0.0);
  Eigen::Map<square_matrix> h(inverse_.data(), n, n);
  for (Index i = 0; i < n; ++i) {
    if (i % 64 == 0) interrupts.check();
    for (Index j = 0; j <= i; ++j) h(i, j) = entry(static_cast<std::size_t>(i), static_cast<std::size_t>(j));
  }
  return hessian_detail::invert(h, pool, interrupts);
}

damped_hessian::damped_hessian(std::vector<float> gram, std::size_t columns, double ridge, thread_pool& pool,
                               interrupt_checker& interrupts)
    : gram_(std::move(gram)), columns_(columns), ridge_(ridge) {
  if (!(std::isfinite(ridge) && ridge > 0.0)) {
    throw error(sqlstate::invalid_parameter_value, "what is added to the diagonal must be a number above 0");
  }
  if (gram_.size() != columns * (columns + 1) / 2) {
    throw error(sqlstate::invalid_parameter_value, "the Gram matrix has another number of columns");
  }
  if (!std::all_of(gram_.begin(), gram_.end(), [](float v) { return std::isfinite(v); })) {
    throw error(sqlstate::numeric_value_out_of_range, "the Gram matrix has values that are not finite");
  }
  for (int raised = 0; !invert(pool, interrupts); ++raised) {
    if (raised == 3) {
      throw error(sqlstate::numeric_value_out_of_range, "the Gram matrix is not positive semidefinite", {},
                  "Collect the calibration statistics again.");
    }
    ridge_ *= 10.0;
  }
}

}  // namespace hartonomous
