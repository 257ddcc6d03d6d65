// granite and granitemoe: llama with factors of embeddings, of what is added to the residual stream and of logits, with
// experts and one that all tokens pass through; granite without rotations if the file says so, which llama.cpp ignores
// in granitemoe.
#include "architecture/blocks.hpp"
#include "architecture/registry.hpp"

namespace hartonomous::architecture_detail {
namespace {

constexpr block_parts parts() {
  block_parts p;
  p.long_factors = true;
  return p;
}

void read_more(const keys& key, hyperparameters& c) {
  const auto factor = [&](const char* name) {
    const float value = real_or(key, name, 0.0);
    return value == 0.0F ? 1.0F : value;
  };
  c.embedding_scale = factor("embedding_scale");
  c.residual_scale = factor("residual_scale");
  const double divisor = key.required_real("logit_scale");
  if (divisor == 0.0) broken("key \"" + std::string(c.architecture->name) + ".logit_scale\" is 0");
  c.logit_scale = static_cast<float>(1.0 / divisor);
  read_experts(key, c);
  if (c.experts > 0) c.shared_feed_forward = key.number("expert_shared_feed_forward_length").value_or(0);
}

void read_granite(const keys& key, hyperparameters& c) {
  read_more(key, c);
  if (!key.flag("rope.scaling.finetuned").value_or(true)) c.unrotated.assign(c.blocks, true);
}

}  // namespace

const network_architecture granite = {"granite", {}, dense_sizes, rope_pairs::adjacent, true, parts(), read_granite};
const network_architecture granitemoe = {"granitemoe", {}, dense_sizes, rope_pairs::adjacent, true, parts(), read_more};

}  // namespace hartonomous::architecture_detail
