// The sums of one panel of a Gram matrix (inside src/core/calibration only).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hartonomous/calibration.hpp"

namespace hartonomous::calibration_detail {

// Rows and columns of a tile, which one task computes.
constexpr std::size_t tile_size = 256;

// Which rows of the matrix are in a panel: whole rows of tiles.
struct panel_rows {
  std::size_t first = 0, count = 0;
};

// The panels of a matrix, by its size alone. Error 54000 if a row of tiles does not fit into one.
std::vector<panel_rows> panels_of(std::size_t columns);

// Sums in double of the upper triangle, and what is below the diagonal within tiles of the diagonal.
class gram_sums {
 public:
  gram_sums(std::size_t columns, panel_rows rows);

  static std::uint64_t bytes(std::size_t columns, panel_rows rows) noexcept;
  static std::uint64_t triangle_bytes(std::size_t columns, panel_rows rows) noexcept;
  // The multiplications that add() takes.
  static double multiplications(std::size_t columns, panel_rows rows, std::size_t tokens) noexcept;
  std::size_t tiles() const noexcept { return tiles_.size(); }
  panel_rows rows() const noexcept { return rows_; }
  // Adds x^T x, with x tokens x columns, to one tile. Products are summed in float over at most `run` tokens and those
  // sums in double, in the order of the tokens.
  void add(std::size_t tile, const float* x, std::size_t tokens);
  // The triangle, row after row, each from the diagonal on. The diagonal is taken from `squares`, which was summed in
  // double throughout.
  void triangle(span<const double> squares, std::vector<float>& out) const;

 private:
  struct tile {
    std::size_t row = 0, column = 0;  // the first of each, in the matrix
  };
  static constexpr std::size_t run = 512;

  double* row_at(std::size_t row) noexcept { return sums_.data() + starts_[row - rows_.first]; }

  std::size_t columns_;
  panel_rows rows_;
  std::vector<tile> tiles_;
  std::vector<std::size_t> starts_;  // of each row in sums_, whose first element is in the column of its tile row
  std::vector<double> sums_;
};

}  // namespace hartonomous::calibration_detail
