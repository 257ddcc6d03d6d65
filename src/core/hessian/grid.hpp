// The levels that a format offers, in one description that the quantizer works from (grid.cpp).
//
// A row consists of blocks, a block of sub-blocks. Weight k of a sub-block is scale * level_k + offset. In formats with
// integers, scale = d * (the sub-block's scale), offset = -(dmin * (its minimum)), and the block stores d and dmin in
// half precision; in the others a block is one sub-block, scale = d and offset = m, both in half precision.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hartonomous/format.hpp"

namespace hartonomous::hessian_detail {

struct grid {
  format id;
  int block, sub_block;  // weights; a block is at most 256, a sub-block 16 or 32
  bool offsets;          // otherwise all are zero
  bool integers;
  bool uneven;                  // levels are those of IQ4_NL, otherwise all integers from low to high
  float low, high;              // the least and the greatest level
  float scale_low, scale_high;  // of a sub-block; both 1 without integers
  float minimum_high;           // its minimum is from 0 on
  float step;                   // by which the greatest level is varied to find scales
  float nudge;                  // without integers: share by which scales are varied when a block is written
  std::size_t block_bytes;
  // What a block consists of: levels, and scales and minima of its sub-blocks, from the first on.
  void (*pack)(const std::int8_t* levels, const std::int8_t* scales, const std::int8_t* minima, float d, float dmin,
               std::byte* out);

  int sub_blocks() const noexcept { return block / sub_block; }
};

// nullptr if weights of the format have no choice but the nearest level.
const grid* find_grid(format f) noexcept;

}  // namespace hartonomous::hessian_detail
