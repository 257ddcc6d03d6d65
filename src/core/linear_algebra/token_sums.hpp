// Sums over tokens of the products of two inputs, aᵀb: with a = b, a Gram matrix.
//
// Products are summed in float over at most 512 tokens, and these sums in double, in the order of the tokens. Tiles are
// independent of each other, so that any number of threads may share them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hartonomous/interrupt.hpp"
#include "hartonomous/thread_pool.hpp"

namespace hartonomous {

// Some rows of a matrix, of which the first is that of a tile.
struct matrix_rows {
  std::size_t first = 0, count = 0;
};

// What is summed of each row.
enum class sum_shape {
  all_columns,
  upper_triangle,  // and what is below the diagonal within tiles of the diagonal
};

class token_sums {
 public:
  static constexpr std::size_t tile_size = 256;  // rows and columns, which one call of add() computes
  static constexpr std::size_t run = 512;        // tokens summed in float

  // Rows of a matrix with that many columns, all zeros.
  token_sums(matrix_rows rows, std::size_t columns, sum_shape shape, interrupt_checker& interrupts);

  // How many numbers an object holds.
  static std::uint64_t numbers(matrix_rows rows, std::size_t columns, sum_shape shape) noexcept;
  std::size_t tiles() const noexcept { return tiles_.size(); }
  // Adds to one tile. Both inputs are of `tokens` tokens; a token of `a` takes `a_columns` numbers, one for each row of
  // the matrix, and a token of `b` one for each column.
  void add(std::size_t tile, const float* a, std::size_t a_columns, const float* b, std::size_t tokens);
  // A row, counted from the first of the matrix: all its columns, or those from the diagonal on.
  const double* row(std::size_t row) const noexcept;

 private:
  struct tile {
    std::size_t row = 0, column = 0;  // the first of each, in the matrix
  };

  matrix_rows rows_;
  std::size_t columns_;
  sum_shape shape_;
  std::vector<tile> tiles_;
  std::vector<std::size_t> starts_;  // of each row in sums_
  std::vector<double> sums_;
};

// The upper triangle of the sum over tokens of x xᵀ, with x tokens x columns.
token_sums gram_sums(const float* x, std::size_t columns, std::size_t tokens, thread_pool& pool,
                     interrupt_checker& interrupts);

// The sum over tokens of (left - minus) rightᵀ. `left` and `minus` are tokens x left_columns, `right` is tokens x
// right_columns.
token_sums cross_sums(const float* left, const float* minus, std::size_t left_columns, const float* right,
                      std::size_t right_columns, std::size_t tokens, thread_pool& pool, interrupt_checker& interrupts);

}  // namespace hartonomous
