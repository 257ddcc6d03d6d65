// gemma3: gemma2 with norms of heads and without bounds of scores; five of six blocks have a window, with rotary
// positions of their own.
#include "architecture/blocks.hpp"
#include "architecture/registry.hpp"

#include <cmath>

namespace hartonomous::architecture_detail {
namespace {

constexpr std::uint32_t blocks_of_27b = 62;

constexpr block_parts parts() {
  block_parts p;
  p.inner_activation = activation::gelu;
  p.heads = head_norms::each;
  p.norms_after = true;
  return p;
}

void read_more(const keys& key, hyperparameters& c) {
  c.embedding_scale = std::sqrt(static_cast<float>(c.width));
  c.logit_softcap = real_or(key, "final_logit_softcapping", 0.0);
  // The largest model divides by the width per head, which is not the size of its heads.
  c.attention_scale = 1.0F / std::sqrt(static_cast<float>(c.blocks == blocks_of_27b ? c.width / c.heads : c.head_size));
  read_window(key, std::nullopt, 6, c);
  if (c.window == 0) return;
  // The positions of windowed blocks are not scaled.
  if (c.rope.scaling == rope_scaling::yarn) key.refuse("rope.scaling.type");
  c.window_rope.pairs = c.rope.pairs;
  c.window_rope.dimensions = c.rope.dimensions;
  c.window_rope.magnitude = c.rope.magnitude;
  c.window_rope.base = key.real("rope.freq_base_swa").value_or(10000.0);
}

}  // namespace

const network_architecture gemma3 = {"gemma3", {}, dense_sizes, rope_pairs::halves, false, parts(), read_more};

}  // namespace hartonomous::architecture_detail
