// qwen3: qwen2 with an RMSNorm of each head's query and key.
#include "architecture/blocks.hpp"
#include "architecture/registry.hpp"

namespace hartonomous::architecture_detail {
namespace {

constexpr checkpoint_class classes[] = {{"Qwen3ForCausalLM", false}};

}  // namespace

const network_architecture qwen3 = {"qwen3",
                                    classes,
                                    dense_sizes,
                                    rope_pairs::halves,
                                    false,
                                    dense_block_tensors_with_head_norms,
                                    run_dense_block_with_head_norms};

}  // namespace hartonomous::architecture_detail
