// The least-squares refit of kept columns (hartonomous/structures.hpp).
#include "hartonomous/error.hpp"
#include "hartonomous/structures.hpp"
#include "linear_algebra/eigen.hpp"
#include "linear_algebra/sgemm.hpp"

#include <algorithm>
#include <cmath>

namespace hartonomous {
namespace {

constexpr std::size_t panel = 64;  // right sides that are solved between two checks for interrupts

double entry(span<const double> gram, std::size_t n, std::size_t i, std::size_t j) {
  return i <= j ? gram[i * n + j] : gram[j * n + i];
}

// Checks the Gram matrix; returns the mean of its diagonal.
double checked_mean(span<const double> gram, std::size_t n) {
  double sum = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = i; j < n; ++j) {
      if (!std::isfinite(gram[i * n + j])) {
        throw error(sqlstate::numeric_value_out_of_range, "the Gram matrix has values that are not finite");
      }
    }
    sum += gram[i * n + i];
  }
  return n > 0 ? sum / static_cast<double>(n) : 0.0;
}

}  // namespace

std::uint64_t column_refit::bytes(std::uint64_t n, std::uint64_t kept) noexcept {
  const std::uint64_t dropped = n - kept;
  return kept * kept * sizeof(double) + kept * panel * sizeof(double) + dropped * kept * sizeof(float);
}

// Solves H_KK X = H_KD for X, which is transposed the share that each kept column receives of each dropped one.
column_refit::column_refit(span<const double> gram, std::size_t n, span<const std::uint32_t> kept, double damping,
                           interrupt_checker& interrupts)
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
  const auto size = static_cast<Eigen::Index>(kept_.size());
  Eigen::MatrixXd h(size, size);
  for (std::size_t j = 0; j < kept_.size(); ++j) {
    for (std::size_t i = 0; i < kept_.size(); ++i) {
      h(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j)) = entry(gram, n, kept_[i], kept_[j]);
    }
    h(static_cast<Eigen::Index>(j), static_cast<Eigen::Index>(j)) += damping * mean;
  }
  interrupts.check();
  const Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> factor(h);
  if (factor.info() != Eigen::Success) {
    throw error(sqlstate::numeric_value_out_of_range, "the Gram matrix is not positive semidefinite");
  }
  for (std::size_t first = 0; first < dropped_.size(); first += panel) {
    interrupts.check();
    const std::size_t count = std::min(panel, dropped_.size() - first);
    Eigen::MatrixXd sides(size, static_cast<Eigen::Index>(count));
    for (std::size_t d = 0; d < count; ++d) {
      for (std::size_t k = 0; k < kept_.size(); ++k) {
        sides(static_cast<Eigen::Index>(k), static_cast<Eigen::Index>(d)) =
            entry(gram, n, kept_[k], dropped_[first + d]);
      }
    }
    factor.solveInPlace(sides);
    for (std::size_t d = 0; d < count; ++d) {
      for (std::size_t k = 0; k < kept_.size(); ++k) {
        transfer_[(first + d) * kept_.size() + k] =
            static_cast<float>(sides(static_cast<Eigen::Index>(k), static_cast<Eigen::Index>(d)));
      }
    }
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
