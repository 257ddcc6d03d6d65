// Little-endian numbers in bytes, whatever the byte order of the host (compilers turn these functions into plain
// moves).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "hartonomous/half.hpp"

namespace hartonomous {

template <class T>
T load_le(const char* from) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(from[i])) << (8 * i);
  }
  return static_cast<T>(value);
}

inline void append_le(std::string& out, std::uint64_t value, std::size_t width) {
  for (std::size_t i = 0; i < width; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

inline void store_u16(std::uint16_t value, std::byte* to) noexcept {
  to[0] = static_cast<std::byte>(value);
  to[1] = static_cast<std::byte>(value >> 8);
}

inline std::uint16_t load_u16(const std::byte* from) noexcept {
  return static_cast<std::uint16_t>(std::to_integer<unsigned>(from[0]) | std::to_integer<unsigned>(from[1]) << 8);
}

inline void store_f32(float value, std::byte* to) noexcept {
  const std::uint32_t bits = half_detail::bits_of(value);
  for (unsigned b = 0; b < 4; ++b) to[b] = static_cast<std::byte>(bits >> (8 * b));
}

inline float load_f32(const std::byte* from) noexcept {
  std::uint32_t bits = 0;
  for (unsigned b = 0; b < 4; ++b) bits |= std::to_integer<std::uint32_t>(from[b]) << (8 * b);
  return half_detail::float_of(bits);
}

}  // namespace hartonomous
