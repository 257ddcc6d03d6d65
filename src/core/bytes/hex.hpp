// Conversion of bytes to pairs of hexadecimal digits and back, several at a time.
#pragma once

#include <cstddef>

namespace hartonomous {

// Writes 2 * count lower-case digits.
void encode_hex(const std::byte* from, std::size_t count, char* to) noexcept;

// Reads 2 * count digits of either case. If one of them is not a digit, the result is false and `to` is undefined.
bool decode_hex(const char* from, std::size_t count, std::byte* to) noexcept;

}  // namespace hartonomous
