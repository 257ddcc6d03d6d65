// Little-endian numbers in byte strings, whatever the host's own order (compilers turn these into plain moves).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

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

}  // namespace hartonomous
