// gemma2: norms also of what is added to the residual stream, GeGLU, scores and logits within bounds, and a window in
// every other block.
#include "architecture/blocks.hpp"
#include "architecture/registry.hpp"

#include <cmath>

namespace hartonomous::architecture_detail {
namespace {

constexpr std::uint32_t blocks_of_27b = 46;

constexpr block_parts parts() {
  block_parts p;
  p.inner_activation = activation::gelu;
  p.norms_after = true;
  return p;
}

void read_more(const keys& key, hyperparameters& c) {
  c.embedding_scale = std::sqrt(static_cast<float>(c.width));
  c.attention_softcap = real_or(key, "attn_logit_softcapping", 50.0);
  c.logit_softcap = real_or(key, "final_logit_softcapping", 30.0);
  // The largest model divides by the width per head, which is not the size of its heads.
  c.attention_scale = 1.0F / std::sqrt(static_cast<float>(c.blocks == blocks_of_27b ? c.width / c.heads : c.head_size));
  read_window(key, 4096, 2, c);
  c.window_rope = c.rope;
  c.window_rope.base = key.real("rope.freq_base_swa").value_or(c.rope.base);
}

}  // namespace

const network_architecture gemma2 = {"gemma2", {}, dense_sizes, rope_pairs::halves, false, parts(), read_more};

}  // namespace hartonomous::architecture_detail
