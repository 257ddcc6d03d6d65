// Saliencies of atoms (hartonomous/importance.hpp).
#include <algorithm>
#include <cstddef>

#include "hartonomous/error.hpp"
#include "hartonomous/importance.hpp"
#include "hessian/factor.hpp"
#include "linear_algebra/sgemm.hpp"

namespace hartonomous {
namespace {

using Eigen::Index;
using hessian_detail::square_matrix;

constexpr std::size_t panel_rows = 64;  // rows of a task

// The factors of the atoms of a row follow each other; only the last atom may be shorter.
std::size_t factor_offset(const atom_layout& layout, std::uint64_t atom) {
  return atom * layout.atom_size * layout.length_in_row(0);
}

}  // namespace

std::uint64_t atom_saliencies::bytes(const atom_layout& layout) noexcept {
  const std::uint64_t width = layout.length_in_row(0);
  return layout.row_length * width * sizeof(float) + width * width * sizeof(double);
}

atom_saliencies::atom_saliencies(const damped_hessian& hessian, const atom_layout& layout, thread_pool& pool,
                                 interrupt_checker& interrupts)
    : layout_(layout), factors_(layout.row_length * layout.length_in_row(0)) {
  for (std::uint64_t atom = 0; atom < layout.atoms_per_row(); ++atom) {
    interrupts.check();
    const std::size_t first = layout.column_of(atom), width = layout.length_in_row(atom);
    const auto size = static_cast<Index>(width);
    square_matrix block = square_matrix::Zero(size, size);
    for (std::size_t i = 0; i < width; ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        block(static_cast<Index>(i), static_cast<Index>(j)) = hessian.inverse(first + i, first + j);
      }
    }
    if (!hessian_detail::invert_factor(block, pool, interrupts)) {
      throw error(sqlstate::numeric_value_out_of_range, "the Gram matrix is not positive semidefinite");
    }
    std::transform(block.data(), block.data() + width * width, factors_.data() + factor_offset(layout, atom),
                   [](double v) { return static_cast<float>(v); });
  }
}

void atom_saliencies::compute(span<const float> weights, std::size_t rows, double* out, thread_pool& pool,
                              interrupt_checker& interrupts) const {
  const std::size_t n = layout_.row_length, atoms = layout_.atoms_per_row();
  const std::size_t panels = (rows + panel_rows - 1) / panel_rows;
  pool.run(panels * atoms, interrupts, [&](std::size_t task) {
    const std::size_t first = task / atoms * panel_rows, count = std::min(panel_rows, rows - first);
    const std::size_t atom = task % atoms, width = layout_.length_in_row(atom);
    std::vector<float> products(count * width);
    multiply_transposed({weights.data() + first * n + layout_.column_of(atom), count, width, n},
                        {factors_.data() + factor_offset(layout_, atom), width, width, width}, 1.0F, products.data(),
                        width);
    for (std::size_t r = 0; r < count; ++r) {
      double sum = 0.0;
      for (std::size_t i = 0; i < width; ++i) sum += double{products[r * width + i]} * products[r * width + i];
      out[(first + r) * atoms + atom] = 0.5 * sum;
    }
  });
}

}  // namespace hartonomous
