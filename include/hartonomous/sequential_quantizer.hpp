// Quantizing the blocks of a network one after the other, each on the activations of what has been quantized before it.
//
// Two residual streams run side by side: x of the original network and x_q of the one that is quantized so far. The
// inputs of a matrix are collected from the second, and its weights are corrected before they are rounded, so that they
// give the output of the original network for the inputs that they will really get:
//
//   W' = W + (a W (sum of (x - x_q) x_qᵀ) + b (sum of r x_qᵀ)) (sum of x_q x_qᵀ + damping)⁻¹
//
// where r is the difference of the streams to which the output is added (b only for matrices that write to the stream).
// The output matrix comes last, and is corrected for x alone. This is least squares: a = b = 1 gives what is best for
// the calibration text, less gives what is safer with few tokens. Source for rounding with the inputs of the quantized
// network: Frantar et al., GPTQ (2023).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "hartonomous/hessian.hpp"
#include "hartonomous/hyperparameters.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/network.hpp"
#include "hartonomous/span.hpp"
#include "hartonomous/tensor_source.hpp"

namespace hartonomous {

// How much of the differences that earlier rounding has caused is corrected: a and b above, each from 0 to 1.
struct correction_shares {
  double input = 1.0;
  double stream = 1.0;
};

// What the number of tokens supports: 1 and 1 from 50 tokens a column, 0.5 and 0 from 10, otherwise 0 and 0. With fewer
// tokens the correction fits the calibration text instead of the model.
correction_shares supported_correction(std::uint64_t tokens, std::size_t columns) noexcept;

struct sequential_options {
  double damping = 0.01;
  // If false, supported_correction() decides for each matrix.
  bool fixed_shares = false;
  correction_shares shares;
};

// What is done with the matrices.
class matrix_rounder {
 public:
  matrix_rounder() = default;
  matrix_rounder(const matrix_rounder&) = delete;
  matrix_rounder& operator=(const matrix_rounder&) = delete;
  virtual ~matrix_rounder() = default;
  // Whether the tensor is rounded at all; otherwise it is used as it is.
  virtual bool rounds(const std::string& tensor) = 0;
  // Rounds some rows of a tensor, rows.count x hessian.columns(), and replaces them by what the rounded ones stand for.
  // Called once for all rows of a matrix, for each expert that some token has chosen, and for the output matrix some
  // rows at a time.
  virtual void round(const std::string& tensor, row_range rows, const input_hessian& hessian,
                     std::vector<float>& weights) = 0;
};

// Errors: 55000 if the input of a matrix is not finite, 22003 if a weight is not. Neither the results nor the calls of
// the rounder depend on the number of threads. Experts that no token of the text has chosen are never rounded: they
// need another method.
class sequential_quantizer {
 public:
  // `original` has the weights before rounding. All arguments must outlive the object.
  sequential_quantizer(const hyperparameters& config, tensor_source& original, matrix_rounder& rounder,
                       const sequential_options& options, unsigned threads, std::uint64_t panel_bytes,
                       interrupt_checker& interrupts);
  sequential_quantizer(const sequential_quantizer&) = delete;
  sequential_quantizer& operator=(const sequential_quantizer&) = delete;
  ~sequential_quantizer();

  // Rounds the matrices of one block and takes both streams (transformer::embed) through it. `stream` is that of the
  // original network, `rounded_stream` that of the rounded one, both tokens x width.
  void run_block(span<const token_sequence> sequences, std::uint32_t block, std::vector<float>& stream,
                 std::vector<float>& rounded_stream);

  // Rounds the output matrix for the streams as they are after the last block.
  void round_output(const std::vector<float>& stream, const std::vector<float>& rounded_stream);

  // `watcher` is called on the caller's thread as work is done, with the part (0 to 1) of the running call that is.
  void watch(std::function<void(double)> watcher);

  // About the most memory in bytes that a call takes, besides the streams.
  std::uint64_t run_bytes(std::uint64_t tokens, std::uint64_t longest) const noexcept;

 private:
  class implementation;
  std::unique_ptr<implementation> implementation_;
};

}  // namespace hartonomous
