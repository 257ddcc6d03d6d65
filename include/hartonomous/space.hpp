// Which weights the atoms of a tensor hold, and their positions in space.
//
// X and Y are the first two principal coordinates of the atom's row within its tensor (rank-2 SVD of the rows), scaled
// linearly so that the tensor's atoms span [0, 100]. An atom that is part of a row gets the projection of its part, so
// that the parts of a row add up; one of several rows gets the mean of theirs. Z is the importance: the log of the
// atom's root mean square, standardized within the tensor and clipped to [-10, 10].
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"
#include "hartonomous/thread_pool.hpp"

namespace hartonomous {

// How a matrix of rows x row_length is cut into atoms, row after row. If atom_size is less than a row, an atom is a run
// of atom_size weights of one row, and the last one of a row is shorter. Otherwise an atom is as many whole rows as
// atom_size holds, and the last one of the matrix has those that are left.
struct atom_layout {
  std::uint64_t rows = 0;
  std::uint64_t row_length = 0;
  std::uint32_t atom_size = 1;

  std::uint64_t rows_per_atom() const noexcept {
    return row_length > 0 && atom_size > row_length ? atom_size / row_length : 1;
  }
  std::uint64_t atoms_per_row() const noexcept { return (row_length + atom_size - 1) / atom_size; }
  std::uint64_t atoms() const noexcept { return end_atom(rows); }
  // The row in which an atom begins, and at which column.
  std::uint64_t row_of(std::uint64_t atom) const noexcept { return atom / atoms_per_row() * rows_per_atom(); }
  std::uint64_t column_of(std::uint64_t atom) const noexcept { return atom % atoms_per_row() * atom_size; }
  // The number of weights before the atom.
  std::uint64_t offset_of(std::uint64_t atom) const noexcept { return row_of(atom) * row_length + column_of(atom); }
  std::uint64_t length_of(std::uint64_t atom) const noexcept {
    if (rows_per_atom() == 1) return length_in_row(atom % atoms_per_row());
    const std::uint64_t first = row_of(atom), left = first < rows ? rows - first : 0;
    return (left < rows_per_atom() ? left : rows_per_atom()) * row_length;
  }
  // Of how many weights of a row the n-th of its atoms consists.
  std::uint64_t length_in_row(std::uint64_t n) const noexcept {
    const std::uint64_t left = row_length - n * atom_size;
    return left < atom_size ? left : atom_size;
  }
  // The first atom with weights of a row, and the one after those with weights of the rows before `row`.
  std::uint64_t first_atom(std::uint64_t row) const noexcept { return row / rows_per_atom() * atoms_per_row(); }
  std::uint64_t end_atom(std::uint64_t row) const noexcept {
    return (row + rows_per_atom() - 1) / rows_per_atom() * atoms_per_row();
  }
  // The same matrix with atoms of at most one row.
  atom_layout of_single_rows() const noexcept {
    return {rows, row_length, rows_per_atom() > 1 ? static_cast<std::uint32_t>(row_length) : atom_size};
  }
};

// Two orthonormal directions in row space. The second (or both) is zero if the rows do not span two dimensions.
struct principal_plane {
  std::vector<float> first, second;
};

// Number of rows, taken at even intervals, from which the plane is computed.
inline constexpr std::uint64_t plane_sample_rows = 64;

// The first two right singular vectors of `sample` (rows x columns, row-major). The sign is chosen so that the largest
// component is positive. Deterministic. Rows with NaN, infinity or values of 1e30 and more count as zero.
principal_plane find_principal_plane(span<const float> sample, std::size_t rows, std::size_t columns, thread_pool& pool,
                                     interrupt_checker& interrupts);

// The importance of a tensor's atoms from the logarithms of something that is 0 or more: standardized to mean 0 and
// deviation 1 and clipped to [-10, 10]. What is not finite does not count in mean and deviation: -infinity becomes -10,
// NaN and infinity, which say nothing, become 10, so that such an atom is not pruned.
void standardize_importance(span<float> logarithms);

// The logarithm of the root mean square of an atom, which is one or more rows of row_length weights or a part of a row.
// It determines the importance of an atom that is imported.
float log_root_mean_square(span<const float> weights, std::size_t row_length);

struct atom_position {
  float x, y, importance;
};

// Computes the positions of the atoms of one tensor: call add_row() for every row in order, then positions().
class tensor_space {
 public:
  tensor_space(const atom_layout& layout, principal_plane plane);
  // `row` has row_length weights. An atom with NaN or infinite weights gets importance 10 and lies at the center.
  void add_row(span<const float> row);
  // Marks an atom of a row that was added before as missing: the positions of the others are as if it did not exist.
  // Its own position is meaningless.
  void leave_out(std::uint64_t atom);
  // One position per atom, in atom order.
  const std::vector<atom_position>& positions();

 private:
  void add_to_atom(span<const float> row);
  void scale_plane();
  void standardise_importance();

  atom_layout layout_;
  principal_plane plane_;
  double first_ = 0, second_ = 0, energy_ = 0;  // sums over the rows of an atom of several that were added so far
  std::uint64_t rows_ = 0;                      // how many these are
  std::vector<atom_position> positions_;  // before positions(): raw projections and the log of the root mean square
};

// The rows of a matrix, wherever they are stored: a sample of them is read first, to find the plane, then all of them.
class matrix_rows {
 public:
  virtual ~matrix_rows() = default;
  // Writes the rows with these (ascending) numbers to `to`, one after the other.
  virtual void sample(span<const std::uint64_t> rows, float* to) = 0;
  // The next row, beginning with the first.
  virtual void next(float* to) = 0;
  // Whether an atom exists that ends in the row that next() read last. Missing ones are read as zeros.
  virtual bool has(std::uint64_t /*atom*/) const { return true; }
};

// The positions of a matrix's atoms, in atom order. All positions are computed by this function. It takes
// atom_positions_bytes() of memory.
std::vector<atom_position> atom_positions(const atom_layout& layout, matrix_rows& rows, thread_pool& pool,
                                          interrupt_checker& interrupts);
std::uint64_t atom_positions_bytes(const atom_layout& layout) noexcept;

// The position of atoms that have none of their own: those of vectors (norms, biases) and of tensors in a carried
// format.
inline constexpr atom_position default_atom_position = {50.0f, 50.0f, 10.0f};

}  // namespace hartonomous
