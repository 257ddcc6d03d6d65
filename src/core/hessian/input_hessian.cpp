// H and its factor from a Gram matrix (hartonomous/hessian.hpp).
//
// Rows and columns are reversed for the factorization: if J H J = L Lᵀ, where J reverses the order, then C = J L⁻¹ J is
// upper triangular and H⁻¹ = CᵀC. Neither H⁻¹ nor a second factorization is needed.
#include <algorithm>
#include <cmath>
#include <string>

#include "hartonomous/error.hpp"
#include "hartonomous/hessian.hpp"
#include "hessian/factor.hpp"
#include "linear_algebra/steps.hpp"

namespace hartonomous {
namespace {

using Eigen::Index;
using hessian_detail::square_matrix;

constexpr std::size_t panel_columns = input_hessian::panel_columns;

[[noreturn]] void refuse_entry(std::size_t row, std::size_t column, double value) {
  const char* what = std::isnan(value) ? "NaN" : std::isinf(value) ? "infinite" : "negative";
  throw error(sqlstate::invalid_parameter_value,
              "Gram matrix has a number that is " + std::string(what) + " in row " + std::to_string(row + 1) +
                  ", column " + std::to_string(column + 1),
              "A Gram matrix is a sum of squares on its diagonal, and finite everywhere.");
}

// The lower triangle of J G J, checked. Returns the mean of the diagonal.
double read_reversed(const input_hessian::row_reader& gram, square_matrix& to, interrupt_checker& interrupts) {
  const auto n = static_cast<std::size_t>(to.rows());
  std::vector<double> row(n);
  double trace = 0.0;
  for (std::size_t k = 0; k < n; ++k) {
    interrupts.check();
    gram(k, row.data());
    if (row[0] < 0.0) refuse_entry(k, k, row[0]);
    trace += row[0];
    double* const reversed = to.row(static_cast<Index>(n - 1 - k)).data();
    for (std::size_t i = 0; k + i < n; ++i) {
      if (!std::isfinite(row[i])) refuse_entry(k, k + i, row[i]);
      reversed[n - 1 - k - i] = row[i];
    }
    std::fill(reversed + (n - k), reversed + n, 0.0);  // above the diagonal
  }
  if (!std::isfinite(trace)) throw error(sqlstate::invalid_parameter_value, "trace of the Gram matrix overflows");
  return trace / static_cast<double>(n);
}

// Damps, and scales to mean diagonal 1.
void damp(square_matrix& matrix, double mean, double damping, interrupt_checker& interrupts) {
  if (mean > 0.0) matrix.diagonal().array() += damping * mean;
  for (Index row = 0; row < matrix.rows(); ++row) {
    if (row % 64 == 0) interrupts.check();
    auto part = matrix.row(row).head(row + 1);
    if (mean > 0.0) {
      part *= 1.0 / (mean * (1.0 + damping));
    } else {
      part.setZero();
      part[row] = 1.0;
    }
  }
}

// Calls task(panel, first row, end of rows) for all panels, in tasks of few rows; a panel's rows begin with that of its
// first column if `triangular`.
template <class Task>
void for_panels(const input_hessian& h, bool triangular, thread_pool& pool, interrupt_checker& interrupts, Task task) {
  constexpr std::size_t rows = 512;
  const std::size_t columns = h.columns(), parts = (columns + rows - 1) / rows;
  pool.run(h.panels() * parts, interrupts, [&](std::size_t i) {
    const std::size_t panel = i / parts, least = triangular ? panel * panel_columns : 0;
    const std::size_t from = std::max(i % parts * rows, least), end = std::min(i % parts * rows + rows, columns);
    if (from < end) task(panel, from, end);
  });
}

}  // namespace

std::size_t input_hessian::panel_width(std::size_t panel) const noexcept {
  return std::min(panel_columns, columns_ - panel * panel_columns);
}

std::size_t input_hessian::factor_offset(std::size_t panel) const noexcept {
  // Panels before this one have 256 columns, and 256 rows fewer each than the one before.
  return panel == 0 ? 0 : panel_columns * (panel * columns_ - panel_columns * (panel * (panel - 1) / 2));
}

std::uint64_t input_hessian::bytes(std::size_t columns) noexcept {
  const auto n = static_cast<std::uint64_t>(columns);
  return (columns <= most_columns_of_both_orders ? 2 : 1) * sizeof(float) * (n * n + n * (n + panel_columns) / 2);
}

std::uint64_t input_hessian::work_bytes(std::size_t columns) noexcept {
  return bytes(columns) + sizeof(double) * std::uint64_t{columns} * columns;
}

input_hessian::input_hessian(std::size_t columns, const row_reader& gram, double damping, thread_pool& pool,
                             interrupt_checker& interrupts)
    : columns_(columns), damping_(damping) {
  if (columns == 0) throw error(sqlstate::invalid_parameter_value, "Gram matrix has no columns");
  if (!(damping > 0.0 && damping <= 1.0)) {
    throw error(sqlstate::invalid_parameter_value, "damping must be above 0 and at most 1");
  }
  grow(hessian_, columns * columns, interrupts);
  factor(gram, true, pool, interrupts);
  if (columns <= most_columns_of_both_orders) reversed_.reset(new input_hessian(*this, pool, interrupts));
}

// The matrix itself is the same to the last bit. Its factor is damped once more: H is known in float only, and might
// not be positive definite any more.
input_hessian::input_hessian(const input_hessian& in_order, thread_pool& pool, interrupt_checker& interrupts)
    : columns_(in_order.columns_), damping_(in_order.damping_) {
  const std::size_t last = columns_ - 1;
  hessian_.reserve(columns_ * columns_);
  for (std::size_t p = 0; p < panels(); ++p) {
    for (std::size_t j = 0; j < columns_; ++j) {
      for (std::size_t i = 0; i < panel_width(p); ++i) {
        hessian_.push_back(in_order.entry(last - j, last - (p * panel_columns + i)));
      }
    }
  }
  const auto row = [&](std::size_t j, double* out) {
    for (std::size_t i = j; i < columns_; ++i) *out++ = static_cast<double>(entry(j, i));
  };
  factor(row, false, pool, interrupts);
}

float input_hessian::entry(std::size_t row, std::size_t column) const noexcept {
  const std::size_t p = column / panel_columns;
  return hessian_panel(p)[row * panel_width(p) + column % panel_columns];
}

// Damps and factors a matrix. H itself is stored if `keep_hessian`.
void input_hessian::factor(const row_reader& matrix, bool keep_hessian, thread_pool& pool,
                           interrupt_checker& interrupts) {
  const std::size_t columns = columns_;
  const auto n = static_cast<Index>(columns);
  square_matrix work(n, n);
  const auto reversed = [n](std::size_t k) { return n - 1 - static_cast<Index>(k); };
  for (int raised = 0;; ++raised) {
    const double mean = read_reversed(matrix, work, interrupts);
    damp(work, mean, damping_, interrupts);
    if (keep_hessian)
      for_panels(*this, false, pool, interrupts, [&](std::size_t p, std::size_t first, std::size_t end) {
        const std::size_t width = panel_width(p), from = p * panel_columns;
        float* out = &hessian_[from * columns + first * width];
        for (std::size_t j = first; j < end; ++j) {
          for (std::size_t i = from; i < from + width; ++i) {
            *out++ = static_cast<float>(work(reversed(std::min(i, j)), reversed(std::max(i, j))));
          }
        }
      });
    if (hessian_detail::invert_factor(work, pool, interrupts)) break;
    if (raised == 3) {
      throw error(sqlstate::invalid_parameter_value, "Gram matrix is not positive definite",
                  "It still is not with damping " + std::to_string(damping_) + ".",
                  "Collect the calibration statistics again.");
    }
    damping_ *= 10.0;
  }
  grow(factor_, factor_offset(panels() - 1) + panel_width(panels() - 1) * panel_width(panels() - 1), interrupts);
  for_panels(*this, true, pool, interrupts, [&](std::size_t p, std::size_t first, std::size_t end) {
    const std::size_t width = panel_width(p), from = p * panel_columns;
    float* out = &factor_[factor_offset(p) + (first - from) * width];
    for (std::size_t j = first; j < end; ++j) {
      for (std::size_t i = from; i < from + width; ++i) {
        *out++ = i <= j ? static_cast<float>(work(reversed(i), reversed(j))) : 0.0f;
      }
    }
  });
  factor_reciprocals_.resize(columns);
  importance_.resize(columns);
  for (std::size_t k = 0; k < columns; ++k) {
    const double reciprocal = 1.0 / work(reversed(k), reversed(k));
    factor_reciprocals_[k] = static_cast<float>(reciprocal);
    importance_[k] = static_cast<float>(reciprocal * reciprocal);
  }
}

input_hessian::block_factors input_hessian::factors_of_blocks(std::size_t size, interrupt_checker& interrupts) const {
  block_factors result;
  result.factors.resize(columns_ * size);
  result.reciprocals.resize(columns_);
  std::vector<double> block(size * size);
  for (std::size_t from = 0; from < columns_; from += size) {
    if (from % panel_columns == 0) interrupts.check();
    const std::size_t p = from / panel_columns, width = panel_width(p), within = from % panel_columns;
    for (std::size_t j = 0; j < size; ++j) {
      for (std::size_t i = 0; i < size; ++i) block[j * size + i] = hessian_panel(p)[(from + j) * width + within + i];
    }
    if (!hessian_detail::invert_small(block.data(), size)) {
      throw error(sqlstate::invalid_parameter_value, "Gram matrix is not positive definite");
    }
    for (std::size_t j = 0; j < size; ++j) {
      for (std::size_t i = 0; i < size; ++i) {
        result.factors[from * size + j * size + i] = static_cast<float>(block[i * size + j]);
      }
      result.reciprocals[from + j] = static_cast<float>(1.0 / block[j * size + j]);
    }
  }
  return result;
}

}  // namespace hartonomous
