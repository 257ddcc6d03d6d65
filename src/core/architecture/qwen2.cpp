// qwen2: rotary positions pair the two halves of a head; they may rotate only its first dimensions.
#include "architecture/blocks.hpp"
#include "architecture/registry.hpp"

namespace hartonomous::architecture_detail {
namespace {

constexpr checkpoint_class classes[] = {{"Qwen2ForCausalLM", false}};

}  // namespace

const network_architecture qwen2 = {"qwen2", classes, dense_sizes, rope_pairs::halves, false};

}  // namespace hartonomous::architecture_detail
