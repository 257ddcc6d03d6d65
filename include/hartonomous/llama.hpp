// Running language models of the architectures llama, qwen2 and qwen3 from weights that come a panel at a time.
//
// Hyperparameters and tensor names are GGUF's; the arithmetic is llama.cpp's in float32: RMSNorm, rotary positions in
// adjacent pairs (llama) or halves (qwen), grouped-query attention, SwiGLU, biases where there are any, tied output.
// Sources: GGUF's and llama.cpp's definitions (docs/evaluate.md); RoFormer (Su et al. 2021), YaRN (Peng et al. 2023),
// GQA (Ainslie et al. 2023), SwiGLU (Shazeer 2020).
//
// Errors of all: 0A000 an architecture or a feature of it that is not known here; 55000 a tensor or a key is missing
// or has the wrong shape; 22023 a token or a length out of range.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hartonomous/gguf.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"
#include "hartonomous/workers.hpp"

namespace hartonomous {

// ---- hyperparameters -------------------------------------------------------------------------------------------

struct rope_config {
  bool halves = false;  // pairs (i, i + dimensions / 2) instead of (2i, 2i + 1)
  std::uint32_t dimensions = 0;
  double base = 10000.0;
  double scale = 1.0;  // of positions: 1 / factor
  bool yarn = false;
  double original_context = 0.0;  // what the model was trained on before YaRN
  double magnitude = 1.0;         // YaRN's factor for attention, as the file gives it
  double beta_fast = 32.0, beta_slow = 1.0;
};

struct llama_config {
  std::string architecture;
  std::uint32_t blocks = 0;
  std::uint32_t context = 0;  // positions the model was made for
  std::uint32_t width = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;  // divides heads
  std::uint32_t head_size = 0;
  std::uint32_t feed_forward = 0;
  float epsilon = 0.0f;          // of RMSNorm
  float attention_scale = 0.0f;  // of query times key
  bool head_norms = false;       // qwen3: RMSNorm of each head's query and key
  rope_config rope;

  std::uint64_t query_width() const noexcept { return std::uint64_t{heads} * head_size; }
  std::uint64_t kv_width() const noexcept { return std::uint64_t{kv_heads} * head_size; }
};

llama_config read_llama_config(const gguf_metadata& metadata);

// Cosines and sines by position: row p holds those of position first + p, `dimensions` / 2 of each.
class rope_table {
 public:
  // `factors` divide the frequencies (the tensor rope_freqs of llama 3); empty, or dimensions / 2 of them.
  rope_table(const rope_config& config, span<const float> factors, std::uint32_t first, std::uint32_t count);
  const float* cosines(std::uint32_t position) const noexcept { return cosines_.data() + (position - first_) * pairs_; }
  const float* sines(std::uint32_t position) const noexcept { return sines_.data() + (position - first_) * pairs_; }

 private:
  std::size_t first_, pairs_;
  std::vector<float> cosines_, sines_;
};

// ---- weights ---------------------------------------------------------------------------------------------------

struct matrix_shape {
  std::uint64_t rows = 0;  // 1 for a vector
  std::uint64_t columns = 0;
};

// The rows of one tensor, first to last.
class row_reader {
 public:
  row_reader() = default;
  row_reader(const row_reader&) = delete;
  row_reader& operator=(const row_reader&) = delete;
  virtual ~row_reader() = default;
  // The next `count` rows, row-major, valid until the next call. Never asked for more than there are.
  virtual const float* next(std::size_t count) = 0;
};

// Where the weights are. Missing ones are zeros.
class tensor_source {
 public:
  tensor_source() = default;
  tensor_source(const tensor_source&) = delete;
  tensor_source& operator=(const tensor_source&) = delete;
  virtual ~tensor_source() = default;
  virtual std::vector<std::string> names() const = 0;
  virtual std::optional<matrix_shape> find(const std::string& name) const = 0;
  // Readers of several tensors, and several of one, may be open at a time.
  virtual std::unique_ptr<row_reader> open(const std::string& name) = 0;
  // Some rows, in ascending order without repetition, to `out`.
  virtual void read_rows(const std::string& name, span<const std::uint32_t> rows, float* out) = 0;
};

// Sees what each matrix is multiplied with, a panel of its rows at a time.
class linear_observer {
 public:
  linear_observer() = default;
  linear_observer(const linear_observer&) = delete;
  linear_observer& operator=(const linear_observer&) = delete;
  virtual ~linear_observer() = default;
  // Before the matrix is read: its input, tokens x columns.
  virtual void input(const std::string& tensor, const float* x, std::size_t tokens, std::size_t columns) = 0;
  virtual void rows(const std::string& tensor, std::size_t first, std::size_t count, const float* weights,
                    std::size_t columns) = 0;
  // Of the embedding, instead: one row and how many tokens are it.
  virtual void lookups(const std::string& tensor, std::size_t row, std::size_t tokens, const float* weights,
                       std::size_t columns) = 0;
};

// ---- running it ------------------------------------------------------------------------------------------------

using token_id = std::int32_t;

// Keys and values of the tokens seen so far, for text that goes on.
class kv_cache {
 public:
  kv_cache(const llama_config& config, std::uint32_t capacity);
  std::uint32_t length() const noexcept { return length_; }
  std::uint32_t capacity() const noexcept { return capacity_; }
  static std::uint64_t bytes(const llama_config& config, std::uint32_t capacity) noexcept;

 private:
  friend class llama_network;
  std::uint32_t length_ = 0, capacity_;
  std::vector<std::vector<float>> keys_, values_;  // of each block, capacity x kv_width
};

// Tokens to be run together, each seeing those before it in the same sequence (and in its cache).
struct token_sequence {
  span<const token_id> tokens;
  kv_cache* cache = nullptr;
};

class llama_network {
 public:
  // Checks that all tensors are there and fit. Of a tensor, `panel_bytes` are in memory as floats at a time (one row
  // at least). What is referred to outlives the network.
  llama_network(const llama_config& config, tensor_source& source, unsigned threads, std::uint64_t panel_bytes,
                interrupt& check);

  const llama_config& config() const noexcept { return config_; }
  std::uint32_t vocabulary() const noexcept { return vocabulary_; }
  workers& threads() noexcept { return threads_; }
  interrupt& check() noexcept { return check_; }
  void observe(linear_observer* observer) noexcept { observer_ = observer; }

  // Bytes that run() allocates for that many tokens in sequences of at most `longest`, its result among them.
  std::uint64_t run_bytes(std::uint64_t tokens, std::uint64_t longest) const noexcept;

  // The state of every token after the last block, tokens x width, sequence after sequence. Each tensor is read once.
  std::vector<float> run(span<const token_sequence> sequences);

  // Multiplications with weights that so many tokens take in run(), and so many of their states in a logit_reader.
  double multiplications(std::uint64_t tokens, std::uint64_t states) const noexcept;
  // Called, on the caller's thread, after each panel of weights with the multiplications that it took.
  void watch(std::function<void(double)> watcher) { watcher_ = std::move(watcher); }

  // Rows of so many columns that are in memory at a time.
  std::size_t panel_rows(std::uint64_t columns) const noexcept;

  // Some of those states after the final norm: states.size() x width.
  std::vector<float> normed(const std::vector<float>& states, span<const std::size_t> rows);

 private:
  friend class logit_reader;
  struct batch;

  void check_tensors();
  void expect(const std::string& name, std::uint64_t rows, std::uint64_t columns, bool needed);
  void check_sequences(span<const token_sequence> sequences) const;
  std::vector<float> vector_of(const std::string& name);
  void embed(batch& b);
  void run_block(std::uint32_t block, batch& b);
  void attend(std::uint32_t block, batch& b);
  void linear(const std::string& name, const float* x, std::size_t tokens, std::size_t columns, float* y,
              std::size_t rows);
  void multiply_panel(const float* x, std::size_t tokens, std::size_t columns, const float* panel, std::size_t rows,
                      float* y, std::size_t stride);
  void add_bias(const std::string& name, float* y, std::size_t tokens, std::size_t rows);
  void norm_rows(const std::string& name, const float* x, std::size_t rows, std::size_t columns, float* out);
  void rotate(float* x, std::size_t heads, const batch& b);
  void for_runs(std::size_t count, std::size_t floats_each, const std::function<void(std::size_t, std::size_t)>& task);

  llama_config config_;
  tensor_source& source_;
  workers threads_;
  std::uint64_t panel_bytes_;
  interrupt& check_;
  linear_observer* observer_ = nullptr;
  std::function<void(double)> watcher_;
  std::uint32_t vocabulary_ = 0;
  std::string output_;  // the tensor of the output matrix
  std::vector<float> rope_factors_;
};

// The logits of some states, a panel of the vocabulary at a time: log-probabilities of the next token, but for a
// constant.
class logit_reader {
 public:
  // `states` is rows x width, from normed(), and outlives the reader. At most `panel` columns at a time.
  logit_reader(llama_network& network, const float* states, std::size_t rows, std::size_t panel = SIZE_MAX);
  bool next();  // computes the next panel; false at the end
  std::size_t first() const noexcept { return first_; }
  std::size_t count() const noexcept { return count_; }
  std::size_t panel() const noexcept { return panel_; }
  // Of one row, columns first() to first() + count().
  const float* logits(std::size_t row) const noexcept { return logits_.data() + row * count_; }

 private:
  llama_network& network_;
  const float* states_;
  std::size_t rows_, panel_, first_ = 0, count_ = 0;
  std::unique_ptr<row_reader> reader_;
  std::vector<float> logits_, bias_;
};

}  // namespace hartonomous
