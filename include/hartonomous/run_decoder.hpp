// Decodes a sequence of blocks a chunk at a time, so that memory does not grow with the number of weights.
#pragma once

#include <cstddef>
#include <vector>

#include "hartonomous/codec.hpp"

namespace hartonomous {

class run_decoder {
 public:
  // Weights per chunk, except the last: a multiple of every block size, and small enough for the L1 cache.
  static constexpr std::size_t chunk = 2048;

  // Errors: 0A000 if the format is not readable; 22P03 if blocks.size() is not bytes_of(f, count).
  run_decoder(format f, span<const std::byte> blocks, std::size_t count);

  // The next chunk, valid until the next call; empty at the end. For aligned F32 values the chunk is the caller's
  // memory itself.
  span<const float> next(interrupt_checker& interrupts);

 private:
  format format_;
  const std::byte* from_;
  std::size_t left_;
  std::vector<float> buffer_;  // empty if the blocks are aligned floats
};

}  // namespace hartonomous
