// The tokens of one run() and what is computed of them (inside src/core/llama only).
#pragma once

#include <cstdint>

#include "hartonomous/llama.hpp"

namespace hartonomous {

// One sequence within the batch.
struct sequence_place {
  std::size_t first = 0, count = 0;  // its tokens
  std::uint32_t past = 0;            // tokens before them, in the cache
  kv_cache* cache = nullptr;
};

struct llama_network::batch {
  std::vector<token_id> tokens;
  std::vector<std::uint32_t> positions;
  std::vector<sequence_place> sequences;
  std::optional<rope_table> angles;
  std::vector<float> x;         // tokens x width
  std::vector<float> normed;    // tokens x width; also what a block adds to x
  std::vector<float> q;         // tokens x query_width; then what attention gives
  std::vector<float> k, v;      // tokens x kv_width
  std::vector<float> gate, up;  // tokens x feed_forward

  std::size_t size() const noexcept { return tokens.size(); }
};

inline std::string block_tensor(std::uint32_t block, const char* name) {
  return "blk." + std::to_string(block) + "." + name;
}

}  // namespace hartonomous
