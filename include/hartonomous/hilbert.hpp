// The index of a point on a Hilbert curve through the space of positions: points close in space mostly have close
// indices.
//
// Three axes of 21 bits make 63 bits, so an index is a non-negative bigint. The curve is that of J. Skilling,
// "Programming the Hilbert curve", AIP Conference Proceedings 707 (2004), 381-387: coordinates in "transposed" form, x
// the most significant. It starts at the corner (0, 0, 0); cells of consecutive indices share a face.
#pragma once

#include <cstdint>

#include "hartonomous/coordinates.hpp"

namespace hartonomous {

inline constexpr int hilbert_bits = 21;

// A cell of the grid, which has 2^bits cells per axis.
struct hilbert_cell {
  std::uint32_t x, y, z;
};

// Unchecked: `bits` is in 1..21, the coordinates are below 2^bits, and the index is below 2^(3 bits).
std::uint64_t hilbert_encode(hilbert_cell cell, int bits = hilbert_bits) noexcept;
hilbert_cell hilbert_decode(std::uint64_t index, int bits = hilbert_bits) noexcept;

// The cell of a point: the range of each axis (hartonomous/coordinates.hpp) is cut into 2^21 equal intervals, of which
// the last includes the upper end. Error 22003 if the point is out of range or NaN.
hilbert_cell hilbert_cell_of(const point& p);

std::int64_t hilbert_index(float x, float y, float z);

}  // namespace hartonomous
