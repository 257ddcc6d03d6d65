// A tensor's atoms in space: which weights an atom holds, and where it lies.
//
// X and Y: the first two principal coordinates of the atom's row within its tensor (rank-2 SVD of the rows), scaled
// linearly so that the tensor's atoms span [0, 100]; an atom that is part of a row has its part of the row's
// projection, so that the parts add up. Z: importance, the log of the atom's root mean square, standardised within
// the tensor and clipped to [-10, 10].
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"
#include "hartonomous/workers.hpp"

namespace hartonomous {

// How a matrix of rows x row_length is cut: atoms are row after row, atom_size weights each, a row's last one shorter.
struct atom_layout {
  std::uint64_t rows = 0;
  std::uint64_t row_length = 0;
  std::uint32_t atom_size = 1;

  std::uint64_t atoms_per_row() const noexcept { return (row_length + atom_size - 1) / atom_size; }
  std::uint64_t atoms() const noexcept { return rows * atoms_per_row(); }
  std::uint64_t row_of(std::uint64_t atom) const noexcept { return atom / atoms_per_row(); }
  std::uint64_t column_of(std::uint64_t atom) const noexcept { return atom % atoms_per_row() * atom_size; }
  std::uint64_t length_of(std::uint64_t atom) const noexcept {
    const std::uint64_t left = row_length - column_of(atom);
    return left < atom_size ? left : atom_size;
  }
};

// Two orthonormal directions in row space; zeros where the rows have no second (or first) one.
struct principal_plane {
  std::vector<float> first, second;
};

// Rows looked at to find the plane; a tensor's are taken evenly from it.
inline constexpr std::uint64_t plane_sample_rows = 64;

// The first two right singular vectors of `sample`, rows x columns row-major; the sign is fixed by making the largest
// component positive. Deterministic. Rows with NaN, infinity or numbers from 1e30 on count as zero rows.
principal_plane find_principal_plane(span<const float> sample, std::size_t rows, std::size_t columns, workers& crew,
                                     interrupt_checker& interrupts);

struct atom_place {
  float x, y, importance;
};

// Places the atoms of one tensor: add_row() for every row in order, then places().
class tensor_space {
 public:
  tensor_space(const atom_layout& layout, principal_plane plane);
  // `row` has row_length weights. Weights that are NaN or infinite make an atom of importance 10, at the middle.
  void add_row(span<const float> row);
  // An atom of a row added before is not there: the others are placed as if it had no row. Its own place says nothing.
  void leave_out(std::uint64_t atom);
  // One place an atom, in atom order.
  const std::vector<atom_place>& places();

 private:
  void scale_plane();
  void standardise_importance();

  atom_layout layout_;
  principal_plane plane_;
  std::vector<atom_place> places_;  // until places(): raw projections and log root mean squares
};

// The rows of a matrix, wherever they are kept: some of them once, to find the plane, then all of them.
class matrix_rows {
 public:
  virtual ~matrix_rows() = default;
  // The rows of these numbers, which ascend, one after the other to `to`.
  virtual void sample(span<const std::uint64_t> rows, float* to) = 0;
  // The next row, beginning with the first.
  virtual void next(float* to) = 0;
  // Whether an atom of the row that next() read last is there; one that is not was read as zeros.
  virtual bool has(std::uint64_t /*atom*/) const { return true; }
};

// One place an atom, in atom order: the only way in which atoms of matrices are placed. Takes placing_bytes() of
// memory.
std::vector<atom_place> place_atoms(const atom_layout& layout, matrix_rows& rows, workers& crew,
                                    interrupt_checker& interrupts);
std::uint64_t placing_bytes(const atom_layout& layout) noexcept;

// Where atoms lie that have no place of their own: vectors (norms, biases) and tensors whose format is only carried.
inline constexpr atom_place unplaced = {50.0f, 50.0f, 10.0f};

}  // namespace hartonomous
