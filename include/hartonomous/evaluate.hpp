// How well a language model predicts a text: perplexity, and how far two models are apart.
//
// Perplexity is llama.cpp's: the text is cut into pieces of n_ctx tokens, each piece begins with the token of begin
// where the model asks for one, and only tokens with half a piece before them count (docs/manual/evaluate.md).
// Probabilities are a softmax in float whose sums are in double.
//
// Errors: 22023 lengths that make no sense, 53200 a piece needs more memory than there may be; those of network.hpp.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "hartonomous/network.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous {

// A mean and its standard error: the standard deviation over sqrt(n - 1).
class running_mean {
 public:
  void add(double value) noexcept {
    ++count_;
    const double distance = value - mean_;
    mean_ += distance / static_cast<double>(count_);
    squares_ += distance * (value - mean_);
  }
  std::uint64_t count() const noexcept { return count_; }
  double mean() const noexcept { return mean_; }
  double standard_error() const noexcept;  // 0 for fewer than two

 private:
  std::uint64_t count_ = 0;
  double mean_ = 0.0, squares_ = 0.0;
};

// A value estimated from a sample of tokens.
struct estimate {
  double value = 0.0;
  double standard_error = 0.0;
};

// Tokens run together of which those from `first` (at least 1) on are scored: how likely each is after those before.
struct score_window {
  std::vector<token_id> tokens;
  std::size_t first = 1;

  std::size_t scored() const noexcept { return tokens.size() - first; }
};

// The pieces of llama.cpp's perplexity; tokens beyond the last whole piece are left out. `begin`, when there is one,
// replaces each piece's first token. Error 22023: n_ctx below 4, or fewer than 2 * n_ctx tokens.
std::vector<score_window> perplexity_windows(span<const token_id> tokens, std::uint32_t n_ctx,
                                             std::optional<token_id> begin);

// Windows that score every token but the first once: the first window all of it, each further one, half a window on,
// its second half. `begin` as above.
std::vector<score_window> covering_windows(span<const token_id> tokens, std::uint32_t n_ctx,
                                           std::optional<token_id> begin);

// How far an evaluation is.
struct evaluation_progress {
  double part = 0.0;                 // of the work, 0 to 1
  std::size_t windows = 0;           // that there are
  std::optional<double> perplexity;  // of the windows scored up to here, when there are any
  bool pass_ended = false;           // those of a pass through the model have just been
};

// Called on the caller's thread, after each panel of weights and after each pass; what it throws ends the evaluation.
using evaluation_watcher = std::function<void(const evaluation_progress&)>;

// For example "evaluated 18.3 % of 655 windows, perplexity 4.71 so far, 1 min 40 s left".
std::string progress_text(const evaluation_progress& progress, std::optional<double> seconds_left);

// The natural logarithm of each scored token's probability, window after window. As many windows are run together
// as `memory` bytes hold.
std::vector<double> score_windows(transformer& network, span<const score_window> windows, std::uint64_t memory,
                                  const evaluation_watcher& watcher = {});

// exp(-mean) of such logarithms.
estimate perplexity_of(span<const double> log_probabilities);

// Two models on the same tokens. In each token's distribution, top means the likeliest token.
struct model_comparison {
  std::uint64_t tokens = 0;
  estimate perplexity, baseline_perplexity;
  estimate perplexity_ratio;  // of the model's to the baseline's; the error is that of paired differences
  estimate kl_divergence;     // of the model from the baseline, mean over tokens, in nats
  estimate same_top;          // share of the tokens where both have the same top
};

model_comparison compare_models(transformer& model, transformer& baseline, span<const score_window> windows,
                                std::uint64_t memory, const evaluation_watcher& watcher = {});

}  // namespace hartonomous
