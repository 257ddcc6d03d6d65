// qwen2: rotary positions turn the halves of a head against each other, perhaps only its first dimensions.
#include "architecture/dense.hpp"
#include "architecture/registry.hpp"

namespace hartonomous::architecture_detail {

const network_architecture qwen2 = {"qwen2", rope_pairs::halves, false, dense_block_tensors, run_dense_block};

}  // namespace hartonomous::architecture_detail
