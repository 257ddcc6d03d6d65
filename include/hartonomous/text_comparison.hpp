// How well two models whose vocabularies differ predict the same text. Their tokens are different pieces of it, so that
// probabilities are compared piece by piece: the pieces lie between the places where tokens of both end.
#pragma once

#include <cstdint>
#include <vector>

#include "hartonomous/sample_statistics.hpp"

namespace hartonomous {

// A text as the tokens of one vocabulary: how many bytes of the text lie before the end of each (ascending; control
// tokens have none of their own), and the natural logarithm of the probability of each token but the first, given those
// before it.
struct scored_text {
  std::vector<std::uint64_t> ends;
  std::vector<double> log_probabilities;
};

// All perplexities are per token of the baseline, so that their ratio compares the probabilities of the same text.
struct text_comparison {
  std::uint64_t tokens = 0;  // of the baseline, in the pieces that were compared
  estimate perplexity, baseline_perplexity;
  estimate perplexity_ratio;  // model to baseline; the standard error is that of the differences of pieces
};

// The piece with the first tokens, which have no probabilities, is left out. Errors: 22023 if both are not tokens of a
// text of the same length, or no piece is left.
text_comparison compare_texts(const scored_text& model, const scored_text& baseline);

}  // namespace hartonomous
