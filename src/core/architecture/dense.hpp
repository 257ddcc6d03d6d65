// The block that llama and the models after it share: attention, then a gated feed-forward network, each on the
// RMSNorm of the residual stream and added to it.
#pragma once

#include <vector>

#include "network/block_pass.hpp"

namespace hartonomous::architecture_detail {

std::vector<expected_tensor> dense_block_tensors(const hyperparameters& config);
void run_dense_block(network_detail::block_pass& pass);

// The same with a norm of each head's query and key before they are turned.
std::vector<expected_tensor> dense_block_tensors_with_head_norms(const hyperparameters& config);
void run_dense_block_with_head_norms(network_detail::block_pass& pass);

}  // namespace hartonomous::architecture_detail
