// One block of a forward pass: the parts from which the files of src/core/architecture build blocks.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "hartonomous/hyperparameters.hpp"
#include "network/architecture.hpp"
#include "network/batch.hpp"
#include "network/compute_context.hpp"
#include "network/tape.hpp"

namespace hartonomous::network_detail {

// The name of a block's tensor.
std::string block_tensor(std::uint32_t block, const std::string& name);

// Names of tensors are given without "blk.N." and, for matrices with a bias, without ".weight".
class block_pass {
 public:
  // If there is a tape, the parts are recorded on it.
  block_pass(const hyperparameters& config, std::uint32_t block, compute_context& compute, batch& tokens,
             tape* recorder = nullptr)
      : config_(config), block_(block), compute_(compute), batch_(tokens), tape_(recorder) {}

  // The number of this block.
  std::uint32_t block() const noexcept { return block_; }
  const hyperparameters& config() const noexcept { return config_; }

  // normed = norm(x)
  void normalize(const char* norm);
  // normed = x
  void take_stream();
  // normed = norm(normed)
  void normalize_output(const char* norm);
  // q, k, v from normed
  void project_queries_keys_values();
  // The same with one matrix for all three, attn_qkv.
  void project_joined();
  // Applies RMSNorm to each head's query and key, or to those of all heads together.
  void normalize_heads(bool whole);
  // Rotates queries and keys by the positions of their tokens.
  void rotate();
  // Multiplies queries by what grows with the positions of their tokens.
  void scale_queries();
  // q = attention of each token to itself and the tokens before it, within the window if the block has one. Keys and
  // values are added to the caches.
  void attend();
  // normed = attn_output q
  void project_attention();
  // normed = ffn_down (act(ffn_gate normed) * ffn_up normed) (SwiGLU and others, Shazeer 2020)
  void gated_feed_forward();
  // The same with one matrix, ffn_up, for gate and up.
  void joined_feed_forward();
  // normed = ffn_down act(ffn_up normed)
  void plain_feed_forward();
  // normed = the sum of gated networks over the experts chosen for each token, weighted by the router, and the shared
  // one
  void routed_feed_forward();
  // x += normed, scaled
  void add_to_stream();

 private:
  std::string name(const char* of) const { return block_tensor(block_, of); }
  // Records a part before it overwrites these numbers.
  void record(block_part part, const char* norm = "", const std::vector<float>& first = {},
              const std::vector<float>& second = {}) {
    if (tape_ != nullptr) tape_->push_back({part, norm, first, second});
  }
  void rotate_heads(float* x, std::size_t heads);
  // Joined rows of each token to the places of those that they stand for.
  void split(std::size_t rows, std::initializer_list<std::pair<std::vector<float>*, std::size_t>> parts);
  // gate = act(gate) * up
  void gate_rows(std::size_t rows, std::size_t inner);
  // For the tokens in `choosing`: adds the expert's output to `routed`.
  void run_expert(std::uint32_t expert);
  // Adds the shared expert's output to `routed`, whose input is `normed`.
  void run_shared_expert();

  const hyperparameters& config_;
  std::uint32_t block_;
  compute_context& compute_;
  batch& batch_;
  tape* tape_;
};

// The tensors that these parts need.
std::vector<expected_tensor> attention_tensors(const hyperparameters& config);  // without the norms of heads
std::vector<expected_tensor> joined_attention_tensors(const hyperparameters& config);
std::vector<expected_tensor> head_norm_tensors(const hyperparameters& config, bool whole);
std::vector<expected_tensor> gated_feed_forward_tensors(const hyperparameters& config);
std::vector<expected_tensor> joined_feed_forward_tensors(const hyperparameters& config);
std::vector<expected_tensor> plain_feed_forward_tensors(const hyperparameters& config);
std::vector<expected_tensor> routed_feed_forward_tensors(const hyperparameters& config);

}  // namespace hartonomous::network_detail
