// Hyperparameters that several architectures have.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "architecture/keys.hpp"
#include "network/block_pass.hpp"

namespace hartonomous::architecture_detail {

inline constexpr named_size dense_sizes[] = {
    {"block_count", "num_hidden_layers", &hyperparameters::blocks},
    {"context_length", "max_position_embeddings", &hyperparameters::context},
    {"embedding_length", "hidden_size", &hyperparameters::width},
    {"feed_forward_length", "intermediate_size", &hyperparameters::feed_forward},
    {"attention.head_count", "num_attention_heads", &hyperparameters::heads}};

// The number of experts, which may be 0, and how many are used; each has the inner width of the model.
void read_experts(const keys& key, hyperparameters& config);

// The window and the blocks that have it: all but every `period`th one, unless the file says otherwise.
void read_window(const keys& key, std::optional<std::uint32_t> usual_window, std::uint32_t period,
                 hyperparameters& config);

float real_or(const keys& key, const char* name, double otherwise);

}  // namespace hartonomous::architecture_detail
