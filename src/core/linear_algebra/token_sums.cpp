// Products tile by tile (token_sums.hpp).
#include "linear_algebra/token_sums.hpp"

#include "linear_algebra/sgemm.hpp"
#include "linear_algebra/steps.hpp"

#include <algorithm>
#include <memory>

namespace hartonomous {
namespace {

// The first column that is stored of a row.
constexpr std::size_t first_column(std::size_t row, sum_shape shape) noexcept {
  return shape == sum_shape::upper_triangle ? row / token_sums::tile_size * token_sums::tile_size : 0;
}

// to = left - minus, all of them `count` numbers.
void subtract(const float* left, const float* minus, std::size_t count, float* to, thread_pool& pool,
              interrupt_checker& interrupts) {
  constexpr std::size_t part = std::size_t{1} << 18;
  pool.run((count + part - 1) / part, interrupts, [&](std::size_t task) {
    const std::size_t from = task * part, end = std::min(from + part, count);
    std::transform(left + from, left + end, minus + from, to + from, [](float a, float b) { return a - b; });
  });
}

}  // namespace

token_sums::token_sums(matrix_rows rows, std::size_t columns, sum_shape shape, interrupt_checker& interrupts)
    : rows_(rows), columns_(columns), shape_(shape) {
  std::size_t size = 0;
  for (std::size_t row = rows.first; row < rows.first + rows.count; ++row) {
    const std::size_t first = first_column(row, shape);
    starts_.push_back(size);
    size += columns - first;
    if ((row - rows.first) % tile_size != 0) continue;
    for (std::size_t column = first; column < columns; column += tile_size) tiles_.push_back({row, column});
  }
  grow(sums_, size, interrupts);
}

std::uint64_t token_sums::numbers(matrix_rows rows, std::size_t columns, sum_shape shape) noexcept {
  std::uint64_t size = 0;
  for (std::size_t done = 0; done < rows.count; done += tile_size) {
    size += std::min(tile_size, rows.count - done) * (columns - first_column(rows.first + done, shape));
  }
  return size;
}

void token_sums::add(std::size_t tile, const float* a, std::size_t a_columns, const float* b, std::size_t tokens) {
  const auto [row, column] = tiles_[tile];
  const std::size_t height = std::min(tile_size, rows_.first + rows_.count - row);
  const std::size_t width = std::min(tile_size, columns_ - column);
  const std::unique_ptr<float[]> product(new float[height * width]);  // uninitialized: all of it is written
  for (std::size_t t = 0; t < tokens; t += run) {
    const std::size_t count = std::min(run, tokens - t);
    multiply_from_transposed({a + t * a_columns + row, count, height, a_columns},
                             {b + t * columns_ + column, count, width, columns_}, product.get(), width);
    for (std::size_t i = 0; i < height; ++i) {
      double* const sums = &sums_[starts_[row + i - rows_.first] + (column - first_column(row, shape_))];
      const float* const from = product.get() + i * width;
      for (std::size_t j = 0; j < width; ++j) sums[j] += static_cast<double>(from[j]);
    }
  }
}

const double* token_sums::row(std::size_t row) const noexcept {
  const double* const stored = sums_.data() + starts_[row - rows_.first];
  return shape_ == sum_shape::upper_triangle ? stored + (row - first_column(row, shape_)) : stored;
}

token_sums cross_sums(const float* left, const float* minus, std::size_t left_columns, const float* right,
                      std::size_t right_columns, std::size_t tokens, thread_pool& pool, interrupt_checker& interrupts) {
  token_sums sums({0, left_columns}, right_columns, sum_shape::all_columns, interrupts);
  std::vector<float> difference(std::min(token_sums::run, tokens) * left_columns);
  for (std::size_t from = 0; from < tokens; from += token_sums::run) {
    const std::size_t count = std::min(token_sums::run, tokens - from), at = from * left_columns;
    subtract(left + at, minus + at, count * left_columns, difference.data(), pool, interrupts);
    pool.run(sums.tiles(), interrupts, [&](std::size_t tile) {
      sums.add(tile, difference.data(), left_columns, right + from * right_columns, count);
    });
  }
  return sums;
}

token_sums gram_sums(const float* x, std::size_t columns, std::size_t tokens, thread_pool& pool,
                     interrupt_checker& interrupts) {
  token_sums sums({0, columns}, columns, sum_shape::upper_triangle, interrupts);
  for (std::size_t from = 0; from < tokens; from += token_sums::run) {
    const float* const part = x + from * columns;
    const std::size_t count = std::min(token_sums::run, tokens - from);
    pool.run(sums.tiles(), interrupts, [&](std::size_t tile) { sums.add(tile, part, columns, part, count); });
  }
  return sums;
}

}  // namespace hartonomous
