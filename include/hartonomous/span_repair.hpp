// Making up for blocks that are left out: the last block before them learns, by least squares, to do what is linear in
// their work. Nothing is trained.
//
// Let y + m be the residual stream behind that block, where m = W a is what the last matrix of its feed-forward network
// adds (of experts the sum; a bias counts as part of y), and l the stream behind the last of the blocks that are left
// out, in the whole network. The matrix T that minimizes the sum over tokens of |y + T m - l|² + alpha |T - I|² is
//
//   T = I + (sum of (l - y - m) mᵀ) (sum of m mᵀ + alpha I)⁻¹,  alpha = damping * the mean of the diagonal,
//
// and T W takes the place of W. Without tokens that would say otherwise T is I, which leaves the blocks out.
// Source: Shopkhoev et al. 2025, "ReplaceMe: Network Simplification via Layer Pruning and Linear Transformations",
// where T shrinks towards zeros.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hartonomous/network.hpp"
#include "hartonomous/span.hpp"
#include "hartonomous/tensor_source.hpp"

namespace hartonomous {

// A text by which blocks are repaired. It is cut into windows of n_ctx tokens, whose first one is replaced by `begin`,
// if there is one.
struct repair_text {
  span<const token_id> tokens;
  std::uint32_t n_ctx = 0;
  std::optional<token_id> begin;
};

struct span_repair {
  std::string matrix;         // W: blk.N.ffn_down.weight, or that of experts, each of which is multiplied by T
  std::size_t width = 0;      // of the residual stream, which is the number of rows of W
  std::vector<float> change;  // T - I, width x width
  // The norm of the difference between the streams of the two networks behind the blocks that are left out, divided by
  // the norm of that of the whole network: without and with T.
  double error_before = 0.0, error_after = 0.0;
};

// The repair of block `before` of a network that has only the blocks `kept` (ascending), for those that are left out
// behind it. Gaps before that one are taken to be repaired, too. `tensors` are those of the network. Results do not
// depend on the number of threads, nor on `memory`. Errors: 22023 if the block is not kept or the one behind it is, for
// numbers out of order or range, without as many tokens as the stream is wide, or if damping is not above 0; 53200 if
// more than `memory` bytes are needed; 55000 if the streams are not finite; 22003 if the damping is so small that the
// sum of m mᵀ is not positive definite; those of network.hpp.
span_repair repair_span(transformer& network, tensor_source& tensors, const repair_text& text,
                        span<const std::int32_t> kept, std::uint32_t before, double damping, std::uint64_t memory);

// The multiplications with weights that repair_span() takes, which transformer::watch() reports.
double repair_multiplications(const transformer& network, std::size_t tokens, span<const std::int32_t> kept,
                              std::uint32_t before);

// weights = T weights, in place, for width x columns weights: the matrix, or that of an expert.
void apply_repair(const span_repair& repair, float* weights, std::size_t columns, thread_pool& pool,
                  interrupt_checker& interrupts);

}  // namespace hartonomous
