// Numbers in byte planes, rotated left by one bit: the highest plane is the exponent (of a half its exponent and three
// bits of its mantissa), the sign is the lowest bit of the lowest plane. Planes lie one after the other, the highest
// first.
#pragma once

#include <cstddef>

namespace hartonomous::archive {

// Which bytes of a number are kept: all of two or four, or the upper two of four, if the others are zero.
enum class words { of_16_bits, of_32_bits, upper_halves };

constexpr std::size_t bytes_in(words kind) { return kind == words::of_16_bits ? 2 : 4; }
constexpr std::size_t planes_of(words kind) { return kind == words::of_32_bits ? 4 : 2; }

// From count * bytes_in(kind) bytes, little-endian, to planes that begin `stride` bytes after each other, and back.
void split_planes(words kind, const std::byte* from, std::size_t count, std::byte* planes, std::size_t stride);
void join_planes(words kind, const std::byte* planes, std::size_t stride, std::size_t count, std::byte* to);

// Whether the lower halves of all words of four bytes are zero.
bool lower_halves_are_zero(const std::byte* from, std::size_t count);

}  // namespace hartonomous::archive
