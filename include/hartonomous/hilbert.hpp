// A point's place on the Hilbert curve through the space of atoms: near in space, mostly near on the curve.
//
// Three axes of 21 bits make 63 bits, so an index is a non-negative bigint. The curve is that of J. Skilling,
// "Programming the Hilbert curve", AIP Conference Proceedings 707 (2004), 381-387: coordinates in "transposed" form,
// x the most significant. It starts at the corner (0, 0, 0); cells of consecutive indices share a face.
#pragma once

#include <cstdint>

#include "hartonomous/coordinates.hpp"

namespace hartonomous {

inline constexpr int hilbert_bits = 21;

// A cell of the grid of 2^bits cells an axis.
struct hilbert_cell {
  std::uint32_t x, y, z;
};

// `bits` is 1..21 and the coordinates, or the index, are below 2^bits, or 2^(3 bits): not checked.
std::uint64_t hilbert_encode(hilbert_cell cell, int bits = hilbert_bits) noexcept;
hilbert_cell hilbert_decode(std::uint64_t index, int bits = hilbert_bits) noexcept;

// The cell of a point: every axis' range (hartonomous/coordinates.hpp) in 2^21 equal intervals, the upper end in the
// last. Error 22003 for a point outside the space or NaN.
hilbert_cell hilbert_cell_of(const point& p);

std::int64_t hilbert_index(float x, float y, float z);

}  // namespace hartonomous
