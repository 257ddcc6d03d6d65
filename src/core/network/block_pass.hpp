// One block's share of a forward pass: the parts that the files of src/core/architecture put blocks together from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hartonomous/hyperparameters.hpp"
#include "network/architecture.hpp"
#include "network/batch.hpp"
#include "network/compute_context.hpp"

namespace hartonomous::network_detail {

// The name of a block's tensor.
std::string block_tensor(std::uint32_t block, const std::string& name);

// Names are those of a block's tensors, without "blk.N." and, for matrices with a bias, without ".weight".
class block_pass {
 public:
  block_pass(const hyperparameters& config, std::uint32_t block, compute_context& compute, batch& tokens)
      : config_(config), block_(block), compute_(compute), batch_(tokens) {}

  // normed = RMSNorm(x)
  void normalize(const char* norm);
  // q, k, v from normed
  void project_queries_keys_values();
  // RMSNorm of each head's query and of each head's key.
  void normalize_heads();
  // Queries and keys turned by their tokens' positions.
  void rotate();
  // q = what each token gathers from itself and the tokens before it. Keys and values enter the caches.
  void attend();
  // normed = attn_output q
  void project_attention();
  // normed = ffn_down (silu(ffn_gate normed) * ffn_up normed) (SwiGLU, Shazeer 2020)
  void gated_feed_forward();
  // normed = sum over the experts that each token chooses of the same, times the router's weight
  void routed_feed_forward();
  // x += normed
  void add_to_stream();

 private:
  std::string name(const char* of) const { return block_tensor(block_, of); }
  void rotate_heads(float* x, std::size_t heads);
  // gate = silu(gate) * up
  void gate_rows(std::size_t rows, std::size_t inner);
  // For the tokens in `choosing`: adds what the expert makes of them to `routed`.
  void run_expert(std::uint32_t expert);

  const hyperparameters& config_;
  std::uint32_t block_;
  compute_context& compute_;
  batch& batch_;
};

// What those parts need.
std::vector<expected_tensor> attention_tensors(const hyperparameters& config);  // without the norms of heads
std::vector<expected_tensor> head_norm_tensors(const hyperparameters& config);
std::vector<expected_tensor> gated_feed_forward_tensors(const hyperparameters& config);
std::vector<expected_tensor> routed_feed_forward_tensors(const hyperparameters& config);

}  // namespace hartonomous::network_detail
