// What the scalar and the vector code of TQ1_0 and TQ2_0 share: how TQ1_0 stores five levels in a byte.
#pragma once

#include <cstdint>

namespace hartonomous::codecs::tq1_0 {

// Bytes that hold `levels` levels each: level n of byte at + m is that of weight first + n * bytes + m.
struct run {
  int first;
  int at;
  int bytes;
  int levels;
};

// 48 bytes of five levels, then four bytes of four, which have a zero for the fifth.
inline constexpr int levels_in_byte = 5;
inline constexpr run runs[] = {{0, 0, 32, 5}, {160, 32, 16, 5}, {240, 48, 4, 4}};

// Five levels 0..2 are a number of five digits to the base of three, the first one leading. It is stored as a fraction
// of 243 in 256ths, rounded up: so the integer part of three times a byte / 256 is the first level, and the fraction
// holds the others.
constexpr std::uint8_t byte_of(unsigned number) noexcept {
  return static_cast<std::uint8_t>((number * 256 + 242) / 243);
}

// Level n of a byte is level 0 of its product with 3^n, modulo 256.
inline constexpr unsigned powers[levels_in_byte] = {1, 3, 9, 27, 81};

}  // namespace hartonomous::codecs::tq1_0
