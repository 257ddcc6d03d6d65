// qwen3moe: qwen3 with experts, a few of which are used for each token.
#include "architecture/blocks.hpp"
#include "architecture/registry.hpp"

namespace hartonomous::architecture_detail {
namespace {

constexpr checkpoint_class classes[] = {{"Qwen3MoeForCausalLM", false}};

constexpr named_size sizes[] = {
    {"block_count", "num_hidden_layers", &hyperparameters::blocks},
    {"context_length", "max_position_embeddings", &hyperparameters::context},
    {"embedding_length", "hidden_size", &hyperparameters::width},
    {"feed_forward_length", "intermediate_size", &hyperparameters::feed_forward},
    {"attention.head_count", "num_attention_heads", &hyperparameters::heads},
    {"expert_count", "num_experts", &hyperparameters::experts},
    {"expert_used_count", "num_experts_per_tok", &hyperparameters::experts_used},
    {"expert_feed_forward_length", "moe_intermediate_size", &hyperparameters::expert_feed_forward}};

constexpr block_parts parts() {
  block_parts p;
  p.heads = head_norms::each;
  return p;
}

}  // namespace

const network_architecture qwen3moe = {"qwen3moe", classes, sizes, rope_pairs::halves, true, parts()};

}  // namespace hartonomous::architecture_detail
