// How important the atoms of a matrix are for its outputs, and how the weights that stay make up for atoms that are
// deleted.
//
// A linear layer y = W x loses tr((W - V) G (W - V)ᵀ) when W becomes V, where G = sum of x xᵀ over calibration tokens.
// Rows are independent. Of a row w, deleting the weights B costs
//   energy (Wanda): the sum over j in B of w_j² G_jj, as if inputs were uncorrelated (Sun et al. 2023);
//   saliency (block OBS): ½ w_Bᵀ [(H⁻¹)_BB]⁻¹ w_B with H = G + ridge * I, if all other weights of the row are refitted
//   (Hassibi & Stork 1993, Frantar & Alistarh 2023).
// Both are of one atom alone: they do not know that atoms of the same row may stand in for each other, so the cost of
// deleting several is not the sum of their costs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hartonomous/interrupt.hpp"
#include "hartonomous/space.hpp"
#include "hartonomous/span.hpp"
#include "hartonomous/thread_pool.hpp"

namespace hartonomous {

// The weights of the columns in an energy: the sums of squares of the inputs, but at least 1e-6 of their mean, so that
// atoms of inputs that are never active rank below all others, and among themselves by magnitude; 1 if none is ever
// active. Several matrices, one after the other, share the mean.
std::vector<double> column_energies(span<const float> sums_of_squares);

// Adds the energies of a row's atoms, or its part of that of an atom of several rows, to `out`, from the numbers of
// column_energies().
void add_atom_energies(const atom_layout& layout, span<const float> row, const double* columns, double* out);

// H = G + ridge * I and its inverse, in double.
class damped_hessian {
 public:
  // What is added to the diagonal: the share `damping` of its mean in this matrix, or if this one is never active
  // 1e-6 of `mean`, that of all matrices of the tensor; 1 if none is.
  static double ridge(span<const float> gram, std::size_t columns, double damping, double mean);

  // `gram` is the upper triangle of G, row after row, each from the diagonal on. If H is not positive definite, because
  // G was rounded, the ridge becomes ten times as large, up to 1000 times.
  //
  // Errors: 22023 if the ridge is not finite and above 0, or gram has another size; 22003 if it has numbers that are
  // not finite, or is not positive semidefinite.
  damped_hessian(std::vector<float> gram, std::size_t columns, double ridge, thread_pool& pool,
                 interrupt_checker& interrupts);
  static std::uint64_t bytes(std::uint64_t columns) noexcept;

  std::size_t columns() const noexcept { return columns_; }
  double ridge() const noexcept { return ridge_; }
  double entry(std::size_t i, std::size_t j) const noexcept;
  double inverse(std::size_t i, std::size_t j) const noexcept { return inverse_[i * columns_ + j]; }

 private:
  bool invert(thread_pool& pool, interrupt_checker& interrupts);

  std::vector<float> gram_;
  std::size_t columns_;
  double ridge_;
  std::vector<double> inverse_;  // both triangles
};

// Computes the saliencies of atoms. For n columns and atoms of a weights it takes n * a multiply-adds a row, and
// 2/3 * n * a² beforehand.
class atom_saliencies {
 public:
  atom_saliencies(const damped_hessian& hessian, const atom_layout& layout, thread_pool& pool,
                  interrupt_checker& interrupts);
  static std::uint64_t bytes(const atom_layout& layout) noexcept;

  // Of `rows` rows; `out` has room for as many numbers as these have atoms, or one for each if atoms are several rows,
  // of which the saliency is the sum. NaN for atoms with NaN or infinity.
  void compute(span<const float> weights, std::size_t rows, double* out, thread_pool& pool,
               interrupt_checker& interrupts) const;

 private:
  atom_layout layout_;
  std::vector<float> factors_;  // of each block L⁻¹, where (H⁻¹)_BB = L Lᵀ: a saliency is ½ |L⁻¹ w|²
};

// Refits the weights that stay in a row by least squares when others are deleted.
class row_refit {
 public:
  // The Hessian must outlive it.
  row_refit(const damped_hessian& hessian, const atom_layout& layout) : hessian_(hessian), layout_(layout) {}
  // The most memory in bytes that apply() takes.
  static std::uint64_t bytes(std::uint64_t columns, unsigned threads) noexcept;

  // `gone` has a number for each atom of the rows, which is not 0 for those that are deleted or missing. Their weights
  // become 0. With D the deleted columns and K the others of a row w,
  //   w_K <- w_K - (H⁻¹)_KD [(H⁻¹)_DD]⁻¹ w_D  =  w_K + (H_KK)⁻¹ H_KD w_D;
  // the first takes |D|³/6 + n |D| multiply-adds, the second |K|³/6 + n |D|, and the cheaper one is used. The result
  // does not depend on the number of threads.
  //
  // Returns for each row whether other weights than those deleted changed. Rows whose deleted weights are not finite
  // keep all others.
  std::vector<std::uint8_t> apply(span<float> weights, std::size_t rows, span<const std::uint8_t> gone,
                                  thread_pool& pool, interrupt_checker& interrupts) const;

 private:
  const damped_hessian& hessian_;
  atom_layout layout_;
};

}  // namespace hartonomous
