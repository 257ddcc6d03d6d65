// llama: rotary positions rotate pairs of adjacent numbers, all of a head. For Llama 1 to 3, Mistral, Mixtral, whose
// feed-forward networks are experts, and models converted to llama.
#include "architecture/blocks.hpp"
#include "architecture/registry.hpp"

namespace hartonomous::architecture_detail {
namespace {

constexpr checkpoint_class classes[] = {{"LlamaForCausalLM", false}, {"MistralForCausalLM", true}};

constexpr block_parts parts() {
  block_parts p;
  p.long_factors = true;
  return p;
}

}  // namespace

const network_architecture llama = {"llama", classes, dense_sizes, rope_pairs::adjacent, true, parts(), read_experts};

}  // namespace hartonomous::architecture_detail
