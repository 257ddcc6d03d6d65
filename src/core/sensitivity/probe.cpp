// Probes: the divergence of a network with one changed tensor (hartonomous/sensitivity.hpp).
#include "evaluate/distributions.hpp"
#include "evaluate/passes.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/sensitivity.hpp"
#include "hartonomous/tensor_name.hpp"

#include <algorithm>

namespace hartonomous {
namespace {

// With more tokens in a pass, the saving from reading the weights less often becomes negligible.
constexpr std::size_t group_tokens = 2048;

}  // namespace

sensitivity_probe::sensitivity_probe(span<const token_id> tokens, std::uint32_t n_ctx, std::optional<token_id> begin)
    : tokens_(tokens.begin(), tokens.end()) {
  if (n_ctx < 2) {
    throw error(sqlstate::invalid_parameter_value, "n_ctx must be at least 2, not " + std::to_string(n_ctx));
  }
  if (tokens.size() < 2) throw error(sqlstate::invalid_parameter_value, "the text has fewer than two tokens");
  if (tokens_.size() % n_ctx == 1) tokens_.pop_back();  // a window of one token has none to score
  for (std::size_t at = 0; at < tokens_.size(); at += n_ctx) {
    const std::size_t count = std::min<std::size_t>(n_ctx, tokens_.size() - at);
    if (begin) tokens_[at] = *begin;
    if (groups_.empty() || groups_.back().count + count > group_tokens) {
      groups_.emplace_back();
      groups_.back().first = at;
    }
    window_group& g = groups_.back();
    g.sequences.push_back({{tokens_.data() + at, count}, nullptr});
    for (std::size_t i = 1; i < count; ++i) {
      g.rows.push_back(g.count + i - 1);
      g.targets.push_back(tokens_[at + i]);
    }
    g.count += count;
    scored_ += count - 1;
  }
}

std::uint32_t sensitivity_probe::step_of(const transformer& network, const std::string& tensor) {
  if (tensor == "token_embd.weight") return 0;
  const std::int32_t block = parse_tensor_name(tensor).block;
  const std::uint32_t blocks = network.config().blocks;
  return block >= 0 && static_cast<std::uint32_t>(block) < blocks ? 1 + static_cast<std::uint32_t>(block) : 1 + blocks;
}

// The states of all tokens three times, and a pass of the largest group with its normed states and logits.
void sensitivity_probe::check_memory(const transformer& network, std::uint64_t memory) const {
  std::uint64_t largest = 0, longest = 0;
  for (const window_group& g : groups_) {
    largest = std::max<std::uint64_t>(largest, g.count);
    for (const token_sequence& s : g.sequences) longest = std::max<std::uint64_t>(longest, s.tokens.size());
  }
  const std::uint64_t width = network.config().width;
  const std::uint64_t logits =
      largest * std::min<std::uint64_t>(evaluate_detail::logit_columns(largest), network.vocabulary());
  const std::uint64_t needed = network.run_bytes(largest, longest) +
                               sizeof(float) * (3 * tokens_.size() * width + 2 * (largest * width + logits));
  if (needed <= memory) return;
  throw error(sqlstate::out_of_memory, "a probe on " + std::to_string(tokens_.size()) + " tokens needs too much memory",
              "It needs " + std::to_string(needed) + " bytes; the limit is " + std::to_string(memory) + " bytes.",
              "Raise hartonomous.max_work_memory for this session, or use fewer tokens.");
}

void sensitivity_probe::embed(transformer& network, std::vector<float>& states) const {
  states.resize(tokens_.size() * network.config().width);
  for (const window_group& g : groups_) {
    network.interrupts().check();
    network.embed(g.sequences, states.data() + g.first * network.config().width);
  }
}

void sensitivity_probe::run_block(transformer& network, std::uint32_t block, std::vector<float>& states) const {
  for (const window_group& g : groups_) {
    network.run_block(block, g.sequences, states.data() + g.first * network.config().width);
  }
}

// Brings the states of the original to the step, and computes its last states once. A step before those that are at
// hand begins with the text again.
void sensitivity_probe::advance(transformer& original, std::uint32_t step) {
  const std::uint32_t blocks = original.config().blocks;
  if (states_.empty() || step < step_) {
    embed(original, states_);
    step_ = 1;
  }
  for (; step_ < std::max<std::uint32_t>(1, step); ++step_) run_block(original, step_ - 1, states_);
  if (!last_.empty()) return;
  last_ = states_;
  for (std::uint32_t block = step_ - 1; block < blocks; ++block) run_block(original, block, last_);
}

estimate sensitivity_probe::divergence(transformer& original, transformer& changed, std::uint32_t step,
                                       std::uint64_t memory) {
  const std::uint32_t blocks = original.config().blocks;
  check_memory(original, memory);
  advance(original, std::min(step, 1 + blocks));
  std::vector<float> states;
  if (step == 0) {
    embed(changed, states);
  } else {
    states = states_;
  }
  for (std::uint32_t block = std::max<std::uint32_t>(1, step) - 1; block < blocks; ++block) {
    run_block(changed, block, states);
  }
  running_mean mean;
  for (const window_group& g : groups_) {
    std::vector<std::size_t> rows = g.rows;
    for (std::size_t& row : rows) row += g.first;
    const std::vector<float> found = changed.normed(states, rows), expected = original.normed(last_, rows);
    for (const auto& pair : evaluate_detail::compare_states(changed, found, original, expected, g.targets)) {
      mean.add(pair.divergence());
    }
  }
  return {mean.mean(), mean.standard_error()};
}

}  // namespace hartonomous
