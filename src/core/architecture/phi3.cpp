// phi3: one matrix for queries, keys and values, and one for gate and up; rotary positions with factors that depend on
// how long a text may become (LongRoPE). As in llama.cpp, which ignores it, there is no window.
#include "architecture/blocks.hpp"
#include "architecture/registry.hpp"

namespace hartonomous::architecture_detail {
namespace {

constexpr block_parts parts() {
  block_parts p;
  p.inner = feed_forward_form::joined;
  p.joined_projections = true;
  p.long_factors = true;
  return p;
}

void read_more(const keys& key, hyperparameters& c) {
  c.long_factors = true;
  key.ignore("attention.sliding_window");
}

}  // namespace

const network_architecture phi3 = {"phi3", {}, dense_sizes, rope_pairs::halves, false, parts(), read_more};

}  // namespace hartonomous::architecture_detail
