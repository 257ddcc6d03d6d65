// Calibration: what the inputs of a network's matrices are when it reads a text.
//
// For each matrix, with input x (a vector for each token): the number of tokens, the sum of x_j^2 for each column j,
// and the Gram matrix, the sum of x x^T. The error of a changed matrix on this text follows from them: that of a row w
// which becomes w + d is the sum over tokens of (d x)^2 = d G d^T. The diagonal is llama.cpp's importance matrix; the
// Gram matrix is, but for a factor, the Hessian of layer-wise quantization (Frantar et al. 2022, "GPTQ").
//
// The text is run block by block, and the state of every token is kept between the blocks, so that the sums of a block
// are complete before those of the next one begin.
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

// A matrix and its input; with experts, a matrix and an input for each.
struct linear_input {
  std::string tensor;
  std::string shared_with;  // the first tensor with the same input, which is this one if it shares with no earlier one
  std::uint32_t step = 0;   // the block, or the number of blocks for the output matrix
  std::uint32_t columns = 0;  // numbers in x
  std::uint32_t experts = 1;
};

// All matrices that have an input, in the order in which they are used. (An embedding that is not tied has none.)
std::vector<linear_input> linear_inputs(const transformer& network);

enum class statistics_kind {
  diagonal,  // sums of squares
  gram,      // Gram matrices besides
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
};

// The largest panel, so that a store can keep each in a value of its own.
constexpr std::uint64_t most_panel_bytes = std::uint64_t{64} << 20;

// A text on its way through a network. Results depend neither on the number of threads nor on `memory`. After an error
// the object cannot be used any more.
//
// Errors: 22023 without tokens or for an invalid length; 53200 if a step needs more memory than allowed; 54000 for an
// input of more than 65536 numbers; 55000 if an input is not finite; those of network.hpp.
class calibration {
 public:
  // Cuts the text into windows of n_ctx tokens, of which the last may be shorter. If there is a `begin` token, it
  // replaces the first one of each window.
  calibration(span<const token_id> tokens, std::uint32_t n_ctx, std::optional<token_id> begin);

  // Bytes of the states of that many tokens, which are kept between steps.
  static std::uint64_t kept_bytes(const transformer& network, std::uint64_t tokens) noexcept;

  std::uint32_t next_step() const noexcept { return step_; }
  std::size_t tokens() const noexcept { return tokens_.size(); }
  // Runs the next step; without a kind nothing is collected. If the Gram matrices do not fit into `memory` bytes
  // together with everything else, the block is run several times.
  void run_step(transformer& network, std::optional<statistics_kind> kind, std::uint64_t memory,
                calibration_sink& sink);
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
  std::uint64_t bytes_besides_sums(const transformer& network) const;
  void run_groups(transformer& network, linear_observer* meter, bool keep);
  void run_group(transformer& network, const window_group& g, linear_observer* meter, bool keep);

  std::vector<token_id> tokens_;
  std::uint32_t n_ctx_;
  std::vector<window_group> groups_;
  std::vector<float> states_;  // tokens x width
  std::uint32_t step_ = 0;
  std::function<void(double)> watcher_;
};

}  // namespace hartonomous
