// Running language models from weights that come a panel at a time.
//
// Architectures are those of src/core/architecture; tensor names are GGUF's; the arithmetic is llama.cpp's in float32:
// RMSNorm, rotary positions, grouped-query attention, SwiGLU, biases where there are any, tied output.
// Sources: GGUF's and llama.cpp's definitions (docs/manual/evaluate.md); GQA (Ainslie et al. 2023), SwiGLU (Shazeer
// 2020).
//
// Errors of all: 0A000 an architecture or a feature of it that is not known here; 55000 a tensor or a key is missing
// or has the wrong shape; 22023 a token or a length out of range.
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
#include "hartonomous/workers.hpp"

namespace hartonomous {

namespace network_detail {
struct batch;
class compute_context;
}  // namespace network_detail

using token_id = std::int32_t;

// Keys and values of the tokens seen so far, for text that goes on.
class kv_cache {
 public:
  kv_cache(const hyperparameters& config, std::uint32_t capacity);
  std::uint32_t length() const noexcept { return length_; }
  std::uint32_t capacity() const noexcept { return capacity_; }
  // Of one block, capacity x kv_width.
  float* keys(std::uint32_t block) noexcept { return keys_[block].data(); }
  float* values(std::uint32_t block) noexcept { return values_[block].data(); }
  void advance(std::uint32_t tokens) noexcept { length_ += tokens; }
  static std::uint64_t bytes(const hyperparameters& config, std::uint32_t capacity) noexcept;

 private:
  std::uint32_t length_ = 0, capacity_;
  std::vector<std::vector<float>> keys_, values_;
};

// Tokens to be run together, each seeing those before it in the same sequence (and in its cache).
struct token_sequence {
  span<const token_id> tokens;
  kv_cache* cache = nullptr;
};

class transformer {
 public:
  // Checks that all tensors are there and fit. Of a tensor, `panel_bytes` are in memory as floats at a time (one row
  // at least). What is referred to outlives the network.
  transformer(const hyperparameters& config, tensor_source& source, unsigned threads, std::uint64_t panel_bytes,
              interrupt_checker& interrupts);
  transformer(const transformer&) = delete;
  transformer& operator=(const transformer&) = delete;
  ~transformer();

  const hyperparameters& config() const noexcept { return config_; }
  std::uint32_t vocabulary() const noexcept { return vocabulary_; }
  workers& threads() noexcept;
  interrupt_checker& interrupts() noexcept;
  // Nobody, with nullptr.
  void observe(linear_observer* observer) noexcept;

  // Bytes that run() allocates for that many tokens in sequences of at most `longest`, its result among them.
  std::uint64_t run_bytes(std::uint64_t tokens, std::uint64_t longest) const noexcept;

  // The state of every token after the last block, tokens x width, sequence after sequence. Each tensor is read once.
  std::vector<float> run(span<const token_sequence> sequences);

  // Multiplications with weights that so many tokens take in run(), and so many of their states in a logit_reader.
  double multiplications(std::uint64_t tokens, std::uint64_t states) const;
  // Called, on the caller's thread, after each panel of weights with the multiplications that it took.
  void watch(std::function<void(double)> watcher);

  // Rows of so many columns that are in memory at a time.
  std::size_t panel_rows(std::uint64_t columns) const noexcept;

  // Some of those states after the final norm: states.size() x width.
  std::vector<float> normed(const std::vector<float>& states, span<const std::size_t> rows);

 private:
  friend class logit_reader;

  void check_tensors();
  void check_sequences(span<const token_sequence> sequences) const;
  void embed(network_detail::batch& b);

  hyperparameters config_;
  std::unique_ptr<network_detail::compute_context> compute_;
  std::uint32_t vocabulary_ = 0;
  std::string output_;  // the tensor of the output matrix
  std::vector<float> rope_factors_;
};

// The logits of some states, a panel of the vocabulary at a time: log-probabilities of the next token, but for a
// constant.
class logit_reader {
 public:
  // `states` is rows x width, from normed(), and outlives the reader. At most `panel` columns at a time.
  logit_reader(transformer& network, const float* states, std::size_t rows, std::size_t panel = SIZE_MAX);
  bool next();  // computes the next panel; false at the end
  std::size_t first() const noexcept { return first_; }
  std::size_t count() const noexcept { return count_; }
  std::size_t panel() const noexcept { return panel_; }
  // Of one row, columns first() to first() + count().
  const float* logits(std::size_t row) const noexcept { return logits_.data() + row * count_; }

 private:
  transformer& network_;
  const float* states_;
  std::size_t rows_, panel_, first_ = 0, count_ = 0;
  std::unique_ptr<row_reader> reader_;
  std::vector<float> logits_, bias_;
};

}  // namespace hartonomous
