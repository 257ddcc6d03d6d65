// The panels in which a Gram matrix is summed and stored (inside src/core/calibration only).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hartonomous/calibration.hpp"
#include "linear_algebra/token_sums.hpp"

namespace hartonomous::calibration_detail {

// The panels of a matrix, by its size alone: whole rows of tiles. Error 54000 if a row of tiles does not fit into one.
std::vector<matrix_rows> panels_of(std::size_t columns);

// The sums of one panel.
token_sums panel_sums(std::size_t columns, matrix_rows rows, interrupt_checker& interrupts);
std::uint64_t panel_bytes(std::size_t columns, matrix_rows rows) noexcept;
// The multiplications that adding so many tokens takes.
double panel_multiplications(std::size_t columns, matrix_rows rows, std::size_t tokens) noexcept;

// The triangle that is stored, row after row, each from the diagonal on. The diagonal is taken from `squares`, which
// was summed in double throughout.
void write_triangle(const token_sums& sums, matrix_rows rows, span<const double> squares, std::vector<float>& out);
std::uint64_t triangle_bytes(std::size_t columns, matrix_rows rows) noexcept;

}  // namespace hartonomous::calibration_detail
