// Planning the passes of an evaluation (passes.hpp).
#include "evaluate/passes.hpp"

#include "hartonomous/error.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

namespace hartonomous::evaluate_detail {
namespace {

// With more tokens in a pass, the saving from reading the weights less often becomes negligible.
constexpr std::uint64_t enough_tokens = 2048;
constexpr std::size_t logit_floats = std::size_t{1} << 19;

std::uint64_t bytes_needed(const transformer& network, std::uint64_t tokens, std::uint64_t longest,
                           std::uint64_t scored, unsigned networks) {
  const std::uint64_t width = network.config().width;
  const std::uint64_t logits = scored * std::min<std::uint64_t>(logit_columns(scored), network.vocabulary());
  // The states of one model are kept while those of the next are computed.
  return network.run_bytes(tokens, longest) + networks * 4 * (tokens * width + scored * width + logits);
}

void add_window(pass& p, const score_window& window, std::size_t first_token) {
  p.sequences.push_back({window.tokens, nullptr});
  for (std::size_t i = window.first; i < window.tokens.size(); ++i) {
    p.rows.push_back(first_token + i - 1);
    p.targets.push_back(window.tokens[i]);
  }
  ++p.count;
}

}  // namespace

std::vector<pass> plan_passes(const transformer& network, span<const score_window> windows, std::uint64_t memory,
                              unsigned networks) {
  std::vector<pass> passes;
  std::uint64_t tokens = 0, longest = 0;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    const std::uint64_t size = windows[i].tokens.size();
    const std::uint64_t alone = bytes_needed(network, size, size, windows[i].scored(), networks);
    if (alone > memory) {
      throw error(sqlstate::out_of_memory, "a context of " + std::to_string(size) + " tokens needs too much memory",
                  "It needs " + std::to_string(alone) + " bytes; the limit is " + std::to_string(memory) + " bytes.",
                  "Raise hartonomous.max_work_memory for this session, or use a smaller n_ctx.");
    }
    const bool fits = !passes.empty() && tokens + size <= enough_tokens &&
                      bytes_needed(network, tokens + size, std::max(longest, size),
                                   passes.back().rows.size() + windows[i].scored(), networks) <= memory;
    if (!fits) {
      passes.emplace_back().first = i;
      tokens = longest = 0;
    }
    add_window(passes.back(), windows[i], tokens);
    tokens += size;
    longest = std::max(longest, size);
  }
  return passes;
}

std::size_t logit_columns(std::size_t rows) {
  return std::max<std::size_t>(1, logit_floats / std::max<std::size_t>(1, rows));
}

void for_rows(transformer& network, std::size_t rows, const std::function<void(std::size_t)>& task) {
  constexpr std::size_t run = 16;
  network.threads().run((rows + run - 1) / run, network.interrupts(), [&](std::size_t i) {
    for (std::size_t row = i * run; row < std::min(rows, (i + 1) * run); ++row) task(row);
  });
}

}  // namespace hartonomous::evaluate_detail
