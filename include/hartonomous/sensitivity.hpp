// Sensitivity: how much a model loses if one of its tensors is quantized.
//
// Two measures. The relative error of a format is that of the products of the matrix with the inputs of a calibration
// text: tr(D G D^T) / tr(W G W^T), with weights W, their error D and the Gram matrix G of the inputs. It takes no
// forward pass. A probe runs a text with one tensor quantized and all others as they are, and measures the KL
// divergence of the predictions. Divergences grow in proportion to squared errors and are nearly additive over tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hartonomous/evaluate.hpp"
#include "hartonomous/format.hpp"
#include "hartonomous/hessian.hpp"
#include "hartonomous/network.hpp"
#include "hartonomous/thread_pool.hpp"

namespace hartonomous {

// ---- relative errors -------------------------------------------------------------------------------------------

// Sums over the inputs of a matrix, of which only one is needed: all of G; its diagonal; or neither, which stands for
// the identity.
struct input_gram {
  span<const float> upper;     // the upper triangle of G, row after row, each from the diagonal on
  span<const float> diagonal;  // also the column importance that the codecs use, if `by_importance`
  // If it is given, the rows are quantized against it, and by_importance means nothing.
  const input_hessian* hessian = nullptr;
};

// The squared errors of rows in several formats, a panel of rows at a time.
class format_errors {
 public:
  // `by_importance` has the codecs weigh the columns by the diagonal of G.
  format_errors(std::vector<format> formats, std::size_t columns, bool by_importance, thread_pool& threads,
                interrupt_checker& interrupts);

  // The inputs of the rows that follow; the views must stay valid.
  void use(const input_gram& inputs);
  void add(const float* rows, std::size_t count);

  // Of all rows so far, for each format: infinity if it cannot hold the weights, 0 if all products were zero.
  std::vector<double> relative_errors() const;

  // How many rows at a time are fast and take little memory.
  static std::size_t panel_rows(std::size_t columns) noexcept;
  // Bytes that an object, add() and the rows themselves take for a panel of that size, without a Hessian or with one,
  // which itself is not counted.
  static std::uint64_t bytes(std::size_t columns, bool by_hessian) noexcept;

 private:
  double sum(const std::vector<float>& rows, std::size_t count);
  double gram_sum(const std::vector<float>& rows, std::size_t count);
  double diagonal_sum(const std::vector<float>& rows, std::size_t count) const;
  bool round_rows(format f, const float* rows, std::size_t count, std::vector<float>& error);
  bool quantize_panel(format f, const float* rows, std::size_t count, std::vector<std::byte>& blocks);

  std::vector<format> formats_;
  std::size_t columns_;
  bool by_importance_;
  thread_pool& threads_;
  interrupt_checker& interrupts_;
  input_gram inputs_;
  std::vector<double> errors_;
  double energy_ = 0.0;
};

// ---- probes ----------------------------------------------------------------------------------------------------

// The weights of another source, except for one tensor: its rows are quantized and decoded again as they are read.
class substituted_source final : public tensor_source {
 public:
  // `importance` is empty, or has as many numbers as the tensor has columns, or that times the number of experts.
  substituted_source(tensor_source& original, std::string tensor, format f, std::vector<float> importance,
                     interrupt_checker& interrupts);

  std::vector<std::string> names() const override { return original_.names(); }
  std::optional<matrix_shape> find(const std::string& name) const override { return original_.find(name); }
  std::unique_ptr<row_reader> open(const std::string& name, row_range rows) override;
  void read_rows(const std::string& name, span<const std::uint32_t> rows, float* out) override;

 private:
  friend class substituted_reader;
  void round(std::uint64_t row, float* values);

  tensor_source& original_;
  std::string tensor_;
  format format_;
  std::vector<float> importance_;
  interrupt_checker& interrupts_;
  std::uint64_t columns_ = 0, expert_rows_ = 0;
  std::vector<std::byte> blocks_;
};

// Measures networks that differ from an original in one tensor, on the same text. The states of the original are kept,
// so that only the blocks from the changed tensor on are run; probes are fastest in the order of steps.
//
// Errors: 22023 for a text of fewer than two tokens or an invalid length; 53200 if a pass needs more memory than
// allowed; those of network.hpp.
class sensitivity_probe {
 public:
  // Cuts the text into windows of n_ctx tokens, of which the last may be shorter, and scores all tokens but the first
  // of each. If there is a `begin` token, it replaces the first one of each window.
  sensitivity_probe(span<const token_id> tokens, std::uint32_t n_ctx, std::optional<token_id> begin);
  sensitivity_probe(const sensitivity_probe&) = delete;
  sensitivity_probe& operator=(const sensitivity_probe&) = delete;
  ~sensitivity_probe() = default;

  // The step in which a tensor is used first: 0 for the embedding, 1 + b in block b, then the output.
  static std::uint32_t step_of(const transformer& network, const std::string& tensor);

  // The mean KL divergence of `changed` from `original` over the scored tokens, in nats.
  estimate divergence(transformer& original, transformer& changed, std::uint32_t step, std::uint64_t memory);

  std::uint64_t scored() const noexcept { return scored_; }

 private:
  struct window_group {
    std::vector<token_sequence> sequences;
    std::size_t first = 0, count = 0;  // tokens
    std::vector<std::size_t> rows;     // states that predict a scored token
    std::vector<token_id> targets;
  };

  void check_memory(const transformer& network, std::uint64_t memory) const;
  void advance(transformer& original, std::uint32_t step);
  void embed(transformer& network, std::vector<float>& states) const;
  void run_block(transformer& network, std::uint32_t block, std::vector<float>& states) const;

  std::vector<token_id> tokens_;
  std::vector<window_group> groups_;
  std::uint64_t scored_ = 0;
  std::uint32_t step_ = 0;
  std::vector<float> states_;  // of the original before that step (before the first one: none)
  std::vector<float> last_;    // of the original after the last block
};

}  // namespace hartonomous
