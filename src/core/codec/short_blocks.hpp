// Levels of the formats with blocks of 32 weights, packed: nibbles and fifth bits (blocks.hpp).
#pragma once

#include <cstdint>

#include "codec/blocks.hpp"

namespace hartonomous::codecs {

// `q` has 32 levels of 4 bits, or of 5 with `qh`.
template <class Level>
void pack_short_nibbles(const Level* q, std::uint8_t* qs) {
  for (int j = 0; j < 16; ++j) qs[j] = static_cast<std::uint8_t>((q[j] & 15) | (q[j + 16] & 15) << 4);
}

template <class Level>
void pack_short_fifth_bits(const Level* q, std::uint8_t* qh) {
  std::uint32_t bits = 0;
  for (int j = 0; j < short_block; ++j) bits |= static_cast<std::uint32_t>((q[j] >> 4) & 1) << j;
  for (int b = 0; b < 4; ++b) qh[b] = static_cast<std::uint8_t>(bits >> (8 * b));
}

}  // namespace hartonomous::codecs
