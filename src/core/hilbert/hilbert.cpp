// Skilling's algorithm with masks instead of branches: it runs once for every row of a table, on data that a branch
// predictor cannot guess.
#include "hartonomous/hilbert.hpp"

#include <cstdint>

namespace hartonomous {
namespace {

// All ones if bit `bit` of value is set, otherwise zero.
std::uint32_t mask_of(std::uint32_t value, int bit) { return 0u - ((value >> bit) & 1u); }

// One step down the levels: if the axis' bit is set, invert the lower bits of x, otherwise exchange the lower bits of x
// and of the axis.
void turn(std::uint32_t& x, std::uint32_t& axis, int bit) {
  const std::uint32_t lower = (1u << bit) - 1u;
  const std::uint32_t set = mask_of(axis, bit);
  const std::uint32_t swapped = (x ^ axis) & lower & ~set;
  x ^= (lower & set) | swapped;
  axis ^= swapped;
}

// For x itself, the exchange does nothing.
void turn_first(std::uint32_t& x, int bit) { x ^= ((1u << bit) - 1u) & mask_of(x, bit); }

// Bit j of the result is the parity of the bits of value above j.
std::uint32_t parity_above(std::uint32_t value) {
  value >>= 1;
  value ^= value >> 1;
  value ^= value >> 2;
  value ^= value >> 4;
  value ^= value >> 8;
  value ^= value >> 16;
  return value;
}

// Moves bit j, of the lower 21, to bit 3j.
std::uint64_t spread(std::uint64_t v) {
  v = (v | v << 32) & 0x001F00000000FFFFu;
  v = (v | v << 16) & 0x001F0000FF0000FFu;
  v = (v | v << 8) & 0x100F00F00F00F00Fu;
  v = (v | v << 4) & 0x10C30C30C30C30C3u;
  v = (v | v << 2) & 0x1249249249249249u;
  return v;
}

// The inverse of spread().
std::uint32_t gather(std::uint64_t v) {
  v &= 0x1249249249249249u;
  v = (v | v >> 2) & 0x10C30C30C30C30C3u;
  v = (v | v >> 4) & 0x100F00F00F00F00Fu;
  v = (v | v >> 8) & 0x001F0000FF0000FFu;
  v = (v | v >> 16) & 0x001F00000000FFFFu;
  v = (v | v >> 32) & 0x00000000001FFFFFu;
  return static_cast<std::uint32_t>(v);
}

// In double, because the 24 bits of a float are too few for value - low and the product to be monotone to 21 bits. Only
// the upper end of the range reaches 2^21.
std::uint32_t cell_of(const axis_range& axis, float value) {
  constexpr std::uint32_t cells = 1u << hilbert_bits;
  const double low = axis.low, high = axis.high;
  const auto cell = static_cast<std::uint32_t>((value - low) * (cells / (high - low)));
  return cell < cells ? cell : cells - 1u;
}

}  // namespace

std::uint64_t hilbert_encode(hilbert_cell cell, int bits) noexcept {
  auto [x, y, z] = cell;
  for (int bit = bits - 1; bit > 0; --bit) {
    turn_first(x, bit);
    turn(x, y, bit);
    turn(x, z, bit);
  }
  // Gray code to binary, across the axes.
  y ^= x;
  z ^= y;
  const std::uint32_t flips = parity_above(z);
  return spread(x ^ flips) << 2 | spread(y ^ flips) << 1 | spread(z ^ flips);
}

hilbert_cell hilbert_decode(std::uint64_t index, int bits) noexcept {
  std::uint32_t x = gather(index >> 2), y = gather(index >> 1), z = gather(index);
  const std::uint32_t flips = z >> 1;
  z ^= y;
  y ^= x;
  x ^= flips;
  for (int bit = 1; bit < bits; ++bit) {
    turn(x, z, bit);
    turn(x, y, bit);
    turn_first(x, bit);
  }
  return {x, y, z};
}

hilbert_cell hilbert_cell_of(const point& p) {
  check_in_space(p);
  return {cell_of(axes[0], p.x), cell_of(axes[1], p.y), cell_of(axes[2], p.z)};
}

std::int64_t hilbert_index(float x, float y, float z) {
  return static_cast<std::int64_t>(hilbert_encode(hilbert_cell_of({x, y, z})));
}

}  // namespace hartonomous
