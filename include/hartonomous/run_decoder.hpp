// Decodes a run of blocks a piece at a time: work on weights needs the memory of one piece, whatever their number.
#pragma once

#include <cstddef>
#include <vector>

#include "hartonomous/codec.hpp"

namespace hartonomous {

class run_decoder {
 public:
  // Weights in a piece, the last one apart: a multiple of every block, and small enough to stay in the first cache.
  static constexpr std::size_t piece = 2048;

  // Errors: 0A000 the format is not readable; 22P03 blocks.size() is not bytes_of(f, count).
  run_decoder(format f, span<const std::byte> blocks, std::size_t count);

  // The next piece, valid until the next call; empty at the end. Of aligned floats the piece is their own memory.
  span<const float> next(interrupt_checker& interrupts);

 private:
  format format_;
  const std::byte* from_;
  std::size_t left_;
  std::vector<float> buffer_;  // empty when the run is floats already
};

}  // namespace hartonomous
