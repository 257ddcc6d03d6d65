// Bytes as pairs of hexadecimal digits and back, several at a time.
#pragma once

#include <cstddef>

namespace hartonomous {

// Writes 2 * count lower-case digits.
void encode_hex(const std::byte* from, std::size_t count, char* to) noexcept;

// Reads 2 * count digits of either case. When one of them is no digit the result is false and `to` undefined.
bool decode_hex(const char* from, std::size_t count, std::byte* to) noexcept;

}  // namespace hartonomous
