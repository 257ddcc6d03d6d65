// Forward and backward passes of language models, whose weights are read a panel of rows at a time.
//
// Architectures are defined in src/core/architecture and tensors have GGUF's names. The arithmetic is llama.cpp's in
// float32: RMSNorm, rotary positions, grouped-query attention, SwiGLU, optional biases, tied output, and the variants
// of these that hyperparameters.hpp names. Sources: GGUF's and llama.cpp's definitions (docs/manual/evaluate.md); GQA
// (Ainslie et al. 2023), SwiGLU (Shazeer 2020).
//
// Errors of all functions: 0A000 if the architecture or one of its features is not supported; 55000 if a tensor or a
// key is missing or has the wrong shape; 22023 if a token or a length is out of range.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "hartonomous/hyperparameters.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"
#include "hartonomous/tensor_source.hpp"
#include "hartonomous/thread_pool.hpp"

namespace hartonomous {

namespace network_detail {
struct batch;
struct rope_factors;
class compute_context;
}  // namespace network_detail

using token_id = std::int32_t;

// Cached keys and values of the tokens so far, for text that is continued.
class kv_cache {
 public:
  kv_cache(const hyperparameters& config, std::uint32_t capacity);
  std::uint32_t length() const noexcept { return length_; }
  std::uint32_t capacity() const noexcept { return capacity_; }
  // Those of one block: capacity x kv_width.
  float* keys(std::uint32_t block) noexcept { return keys_[block].data(); }
  float* values(std::uint32_t block) noexcept { return values_[block].data(); }
  void advance(std::uint32_t tokens) noexcept { length_ += tokens; }
  static std::uint64_t bytes(const hyperparameters& config, std::uint32_t capacity) noexcept;

 private:
  std::uint32_t length_ = 0, capacity_;
  std::vector<std::vector<float>> keys_, values_;
};

// Tokens that are run together. Each attends to those before it in the sequence and in its cache.
struct token_sequence {
  span<const token_id> tokens;
  kv_cache* cache = nullptr;
};

// Gets the gradient of a loss by the output of each matrix, bias included: tokens x rows. Matrices are named with
// ".weight". Called on the caller's thread.
using output_gradients =
    std::function<void(const std::string& matrix, const float* gradient, std::size_t tokens, std::size_t rows)>;

class transformer {
 public:
  // Checks that all tensors exist and have the right shapes. Up to `panel_bytes` of a tensor (at least one row) are in
  // memory as floats at a time. The source and the interrupt checker must outlive the network.
  transformer(const hyperparameters& config, tensor_source& source, unsigned threads, std::uint64_t panel_bytes,
              interrupt_checker& interrupts);
  transformer(const transformer&) = delete;
  transformer& operator=(const transformer&) = delete;
  ~transformer();

  const hyperparameters& config() const noexcept { return config_; }
  std::uint32_t vocabulary() const noexcept { return vocabulary_; }
  // The matrix that turns states into logits: the embedding, if it is tied.
  const std::string& output_matrix() const noexcept { return output_; }
  thread_pool& threads() noexcept;
  interrupt_checker& interrupts() noexcept;
  // nullptr removes the observer.
  void observe(linear_observer* observer) noexcept;

  // Bytes that run() allocates, result included, for that many tokens in sequences of at most `longest` tokens.
  std::uint64_t run_bytes(std::uint64_t tokens, std::uint64_t longest) const noexcept;

  // The hidden state of every token after the last block: tokens x width, sequence after sequence. Each tensor is read
  // once.
  std::vector<float> run(span<const token_sequence> sequences);

  // The steps of run(), for callers that keep the states of more tokens than fit into one run: the embeddings of
  // tokens, and one block, which changes the states. `states` is tokens x width; sequences have no caches.
  void embed(span<const token_sequence> sequences, float* states);
  void run_block(std::uint32_t block, span<const token_sequence> sequences, float* states);

  // The backward pass of the loss that is the sum over tokens of the cross entropy of the next token, whose label is
  // drawn from the network's own prediction: its expectation of squared gradients is the Fisher information (Martens
  // and Grosse 2015, "K-FAC"). Gradients of weights are not computed. There must be no observer.
  //
  // First the states after the last block, draws.size() x width: with each a number in [0, 1), the label is the first
  // token at which the cumulative probability exceeds it. `gradients` becomes the gradient by the states. Returns the
  // labels. Error 0A000 if the model has parts that there are no gradients of.
  std::vector<token_id> sampled_loss_gradient(const float* states, span<const double> draws, float* gradients);
  // Then block after block, from the last one on: runs a block again from the states before it, which stay as they are,
  // and turns the gradient by the states after it into that by the states before it. Sequences have no caches. Error
  // 0A000 if the block has experts or other parts that there are no gradients of.
  void run_block_backward(std::uint32_t block, span<const token_sequence> sequences, const float* states,
                          const output_gradients& outputs, float* gradients);
  // Bytes that either allocates, for that many tokens in sequences of at most `longest` tokens.
  std::uint64_t backward_bytes(std::uint64_t tokens, std::uint64_t longest) const noexcept;

  // The multiplications with weights that run() takes for `tokens` tokens, plus those of a logit_reader for `states`
  // states.
  double multiplications(std::uint64_t tokens, std::uint64_t states) const;
  // `watcher` is called on the caller's thread after each panel of weights, with the number of multiplications it took.
  void watch(std::function<void(double)> watcher);

  // How many rows of that many columns are in memory at a time.
  std::size_t panel_rows(std::uint64_t columns) const noexcept;

  // The selected states after the final norm: rows.size() x width.
  std::vector<float> normed(const std::vector<float>& states, span<const std::size_t> rows);

 private:
  friend class logit_reader;

  void check_tensors();
  void check_sequences(span<const token_sequence> sequences) const;
  void check_tokens(span<const token_id> tokens) const;
  void check_gradients() const;
  void read_rope_factors();
  // Adds rows of an embedding to the states, or writes them.
  void look_up(const std::string& tensor, span<const std::uint32_t> numbers, bool add, float* states);
  void run_block(std::uint32_t block, network_detail::batch& b);
  // `row` may change the logits of columns first to first + count, on any thread; `panel` sees them all, if it is set.
  struct logit_visitor {
    std::function<void(std::size_t row, float* logits, std::size_t first, std::size_t count)> row;
    std::function<void(const float* logits, std::size_t count, const float* weights)> panel;
  };
  void for_logits(const float* normed, std::size_t rows, const logit_visitor& visit);

  hyperparameters config_;
  std::unique_ptr<network_detail::compute_context> compute_;
  std::uint32_t vocabulary_ = 0;
  std::string output_;  // name of the output matrix
  std::unique_ptr<network_detail::rope_factors> rope_factors_;
};

// The logits of some states, a panel of the vocabulary at a time. They are the log-probabilities of the next token up
// to a constant.
class logit_reader {
 public:
  // `states`, from normed(), is rows x width and must outlive the reader. `panel` is the maximum number of columns at a
  // time.
  logit_reader(transformer& network, const float* states, std::size_t rows, std::size_t panel = SIZE_MAX);
  bool next();  // computes the next panel; false at the end
  std::size_t first() const noexcept { return first_; }
  std::size_t count() const noexcept { return count_; }
  std::size_t panel() const noexcept { return panel_; }
  // Columns first() to first() + count() of one row.
  const float* logits(std::size_t row) const noexcept { return logits_.data() + row * count_; }

 private:
  transformer& network_;
  const float* states_;
  std::size_t rows_, panel_, first_ = 0, count_ = 0;
  std::unique_ptr<row_reader> reader_;
  std::vector<float> logits_, bias_;
};

}  // namespace hartonomous
