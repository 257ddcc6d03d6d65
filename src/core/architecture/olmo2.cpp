// olmo2 (OLMo 2 and 3): norms of what is added to the residual stream instead of before, and of queries and keys of all
// heads together. OLMo 3 has a window in three of four blocks, whose positions are not scaled.
#include "architecture/blocks.hpp"
#include "architecture/registry.hpp"

namespace hartonomous::architecture_detail {
namespace {

constexpr block_parts parts() {
  block_parts p;
  p.heads = head_norms::whole;
  p.norms_before = false;
  p.norms_after = true;
  return p;
}

void read_more(const keys& key, hyperparameters& c) {
  read_window(key, std::nullopt, 4, c);
  c.window_rope.pairs = c.rope.pairs;
  c.window_rope.dimensions = c.rope.dimensions;
  c.window_rope.base = c.rope.base;
}

}  // namespace

const network_architecture olmo2 = {"olmo2", {}, dense_sizes, rope_pairs::halves, true, parts(), read_more};

}  // namespace hartonomous::architecture_detail
