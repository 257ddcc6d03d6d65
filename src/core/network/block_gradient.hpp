// One block of a backward pass: gradients go through the parts of a recorded forward pass in the opposite order (inside
// src/core/network only).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hartonomous/network.hpp"
#include "network/batch.hpp"
#include "network/compute_context.hpp"
#include "network/tape.hpp"

namespace hartonomous::network_detail {

// The gradient of y = RMSNorm(x) * weight is added to `gradient`: that of one row x, from that of y.
void add_norm_gradient(const float* x, const float* weight, float epsilon, const float* of_y, float* gradient,
                       std::size_t count);

class block_gradient {
 public:
  // `passed` is the batch after the forward pass that `parts` recorded. `stream` is the gradient of the residual
  // stream, tokens x width; `outputs` gets the gradient of the output of each matrix, bias included.
  block_gradient(const hyperparameters& config, std::uint32_t block, compute_context& compute, const batch& passed,
                 const tape& parts, const output_gradients& outputs, float* stream);

  // Size in bytes of this and the tape, for that many tokens.
  static std::uint64_t bytes(const hyperparameters& config, std::uint64_t tokens) noexcept;

  void run();

 private:
  void through(const recorded_part& part);
  void through_norm(const recorded_part& part);
  void through_projections();
  void through_head_norms(const recorded_part& part);
  void through_rotation();
  void rotate_back(float* heads_of_all, std::size_t heads);
  void through_attention(const recorded_part& part);
  void through_output_projection();
  void through_feed_forward(const recorded_part& part);
  void through_addition();

  // Of a tile of queries of one head: the gradients of the queries, and what tiles of keys need.
  void of_queries(const std::vector<float>& queries, const sequence_position& s, std::size_t head, std::size_t first);
  // Of a tile of keys of one head: the gradients of keys and values.
  void of_keys(const std::vector<float>& queries, const sequence_position& s, std::size_t kv_head, std::size_t first);

  // x += y W, with y the gradient of the output of a matrix, which is told to outputs_.
  void through_matrix(const char* name, const std::vector<float>& y, std::size_t rows, std::vector<float>& x,
                      std::size_t columns);

  const hyperparameters& config_;
  std::uint32_t block_;
  compute_context& compute_;
  const batch& batch_;
  const tape& tape_;
  const output_gradients& outputs_;
  float* stream_;
  std::vector<float> normed_;           // tokens x width: of the input or the output of a part, as batch::normed
  std::vector<float> attended_;         // tokens x query_width: of the output of attention
  std::vector<float> q_, k_, v_;        // as in batch
  std::vector<float> gate_, up_;        // as in batch; gate_ also of their product
  std::vector<float> masses_, shares_;  // tokens x heads: log of the sum of exponentials; of weights times gradients
};

}  // namespace hartonomous::network_detail
