// The block of llama and its successors: attention, then a feed-forward network, each applied to the RMSNorm of the
// residual stream and added to it.
#pragma once

#include <vector>

#include "network/block_pass.hpp"

namespace hartonomous::architecture_detail {

inline constexpr named_size dense_sizes[] = {
    {"block_count", "num_hidden_layers", &hyperparameters::blocks},
    {"context_length", "max_position_embeddings", &hyperparameters::context},
    {"embedding_length", "hidden_size", &hyperparameters::width},
    {"feed_forward_length", "intermediate_size", &hyperparameters::feed_forward},
    {"attention.head_count", "num_attention_heads", &hyperparameters::heads}};

std::vector<expected_tensor> dense_block_tensors(const hyperparameters& config);
void run_dense_block(network_detail::block_pass& pass);

// The same, with an RMSNorm of each head's query and key before they are rotated.
std::vector<expected_tensor> dense_block_tensors_with_head_norms(const hyperparameters& config);
void run_dense_block_with_head_norms(network_detail::block_pass& pass);

// The same, with experts instead of one feed-forward network.
std::vector<expected_tensor> routed_block_tensors_with_head_norms(const hyperparameters& config);
void run_routed_block_with_head_norms(network_detail::block_pass& pass);

}  // namespace hartonomous::architecture_detail
