// qwen2moe: qwen2 with experts, whose weights are their probabilities, and one that all tokens pass through, as far as
// a gate lets them.
#include "architecture/blocks.hpp"
#include "architecture/registry.hpp"

namespace hartonomous::architecture_detail {
namespace {

constexpr block_parts parts() {
  block_parts p;
  p.router = router_weights::probabilities;
  p.gated_shared_expert = true;
  return p;
}

void read_more(const keys& key, hyperparameters& c) {
  read_experts(key, c);
  if (c.experts == 0) broken("the model has no experts");
  c.expert_feed_forward = key.positive("expert_feed_forward_length", c.feed_forward / c.experts_used);
  c.shared_feed_forward = key.positive("expert_shared_feed_forward_length", c.feed_forward);
}

}  // namespace

const network_architecture qwen2moe = {"qwen2moe", {}, dense_sizes, rope_pairs::halves, true, parts(), read_more};

}  // namespace hartonomous::architecture_detail
