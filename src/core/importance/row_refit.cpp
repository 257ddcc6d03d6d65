// The least-squares refit of rows (hartonomous/importance.hpp).
#include <algorithm>
#include <cmath>
#include <cstddef>

#include "hartonomous/error.hpp"
#include "hartonomous/importance.hpp"
#include "hessian/factor.hpp"

namespace hartonomous {
namespace {

using Eigen::Index;
using Eigen::VectorXd;
using hessian_detail::square_matrix;

// A system of more equations than this takes more than a few milliseconds: it is solved by all threads together.
constexpr std::size_t most_alone = 512;

using columns = std::vector<std::size_t>;

// What is deleted of a row, and what is kept.
struct divided_row {
  columns gone, kept;

  bool solves_for_gone() const noexcept { return gone.size() <= kept.size(); }
  const columns& unknowns() const noexcept { return solves_for_gone() ? gone : kept; }
};

divided_row divide(const atom_layout& layout, const std::uint8_t* gone) {
  divided_row row;
  std::size_t column = 0;
  for (std::uint64_t atom = 0; atom < layout.atoms_per_row(); ++atom) {
    columns& to = gone[atom] != 0 ? row.gone : row.kept;
    for (const std::size_t end = column + layout.length_in_row(atom); column < end; ++column) to.push_back(column);
  }
  return row;
}

// (H⁻¹)_DD or H_KK: the lower triangle, with zeros above.
square_matrix system_of(const damped_hessian& h, const divided_row& row) {
  const columns& at = row.unknowns();
  const auto size = static_cast<Index>(at.size());
  square_matrix matrix = square_matrix::Zero(size, size);
  for (std::size_t i = 0; i < at.size(); ++i) {
    double* const to = matrix.row(static_cast<Index>(i)).data();
    for (std::size_t j = 0; j <= i; ++j) {
      to[j] = row.solves_for_gone() ? h.inverse(at[i], at[j]) : h.entry(at[i], at[j]);
    }
  }
  return matrix;
}

// w_D or H_KD w_D.
VectorXd right_side(const damped_hessian& h, const divided_row& row, const float* w) {
  VectorXd side(static_cast<Index>(row.unknowns().size()));
  for (std::size_t i = 0; i < row.unknowns().size(); ++i) {
    double sum = 0.0;
    if (row.solves_for_gone()) {
      sum = double{w[row.gone[i]]};
    } else {
      for (const std::size_t d : row.gone) sum += h.entry(row.kept[i], d) * double{w[d]};
    }
    side[static_cast<Index>(i)] = sum;
  }
  return side;
}

[[noreturn]] void refuse() {
  throw error(sqlstate::numeric_value_out_of_range, "the Gram matrix is not positive semidefinite");
}

VectorXd solve_alone(const damped_hessian& h, const divided_row& row, const float* w) {
  const Eigen::LLT<square_matrix> factor(system_of(h, row));
  if (factor.info() != Eigen::Success) refuse();
  return factor.solve(right_side(h, row, w));
}

VectorXd solve_together(const damped_hessian& h, const divided_row& row, const float* w, thread_pool& pool,
                        interrupt_checker& interrupts) {
  square_matrix inverse = system_of(h, row);  // becomes that of its factor
  if (!hessian_detail::invert_factor(inverse, pool, interrupts)) refuse();
  const VectorXd half = inverse.triangularView<Eigen::Lower>() * right_side(h, row, w);
  return inverse.transpose().triangularView<Eigen::Upper>() * half;
}

void change(const damped_hessian& h, const divided_row& row, const VectorXd& solution, float* w) {
  for (std::size_t k = 0; k < row.kept.size(); ++k) {
    double sum = 0.0;
    if (row.solves_for_gone()) {
      for (std::size_t d = 0; d < row.gone.size(); ++d) {
        sum -= h.inverse(row.kept[k], row.gone[d]) * solution[static_cast<Index>(d)];
      }
    } else {
      sum = solution[static_cast<Index>(k)];
    }
    const std::size_t column = row.kept[k];
    sum += static_cast<double>(w[column]);
    w[column] = static_cast<float>(sum);
  }
}

bool needs_refit(const divided_row& row, const float* w) {
  if (row.kept.empty()) return false;
  const auto is_zero = [w](std::size_t d) { return w[d] == 0.0F; };
  const auto is_finite = [w](std::size_t d) { return std::isfinite(w[d]); };
  return !std::all_of(row.gone.begin(), row.gone.end(), is_zero) &&
         std::all_of(row.gone.begin(), row.gone.end(), is_finite);
}

}  // namespace

std::uint64_t row_refit::bytes(std::uint64_t columns, unsigned threads) noexcept {
  const std::uint64_t most = columns / 2 + 1, alone = std::min<std::uint64_t>(most, most_alone);
  return std::max(most * most, std::max(threads, 1U) * 2 * alone * alone) * sizeof(double);
}

std::vector<std::uint8_t> row_refit::apply(span<float> weights, std::size_t rows, span<const std::uint8_t> gone,
                                           thread_pool& pool, interrupt_checker& interrupts) const {
  const std::size_t n = layout_.row_length, atoms = layout_.atoms_per_row();
  std::vector<std::uint8_t> changed(rows, 0);
  // Returns whether the row is left to be solved by all threads together.
  const auto refit = [&](std::size_t r, bool alone) {
    float* const w = weights.data() + r * n;
    const divided_row row = divide(layout_, gone.data() + r * atoms);
    if (needs_refit(row, w)) {
      if (alone && row.unknowns().size() > most_alone) return true;
      change(hessian_, row, alone ? solve_alone(hessian_, row, w) : solve_together(hessian_, row, w, pool, interrupts),
             w);
      changed[r] = 1;
    }
    for (const std::size_t d : row.gone) w[d] = 0.0F;
    return false;
  };
  std::vector<std::uint8_t> left(rows, 0);
  pool.run(rows, interrupts, [&](std::size_t r) { left[r] = refit(r, true) ? 1 : 0; });
  for (std::size_t r = 0; r < rows; ++r) {
    if (left[r] != 0) refit(r, false);
  }
  return changed;
}

}  // namespace hartonomous
