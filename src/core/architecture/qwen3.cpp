// qwen3: qwen2 with an RMSNorm of each head's query and key.
#include "architecture/blocks.hpp"
#include "architecture/registry.hpp"

namespace hartonomous::architecture_detail {
namespace {

constexpr checkpoint_class classes[] = {{"Qwen3ForCausalLM", false}};

constexpr block_parts parts() {
  block_parts p;
  p.heads = head_norms::each;
  return p;
}

}  // namespace

const network_architecture qwen3 = {"qwen3", classes, dense_sizes, rope_pairs::halves, false, parts()};

}  // namespace hartonomous::architecture_detail
