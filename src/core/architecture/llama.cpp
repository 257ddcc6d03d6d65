// llama: rotary positions rotate pairs of adjacent numbers, all of a head. For Llama 1 to 3, Mistral, and models
// converted to llama.
#include "architecture/blocks.hpp"
#include "architecture/registry.hpp"

namespace hartonomous::architecture_detail {
namespace {

constexpr checkpoint_class classes[] = {{"LlamaForCausalLM", false}, {"MistralForCausalLM", true}};

}  // namespace

const network_architecture llama = {
    "llama", classes, dense_sizes, rope_pairs::adjacent, true, dense_block_tensors, run_dense_block};

}  // namespace hartonomous::architecture_detail
