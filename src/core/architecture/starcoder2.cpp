// starcoder2: LayerNorm, biases, and a feed-forward network without a gate.
#include "architecture/blocks.hpp"
#include "architecture/registry.hpp"

namespace hartonomous::architecture_detail {
namespace {

constexpr block_parts parts() {
  block_parts p;
  p.norm = norm_kind::layer;
  p.inner_activation = activation::gelu;
  p.inner = feed_forward_form::plain;
  return p;
}

}  // namespace

const network_architecture starcoder2 = {"starcoder2", {}, dense_sizes, rope_pairs::halves, true, parts()};

}  // namespace hartonomous::architecture_detail
