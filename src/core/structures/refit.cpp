// The least-squares refit of kept columns (hartonomous/structures.hpp).
#include "hartonomous/error.hpp"
#include "hartonomous/structures.hpp"
#include "linear_algebra/sgemm.hpp"
#include "structures/ridge.hpp"

#include <algorithm>
#include <cmath>

namespace hartonomous {
namespace {

using Eigen::Index;

// An entry of a symmetric matrix of which the upper triangle is stored, row after row.
double entry(span<const float> gram, std::size_t n, std::size_t i, std::size_t j) {
  const std::size_t row = std::min(i, j), column = std::max(i, j);
  return double{gram[row * n - row * (row + 1) / 2 + column]};
}

// Checks the Gram matrix; returns the mean of its diagonal.
double checked_mean(span<const float> gram, std::size_t n) {
  if (!std::all_of(gram.begin(), gram.end(), [](float v) { return std::isfinite(v); })) {
    throw error(sqlstate::numeric_value_out_of_range, "the Gram matrix has values that are not finite");
  }
  double sum = 0.0;
  for (std::size_t i = 0; i < n; ++i) sum += entry(gram, n, i, i);
  return n > 0 ? sum / static_cast<double>(n) : 0.0;
}

}  // namespace

std::uint64_t column_refit::bytes(std::uint64_t n, std::uint64_t kept) noexcept {
  const std::uint64_t dropped = n - kept;
  return kept * kept * sizeof(double) + structures_detail::solve_bytes(kept) + dropped * kept * sizeof(float);
}

column_refit::column_refit(span<const float> gram, std::size_t n, span<const std::uint32_t> kept, double damping,
                           thread_pool& pool, interrupt_checker& interrupts)
    : n_(n), kept_(kept.begin(), kept.end()) {
  if (!(std::isfinite(damping) && damping > 0.0)) {
    throw error(sqlstate::invalid_parameter_value, "damping must be a number above 0");
  }
  const double mean = checked_mean(gram, n);
  for (std::uint32_t i = 0; i < n; ++i) {
    if (!std::binary_search(kept_.begin(), kept_.end(), i)) dropped_.push_back(i);
  }
  transfer_.assign(dropped_.size() * kept_.size(), 0.0F);
  if (mean <= 0.0 || dropped_.empty()) return;  // without any active input there is nothing to make up for
  const auto size = static_cast<Index>(kept_.size());
  hessian_detail::square_matrix h = hessian_detail::square_matrix::Zero(size, size);
  for (Index j = 0; j < size; ++j) {
    for (Index i = j; i < size; ++i) {
      h(i, j) = entry(gram, n, kept_[static_cast<std::size_t>(i)], kept_[static_cast<std::size_t>(j)]);
    }
    h(j, j) += damping * mean;
    if (j % 64 == 0) interrupts.check();
  }
  const auto of_dropped = [&](std::size_t d, std::size_t k) { return entry(gram, n, kept_[k], dropped_[d]); };
  if (!structures_detail::solve_rows(h, dropped_.size(), of_dropped, transfer_.data(), pool, interrupts)) {
    throw error(sqlstate::numeric_value_out_of_range, "the Gram matrix is not positive semidefinite");
  }
}

void column_refit::apply(const float* weights, std::size_t rows, float* out) const {
  const std::size_t width = kept_.size();
  std::vector<float> gone(rows * dropped_.size());
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t d = 0; d < dropped_.size(); ++d) gone[r * dropped_.size() + d] = weights[r * n_ + dropped_[d]];
  }
  std::fill_n(out, rows * width, 0.0F);
  if (!dropped_.empty()) {
    multiply({gone.data(), rows, dropped_.size(), dropped_.size()}, {transfer_.data(), dropped_.size(), width, width},
             out, width);
  }
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t k = 0; k < width; ++k) out[r * width + k] += weights[r * n_ + kept_[k]];
  }
}

}  // namespace hartonomous
