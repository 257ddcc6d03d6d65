// gpt2: LayerNorm, an embedding of positions, one matrix for queries, keys and values, a feed-forward network without a
// gate.
#include "architecture/blocks.hpp"
#include "architecture/registry.hpp"

namespace hartonomous::architecture_detail {
namespace {

constexpr block_parts parts() {
  block_parts p;
  p.norm = norm_kind::layer;
  p.inner_activation = activation::gelu;
  p.inner = feed_forward_form::plain;
  p.joined_projections = true;
  p.learned_positions = true;
  return p;
}

}  // namespace

const network_architecture gpt2 = {"gpt2", {}, dense_sizes, rope_pairs::adjacent, false, parts()};

}  // namespace hartonomous::architecture_detail
