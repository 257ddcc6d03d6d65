// Dividing a Gram matrix (gram_panels.hpp).
#include "calibration/gram_panels.hpp"

#include "hartonomous/error.hpp"

#include <algorithm>
#include <iterator>
#include <string>

namespace hartonomous::calibration_detail {

std::vector<matrix_rows> panels_of(std::size_t columns) {
  std::vector<matrix_rows> panels;
  std::uint64_t bytes = 0;
  for (std::size_t first = 0; first < columns; first += token_sums::tile_size) {
    const std::size_t count = std::min(token_sums::tile_size, columns - first);
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

token_sums panel_sums(std::size_t columns, matrix_rows rows, interrupt_checker& interrupts) {
  return {rows, columns, sum_shape::upper_triangle, interrupts};
}

std::uint64_t panel_bytes(std::size_t columns, matrix_rows rows) noexcept {
  return token_sums::numbers(rows, columns, sum_shape::upper_triangle) * sizeof(double);
}

double panel_multiplications(std::size_t columns, matrix_rows rows, std::size_t tokens) noexcept {
  return static_cast<double>(token_sums::numbers(rows, columns, sum_shape::upper_triangle)) *
         static_cast<double>(tokens);
}

void write_triangle(const token_sums& sums, matrix_rows rows, span<const double> squares, std::vector<float>& out) {
  const std::size_t columns = squares.size();
  out.clear();
  out.reserve(triangle_bytes(columns, rows) / sizeof(float));
  for (std::size_t row = rows.first; row < rows.first + rows.count; ++row) {
    const double* const begin = sums.row(row);
    out.push_back(static_cast<float>(squares[row]));
    std::transform(begin + 1, begin + (columns - row), std::back_inserter(out),
                   [](double sum) { return static_cast<float>(sum); });
  }
}

std::uint64_t triangle_bytes(std::size_t columns, matrix_rows rows) noexcept {
  return rows.count * (2 * (columns - rows.first) - rows.count + 1) / 2 * sizeof(float);
}

}  // namespace hartonomous::calibration_detail
