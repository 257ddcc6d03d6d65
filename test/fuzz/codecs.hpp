// What the fuzzers of the codecs have in common.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <vector>

#include "hartonomous/codec.hpp"
#include "hartonomous/simd.hpp"

namespace hartonomous::fuzz {

inline void require(bool condition) {
  if (!condition) std::abort();
}

inline format readable_format(std::uint8_t choice) {
  static const std::vector<format> all = readable_formats();
  return all[choice % all.size()];
}

inline const std::vector<std::int64_t>& targets() {
  static const std::vector<std::int64_t> all = simd_targets();
  return all;
}

}  // namespace hartonomous::fuzz
