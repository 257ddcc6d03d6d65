// How well a language model predicts a text (perplexity), and how much two models differ.
//
// Perplexity is defined as in llama.cpp: the text is cut into chunks of n_ctx tokens, each chunk begins with the BOS
// token if the model asks for one, and only tokens in the second half of a chunk are scored (docs/manual/evaluate.md).
// Probabilities are a softmax in float with sums in double.
//
// Errors: 22023 for an invalid length; 53200 if a chunk needs more memory than allowed; those of network.hpp.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "hartonomous/network.hpp"
#include "hartonomous/sample_statistics.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous {

// Tokens that are run together. Those from `first` (at least 1) on are scored: how likely each is, given those before
// it.
struct score_window {
  std::vector<token_id> tokens;
  std::size_t first = 1;

  std::size_t scored() const noexcept { return tokens.size() - first; }
};

// The chunks of llama.cpp's perplexity; tokens after the last whole chunk are left out. If there is a `begin` token, it
// replaces the first token of each chunk. Error 22023 if n_ctx is below 4 or there are fewer than 2 * n_ctx tokens.
std::vector<score_window> perplexity_windows(span<const token_id> tokens, std::uint32_t n_ctx,
                                             std::optional<token_id> begin);

// Windows that together score every token but the first exactly once: the first window is scored as a whole, each
// further one begins half a window later and only its second half is scored. `begin` is as above.
std::vector<score_window> covering_windows(span<const token_id> tokens, std::uint32_t n_ctx,
                                           std::optional<token_id> begin);

// The progress of an evaluation.
struct evaluation_progress {
  double part = 0.0;                 // share of the work that is done, 0 to 1
  std::size_t windows = 0;           // in total
  std::optional<double> perplexity;  // of the windows scored so far, if any
  bool pass_ended = false;           // a pass through the model has just ended and its windows have been scored
};

// Called on the caller's thread after each panel of weights and after each pass. An exception ends the evaluation.
using evaluation_watcher = std::function<void(const evaluation_progress&)>;

// For example "evaluated 18.3 % of 655 windows, perplexity 4.71 so far, 1 min 40 s left".
std::string progress_text(const evaluation_progress& progress, std::optional<double> seconds_left);

// The natural logarithm of each scored token's probability, window after window. As many windows are run together as
// fit in `memory` bytes.
std::vector<double> score_windows(transformer& network, span<const score_window> windows, std::uint64_t memory,
                                  const evaluation_watcher& watcher = {});

// exp(-mean) of the logarithms.
estimate perplexity_of(span<const double> log_probabilities);

// Quantiles over the scored tokens, interpolated linearly.
struct token_quantiles {
  double minimum = 0.0, median = 0.0, percentile_90 = 0.0, percentile_95 = 0.0, percentile_99 = 0.0,
         percentile_99_9 = 0.0, maximum = 0.0;
};

// Two models on the same tokens. "Top" is the most probable token of a distribution; the change of a probability is
// that of the token that follows in the text: the model's minus the baseline's.
struct model_comparison {
  std::uint64_t tokens = 0;
  estimate perplexity, baseline_perplexity;
  estimate perplexity_ratio;  // model to baseline; the standard error is that of paired differences
  estimate kl_divergence;     // of the model from the baseline, mean over tokens, in nats
  estimate same_top;          // share of tokens for which both have the same top
  // What llama-perplexity --kl-divergence prints, too. Quantiles need 4 bytes of memory per scored token.
  token_quantiles kl_quantiles;
  estimate probability_change, probability_change_rms;
  std::optional<double> log_probability_correlation;  // of the scored tokens; none if one of them is constant
};

model_comparison compare_models(transformer& model, transformer& baseline, span<const score_window> windows,
                                std::uint64_t memory, const evaluation_watcher& watcher = {});

}  // namespace hartonomous
