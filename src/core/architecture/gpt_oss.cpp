// gpt-oss (openai-moe): experts with biases and clamped SwiGLU, chosen by the softmax of the best scores; attention
// with sinks, and a window in every other block.
#include "architecture/blocks.hpp"
#include "architecture/registry.hpp"

namespace hartonomous::architecture_detail {
namespace {

constexpr block_parts parts() {
  block_parts p;
  p.inner_activation = activation::clamped_silu;
  p.router = router_weights::softmax;
  p.feed_forward_norm = "post_attention_norm";
  p.sinks = true;
  p.expert_biases = true;
  return p;
}

void read_more(const keys& key, hyperparameters& c) {
  read_experts(key, c);
  if (c.experts == 0) broken("the model has no experts");
  c.expert_feed_forward = key.positive("expert_feed_forward_length");
  read_window(key, std::nullopt, 2, c);
  if (c.window == 0) broken("key \"gpt-oss.attention.sliding_window\" is missing or 0");
  c.window_rope = c.rope;
  c.window_rope.base = key.real("rope.freq_base_swa").value_or(c.rope.base);
}

}  // namespace

const network_architecture gpt_oss = {"gpt-oss", {}, dense_sizes, rope_pairs::halves, true, parts(), read_more};

}  // namespace hartonomous::architecture_detail
