// Divides blocks into batches for the vector encoders, such that either all blocks of a batch have importance or none
// does.
#pragma once

#include <algorithm>

#include "codec/scalar.hpp"

namespace hartonomous::codecs {

// The blocks of one batch; `importance` is null if none of them has any.
struct batch {
  const float* x;
  const float* importance;
  float row_mean_square;
  std::size_t blocks;
};

// Calls Encode(batch, Block*) for batches of at most Most blocks.
template <class Block, std::size_t Weights, std::size_t Most, void (*Encode)(const batch&, Block*)>
void quantize_batches(const float* in, const float* importance, float row_mean_square, std::byte* out,
                      std::size_t count) {
  auto* block = reinterpret_cast<Block*>(out);
  const auto weighted = [&](std::size_t b) {
    return importance != nullptr && has_importance(importance + b * Weights, Weights);
  };
  for (std::size_t first = 0, end = 0; first < count; first = end) {
    const bool by_importance = weighted(first);
    const std::size_t most = std::min(count, first + Most);
    end = importance != nullptr ? first + 1 : most;
    while (end < most && weighted(end) == by_importance) ++end;
    const float* mine = by_importance ? importance + first * Weights : nullptr;
    Encode({in + first * Weights, mine, row_mean_square, end - first}, block + first);
  }
}

// Encodes block b of a batch with the scalar codec.
template <class Block>
void encode_by_reference(const codec& reference, const batch& in, std::size_t b, Block* out) {
  const std::size_t weights = traits_of(reference.id).block_weights;
  const float* importance = in.importance != nullptr ? in.importance + b * weights : nullptr;
  reference.quantize_blocks(in.x + b * weights, importance, in.row_mean_square, reinterpret_cast<std::byte*>(out + b),
                            1);
}

}  // namespace hartonomous::codecs
