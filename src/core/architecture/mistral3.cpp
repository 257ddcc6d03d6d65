// mistral3: llama whose queries may grow with their positions (Ministral 3), with a scaling of positions of its own.
#include "architecture/blocks.hpp"
#include "architecture/registry.hpp"

#include <cmath>

namespace hartonomous::architecture_detail {
namespace {

constexpr block_parts parts() {
  block_parts p;
  p.long_factors = true;
  return p;
}

void read_more(const keys& key, hyperparameters& c) {
  read_experts(key, c);
  c.query_growth = real_or(key, "attention.temperature_scale", 0.0);
  c.query_growth_interval = c.rope.original_context.value_or(c.context);
  // YaRN's magnitude as the quotient of two, the second of which has this factor.
  const double mscale = key.real("rope.scaling.yarn_log_multiplier").value_or(0.0);
  if (c.rope.scaling != rope_scaling::yarn || mscale == 0.0 || c.rope.factor <= 1.0) return;
  c.rope.magnitude = c.rope.magnitude.value_or(1.0) / (1.0 + 0.1 * mscale * std::log(c.rope.factor));
}

}  // namespace

const network_architecture mistral3 = {"mistral3", {}, dense_sizes, rope_pairs::adjacent, false, parts(), read_more};

}  // namespace hartonomous::architecture_detail
