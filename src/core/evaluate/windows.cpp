// Divides a text into windows, and statistics of scores (hartonomous/evaluate.hpp).
#include "hartonomous/error.hpp"
#include "hartonomous/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

namespace hartonomous {
namespace {

score_window window_at(span<const token_id> tokens, std::size_t at, std::size_t count, std::size_t first,
                       std::optional<token_id> begin) {
  const span<const token_id> part = tokens.subspan(at, count);
  score_window w{{part.begin(), part.end()}, first};
  if (begin) w.tokens.front() = *begin;
  return w;
}

void check_context(std::uint32_t n_ctx) {
  if (n_ctx < 4) {
    throw error(sqlstate::invalid_parameter_value, "n_ctx must be at least 4, not " + std::to_string(n_ctx));
  }
}

}  // namespace

std::vector<score_window> perplexity_windows(span<const token_id> tokens, std::uint32_t n_ctx,
                                             std::optional<token_id> begin) {
  check_context(n_ctx);
  if (tokens.size() < 2 * std::size_t{n_ctx}) {
    throw error(sqlstate::invalid_parameter_value,
                "the text has too few tokens for a context of " + std::to_string(n_ctx),
                "It has " + std::to_string(tokens.size()) + "; perplexity needs " +
                    std::to_string(2 * std::size_t{n_ctx}) + ".",
                "Use a longer text or a smaller n_ctx.");
  }
  std::vector<score_window> windows;
  for (std::size_t at = 0; at + n_ctx <= tokens.size(); at += n_ctx) {
    windows.push_back(window_at(tokens, at, n_ctx, n_ctx / 2 + 1, begin));
  }
  return windows;
}

std::vector<score_window> covering_windows(span<const token_id> tokens, std::uint32_t n_ctx,
                                           std::optional<token_id> begin) {
  check_context(n_ctx);
  std::vector<score_window> windows;
  if (tokens.size() < 2) return windows;
  const std::size_t half = n_ctx / 2;
  std::size_t done = std::min<std::size_t>(n_ctx, tokens.size());
  windows.push_back(window_at(tokens, 0, done, 1, begin));
  while (done < tokens.size()) {
    const std::size_t end = std::min(done + half, tokens.size()), at = end - std::min<std::size_t>(n_ctx, end);
    windows.push_back(window_at(tokens, at, end - at, done - at, begin));
    done = end;
  }
  return windows;
}

estimate perplexity_of(span<const double> log_probabilities) {
  running_mean loss;
  for (double p : log_probabilities) loss.add(-p);
  const double value = std::exp(loss.mean());
  return {value, value * loss.standard_error()};
}

}  // namespace hartonomous
