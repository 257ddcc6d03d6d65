// What the fuzzers of the codecs have in common.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <vector>

#include "hartonomous/codec.hpp"
#include "hartonomous/simd.hpp"

namespace hartonomous::fuzz {

inline void require(bool condition) {
  if (!condition) std::abort();
}

// All that can be decoded, which is all that can be encoded.
inline format readable_format(std::uint8_t choice) {
  constexpr format all[] = {format::F32,  format::F16,  format::BF16, format::Q8_0,  format::Q4_0,
                            format::Q4_1, format::Q5_0, format::Q5_1, format::Q2_K,  format::Q3_K,
                            format::Q4_K, format::Q5_K, format::Q6_K, format::IQ4_NL};
  return all[choice % std::size(all)];
}

inline const std::vector<std::int64_t>& targets() {
  static const std::vector<std::int64_t> all = simd_targets();
  return all;
}

}  // namespace hartonomous::fuzz
