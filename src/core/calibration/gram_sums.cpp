// Summing a Gram matrix tile by tile (gram_sums.hpp).
#include "calibration/gram_sums.hpp"

#include "hartonomous/error.hpp"
#include "linear_algebra/sgemm.hpp"

#include <algorithm>
#include <memory>
#include <string>

namespace hartonomous::calibration_detail {
namespace {

// The first column of the tiles in which a row begins.
constexpr std::size_t tile_of(std::size_t row) noexcept { return row / tile_size * tile_size; }

// The numbers in the tiles of a panel.
std::uint64_t sums_in(std::size_t columns, panel_rows rows) noexcept {
  std::uint64_t size = 0;
  for (std::size_t row = rows.first; row < rows.first + rows.count; row += tile_size) {
    size += std::min(tile_size, columns - row) * (columns - row);
  }
  return size;
}

}  // namespace

std::vector<panel_rows> panels_of(std::size_t columns) {
  std::vector<panel_rows> panels;
  std::uint64_t bytes = 0;
  for (std::size_t first = 0; first < columns; first += tile_size) {
    const std::size_t count = std::min(tile_size, columns - first);
    const std::uint64_t added = count * (columns - first) * sizeof(float);
    if (added > most_panel_bytes) {
      throw error(sqlstate::program_limit_exceeded,
                  "a Gram matrix of " + std::to_string(columns) + " columns is too large", {},
                  "Collect only the diagonal: statistics => 'diagonal'.");
    }
    if (panels.empty() || bytes + added > most_panel_bytes) {
      panels.push_back({first, 0});
      bytes = 0;
    }
    panels.back().count += count;
    bytes += added;
  }
  return panels;
}

gram_sums::gram_sums(std::size_t columns, panel_rows rows) : columns_(columns), rows_(rows) {
  std::size_t size = 0;
  for (std::size_t row = rows.first; row < rows.first + rows.count; ++row) {
    starts_.push_back(size);
    size += columns - tile_of(row);
    if (row % tile_size != 0) continue;
    for (std::size_t column = row; column < columns; column += tile_size) tiles_.push_back({row, column});
  }
  sums_.resize(size);
}

std::uint64_t gram_sums::bytes(std::size_t columns, panel_rows rows) noexcept {
  return sums_in(columns, rows) * sizeof(double);
}

std::uint64_t gram_sums::triangle_bytes(std::size_t columns, panel_rows rows) noexcept {
  return rows.count * (2 * (columns - rows.first) - rows.count + 1) / 2 * sizeof(float);
}

double gram_sums::multiplications(std::size_t columns, panel_rows rows, std::size_t tokens) noexcept {
  return static_cast<double>(sums_in(columns, rows)) * static_cast<double>(tokens);
}

void gram_sums::add(std::size_t tile, const float* x, std::size_t tokens) {
  const auto [row, column] = tiles_[tile];
  const std::size_t height = std::min(tile_size, columns_ - row), width = std::min(tile_size, columns_ - column);
  const std::unique_ptr<float[]> product(new float[height * width]);  // uninitialized: all of it is written
  for (std::size_t t = 0; t < tokens; t += run) {
    const std::size_t count = std::min(run, tokens - t);
    multiply_from_transposed({x + t * columns_ + row, count, height, columns_},
                             {x + t * columns_ + column, count, width, columns_}, product.get(), width);
    for (std::size_t i = 0; i < height; ++i) {
      double* const sums = row_at(row + i) + (column - row);
      const float* const from = product.get() + i * width;
      for (std::size_t j = 0; j < width; ++j) sums[j] += static_cast<double>(from[j]);
    }
  }
}

void gram_sums::triangle(span<const double> squares, std::vector<float>& out) const {
  out.clear();
  out.reserve(triangle_bytes(columns_, rows_) / sizeof(float));
  for (std::size_t row = rows_.first; row < rows_.first + rows_.count; ++row) {
    const double* const begin = sums_.data() + starts_[row - rows_.first] + (row - tile_of(row));
    out.push_back(static_cast<float>(squares[row]));
    std::transform(begin + 1, begin + (columns_ - row), std::back_inserter(out),
                   [](double sum) { return static_cast<float>(sum); });
  }
}

}  // namespace hartonomous::calibration_detail
