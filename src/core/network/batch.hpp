// The tokens of one transformer::run() and their intermediate results (inside src/core/network only).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "hartonomous/network.hpp"
#include "network/rope.hpp"

namespace hartonomous::network_detail {

// The place of one sequence in the batch.
struct sequence_position {
  std::size_t first = 0, count = 0;  // its tokens
  std::uint32_t past = 0;            // tokens before them, in the cache
  kv_cache* cache = nullptr;
};

// An expert chosen for a token.
struct expert_choice {
  std::uint32_t expert = 0;
  float weight = 0.0F;
};

// The divisors of the frequencies of rotary positions: none, or one for each pair.
struct rope_factors {
  std::vector<float> usual;
  std::vector<float> longer;  // of sequences with room for more tokens than the original context
};

struct batch {
  batch(const hyperparameters& config, span<const token_sequence> from, const rope_factors& factors);

  std::size_t size() const noexcept { return tokens.size(); }
  // Size in bytes of a batch of that many tokens in sequences of at most `longest` tokens.
  static std::uint64_t bytes(const hyperparameters& config, std::uint64_t count, std::uint64_t longest) noexcept;
  // The angles of a token in a block.
  const rope_table& angles_of(std::size_t token, bool windowed) const noexcept {
    if (windowed) return *window_angles;
    return longer[token] != 0 && longer_angles ? *longer_angles : angles;
  }

  std::vector<token_id> tokens;
  std::vector<std::uint32_t> positions;
  std::vector<sequence_position> sequences;
  std::vector<char> longer;  // of each token: whether its sequence has room for more than the original context
  rope_table angles;
  std::optional<rope_table> window_angles, longer_angles;  // of windowed blocks; of longer sequences
  std::vector<float> x;                                    // the residual stream, tokens x width
  std::vector<float> normed;                               // tokens x width; also the output of each part
  std::vector<float> q;                                    // tokens x query_width; then the output of attention
  std::vector<float> k, v;                                 // tokens x kv_width
  std::vector<float> gate, up;                             // tokens x inner_width

  std::vector<float> joined;  // tokens x the rows of a joined matrix, if there are any

  // Only in models with experts.
  std::vector<float> router;            // tokens x experts
  std::vector<expert_choice> choices;   // tokens x experts_used
  std::vector<std::uint32_t> choosing;  // those of `choices` that choose the current expert
  std::vector<float> gathered, routed;  // tokens x width: input of an expert; sum of the experts' outputs
};

}  // namespace hartonomous::network_detail
