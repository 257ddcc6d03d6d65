// Block Influence: how much each block of a network changes the state of a token.
//
// Source: Men et al. 2024, "ShortGPT: Layers in Large Language Models are More Redundant Than You Expect".
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "hartonomous/network.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous {

// For each of the blocks, which are run one after the other without those between them: 1 - the mean over the tokens of
// a text of the cosine between the state before and after it. The text is cut into windows of n_ctx tokens, whose first
// one is replaced by `begin`, if there is one. As many windows are run together as fit into `memory` bytes, at least
// one. Errors: 22023 without tokens, or if there is no such block; those of network.hpp.
std::vector<double> block_influences(transformer& network, span<const token_id> tokens, std::uint32_t n_ctx,
                                     std::optional<token_id> begin, span<const std::int32_t> blocks,
                                     std::uint64_t memory);

}  // namespace hartonomous
