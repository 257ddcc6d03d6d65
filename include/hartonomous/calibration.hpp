// Calibration: what the inputs of a network's matrices are when it reads a text.
//
// For each matrix, with input x (a vector for each token): the number of tokens, the sum of x_j^2 for each column j,
// and the Gram matrix, the sum of x x^T. The error of a changed matrix on this text follows from them: that of a row w
// which becomes w + d is the sum over tokens of (d x)^2 = d G d^T. The diagonal is llama.cpp's importance matrix; the
// Gram matrix is, but for a factor, the Hessian of layer-wise quantization (Frantar et al. 2022, "GPTQ").
//
// The text is run block by block, and the state of every token is kept between the blocks, so that the sums of a block
// are complete before those of the next one begin.
//
// The keys of attention and the output matrix are exceptions (linear_input::attended and predicts).
//
// Then, if wanted, it is run backwards: the Gram matrix of the gradients of each matrix's output, the sum over tokens
// of g g^T, of a loss whose labels are drawn from the model's own predictions. Together the two matrices approximate
// the Fisher information of the weights by their Kronecker product (Martens and Grosse 2015, "K-FAC").
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "hartonomous/network.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous {

namespace calibration_detail {
class input_meter;
}

// A matrix and its input; with experts, a matrix and an input for each.
struct linear_input {
  std::string tensor;
  std::string shared_with;  // the first tensor with the same input, which is this one if it shares with no earlier one
  std::uint32_t step = 0;   // the block, or the number of blocks for the output matrix
  std::uint32_t columns = 0;  // numbers in x
  std::uint32_t experts = 1;
  // Of attention's keys. Its Gram matrix is that of the inputs as attention sees them, the sum over tokens of the sum
  // of p (x - m)(x - m)^T over the inputs x that a token attends to with probability p, with their mean m: what is
  // added to all keys that a query sees changes nothing in its softmax. Of the heads one counts for each token, in
  // turn. To this attended_share of the sum of x x^T is added, so that it is definite if that is.
  bool attended = false;
  // Of the output matrix, unless it is the embedding as well, whose rows are inputs, too. What an error of the logits
  // changes in the predictions, with probabilities p, is to second order half its variance under p, and that of an
  // error in one of the logits alone is p (1 - p) of its square. So its Gram matrix is the sum over tokens of (1 - sum
  // of p^2) x x^T, the mean of that over all rows but for a factor: where the model is sure, errors change little. The
  // same share of the sum of x x^T is added.
  bool predicts = false;

  bool weighted() const noexcept { return attended || predicts; }
};

constexpr float attended_share = 0.05F;

// All matrices that have an input, in the order in which they are used. (An embedding that is not tied has none.)
std::vector<linear_input> linear_inputs(const transformer& network);

// Of the same matrices but the output matrix: the gradients of their outputs, each of which is its own, as `columns`
// numbers, and the step in which they are collected: one for each block, from the last block on.
std::vector<linear_input> output_gradients_of(const transformer& network);

enum class statistics_kind {
  diagonal,  // sums of squares
  gram,      // Gram matrices besides
  fisher,    // those of the gradients of outputs besides
};

// The sums of one input.
struct input_sums {
  std::string tensor;                       // the first with this input
  std::vector<std::uint64_t> token_counts;  // one for each expert
  std::vector<double> squares;              // experts x columns
  // Of the last matrix of experts only, one for each: the sum over its tokens of the router's weight times the norm of
  // the expert's output (Lasby et al. 2025, "REAP the Experts").
  std::vector<double> router_weighted_norms;
};

// Some rows of the Gram matrix of one input, each from the diagonal on. Panels do not depend on the memory at hand.
struct gram_panel {
  std::string tensor;  // the first with this input
  std::uint32_t expert = 0;
  std::uint32_t first_column = 0;
  span<const float> values;
};

// Takes the sums of a step: first those of all inputs at once, then the panels. An expert that no token chose has none.
class calibration_sink {
 public:
  calibration_sink() = default;
  calibration_sink(const calibration_sink&) = delete;
  calibration_sink& operator=(const calibration_sink&) = delete;
  virtual ~calibration_sink() = default;
  virtual void sums(span<const input_sums> inputs) = 0;
  virtual void panel(const gram_panel& panel) = 0;
  // Of the gradients of the output of a matrix: `first_column` is a row of the matrix.
  virtual void gradient_panel(const gram_panel& /*panel*/) {}
};

// The largest panel, so that a store can keep each in a value of its own.
constexpr std::uint64_t most_panel_bytes = std::uint64_t{64} << 20;

// A text on its way through a network. Results depend neither on the number of threads nor on `memory`. After an error
// the object cannot be used any more.
//
// Steps are the blocks, the output matrix, and, for gradients, the blocks from the last one on. The states before some
// of the blocks are kept for those, as many as `memory` allows, and the others are computed once more.
//
// Errors: 0A000 for gradients of a model with experts; 22023 without tokens or for an invalid length; 53200 if a step
// needs more memory than allowed; 54000 for an input of more than 65536 numbers; 55000 if an input is not finite; those
// of network.hpp.
class calibration {
 public:
  // Cuts the text into windows of n_ctx tokens, of which the last may be shorter. If there is a `begin` token, it
  // replaces the first one of each window.
  calibration(span<const token_id> tokens, std::uint32_t n_ctx, std::optional<token_id> begin, bool gradients = false);

  // Bytes of the states of that many tokens, which are kept between steps.
  static std::uint64_t kept_bytes(const transformer& network, std::uint64_t tokens) noexcept;

  std::uint32_t next_step() const noexcept { return step_; }
  std::size_t tokens() const noexcept { return tokens_.size(); }
  // Runs the next step; without a kind nothing is collected. If the Gram matrices do not fit into `memory` bytes
  // together with everything else, the block is run several times.
  void run_step(transformer& network, std::optional<statistics_kind> kind, std::uint64_t memory,
                calibration_sink& sink);
  // How many steps there are.
  std::uint32_t steps(const transformer& network) const noexcept;
  // The multiplications that a step takes; `watcher` is called on the caller's thread as they are done.
  double multiplications(const transformer& network, std::uint32_t step, std::optional<statistics_kind> kind,
                         std::uint64_t memory) const;
  void watch(std::function<void(double)> watcher) { watcher_ = std::move(watcher); }

 private:
  // Windows that are run together: tokens of the text.
  struct window_group {
    std::size_t first = 0, count = 0;
  };

  void begin(transformer& network, std::uint64_t memory);
  // With the states before every `spacing`-th block kept, and the least spacing that fits into memory. (If none does,
  // the one that needs the least.)
  std::uint64_t bytes_besides_sums(const transformer& network, std::uint32_t spacing) const;
  std::uint32_t spacing_for(const transformer& network, std::uint64_t memory) const;
  std::vector<linear_input> matrices_of_step(const transformer& network, std::uint32_t step) const;
  std::vector<token_sequence> windows_of(const window_group& g) const;
  void run_forward(transformer& network, std::optional<statistics_kind> kind, std::uint64_t memory,
                   calibration_sink& sink);
  void run_groups(transformer& network, calibration_detail::input_meter* meter, bool keep);
  void run_group(transformer& network, const window_group& g, calibration_detail::input_meter* meter, bool keep);
  void run_backward(transformer& network, bool collected, std::uint64_t memory, calibration_sink& sink);
  void begin_backward(transformer& network);
  // The states before a block, of which those since the kept ones before it are computed.
  const std::vector<float>& stream_before(transformer& network, std::uint32_t block);
  void run_groups_backward(transformer& network, std::uint32_t block, const output_gradients& outputs, bool keep);

  std::vector<token_id> tokens_;
  std::uint32_t n_ctx_;
  std::vector<window_group> groups_;
  bool gradients_;
  // tokens x width. In steps for gradients it is the gradient by the state.
  std::vector<float> states_;
  std::vector<std::vector<float>> streams_;  // for gradients: the states before blocks, where they are kept
  std::uint32_t spacing_ = 1;                // of the blocks before which they are kept
  std::uint32_t step_ = 0;
  std::function<void(double)> watcher_;
};

}  // namespace hartonomous
