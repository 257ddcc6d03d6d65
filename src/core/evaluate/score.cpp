// Scores of tokens, and the divergence of two models, from logits that are computed a panel of the vocabulary at a time
// (hartonomous/evaluate.hpp). The logits of a model are never in memory as a whole.
#include "evaluate/distributions.hpp"
#include "evaluate/passes.hpp"
#include "evaluate/progress_counter.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/evaluate.hpp"
#include "network/vectors.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace hartonomous {
namespace {

using namespace evaluate_detail;

void check_targets(const transformer& network, const pass& p) {
  for (token_id token : p.targets) {
    if (token < 0 || static_cast<std::uint32_t>(token) >= network.vocabulary()) {
      throw error(sqlstate::invalid_parameter_value, "token " + std::to_string(token) + " is not one of the model's " +
                                                         std::to_string(network.vocabulary()));
    }
  }
}

// The states, after the final norm, of the rows that predict a scored token.
std::vector<float> predicting_states(transformer& network, const pass& p) {
  check_targets(network, p);
  return network.normed(network.run(p.sequences), p.rows);
}

std::vector<distribution> distributions_of(transformer& network, const pass& p) {
  std::vector<distribution> found(p.rows.size());
  const std::vector<float> states = predicting_states(network, p);
  logit_reader reader(network, states.data(), found.size(), logit_columns(found.size()));
  while (reader.next()) {
    for_rows(network, found.size(), [&](std::size_t i) {
      distribution& d = found[i];
      const float* logits = reader.logits(i);
      d.mass *= d.raise_top(logits, reader.first(), reader.count());
      d.mass += network_detail::exponential_sum(logits, reader.count(), d.top);
      d.note_target(logits, reader.first(), reader.count(), p.targets[i]);
    });
  }
  return found;
}

std::vector<distribution_pair> pairs_of(transformer& model, transformer& baseline, const pass& p) {
  const std::vector<float> states = predicting_states(model, p), references = predicting_states(baseline, p);
  return compare_states(model, states, baseline, references, p.targets);
}

estimate exponential(const running_mean& mean) {
  const double value = std::exp(mean.mean());
  return {value, value * mean.standard_error()};
}

estimate plain(const running_mean& mean) { return {mean.mean(), mean.standard_error()}; }

// The measures of a comparison, from all tokens so far.
class comparison_sums {
 public:
  explicit comparison_sums(std::size_t tokens) { divergences_.reserve(tokens); }

  void add(const distribution_pair& pair) {
    const double log_p = pair.model.log_probability(), baseline_log_p = pair.baseline.log_probability();
    const double change = std::exp(log_p) - std::exp(baseline_log_p), divergence = pair.divergence();
    loss_.add(-log_p);
    baseline_loss_.add(-baseline_log_p);
    difference_.add(baseline_log_p - log_p);
    correlation_.add(log_p, baseline_log_p);
    divergence_.add(divergence);
    divergences_.push_back(static_cast<float>(divergence));
    same_.add(pair.model.top_token == pair.baseline.top_token ? 1.0 : 0.0);
    change_.add(change);
    change_rms_.add(change);
  }

  const running_mean& loss() const { return loss_; }

  // Quantiles reorder the divergences: to be called once.
  model_comparison finish(interrupt_checker& interrupts) {
    model_comparison found;
    found.tokens = loss_.count();
    found.perplexity = exponential(loss_);
    found.baseline_perplexity = exponential(baseline_loss_);
    found.perplexity_ratio = exponential(difference_);
    found.kl_divergence = plain(divergence_);
    found.same_top = plain(same_);
    found.probability_change = plain(change_);
    found.probability_change_rms = change_rms_.value();
    found.log_probability_correlation = correlation_.value();
    if (!divergences_.empty()) {
      constexpr double fractions[] = {0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0};
      const std::vector<double> q = quantiles({divergences_.data(), divergences_.size()}, fractions, interrupts);
      found.kl_quantiles = {q[0], q[1], q[2], q[3], q[4], q[5], q[6]};
    }
    return found;
  }

 private:
  running_mean loss_, baseline_loss_, difference_, divergence_, same_, change_;
  running_root_mean_square change_rms_;
  running_correlation correlation_;
  std::vector<float> divergences_;
};

// The memory that remains for passes when 4 bytes are kept for each scored token.
std::uint64_t memory_without_divergences(std::uint64_t memory, std::uint64_t scored) {
  const std::uint64_t needed = scored * sizeof(float);
  if (needed < memory) return memory - needed;
  throw error(sqlstate::out_of_memory, "a comparison on " + std::to_string(scored) + " tokens needs too much memory",
              "It keeps 4 bytes for each; the limit is " + std::to_string(memory) + " bytes.",
              "Raise hartonomous.max_work_memory for this session, or use a shorter text.");
}

}  // namespace

std::vector<double> score_windows(transformer& network, span<const score_window> windows, std::uint64_t memory,
                                  const evaluation_watcher& watcher) {
  std::vector<double> scores;
  running_mean loss;
  progress_counter work({&network}, windows, watcher);
  for (const pass& p : plan_passes(network, windows, memory, 1)) {
    for (const distribution& d : distributions_of(network, p)) {
      scores.push_back(d.log_probability());
      loss.add(-scores.back());
    }
    work.end_pass(loss);
  }
  return scores;
}

model_comparison compare_models(transformer& model, transformer& baseline, span<const score_window> windows,
                                std::uint64_t memory, const evaluation_watcher& watcher) {
  if (model.vocabulary() != baseline.vocabulary()) {
    throw error(sqlstate::invalid_parameter_value, "models of different vocabularies cannot be compared");
  }
  std::size_t scored = 0;
  for (const score_window& w : windows) scored += w.scored();
  const std::uint64_t left = memory_without_divergences(memory, scored);
  comparison_sums sums(scored);
  progress_counter work({&model, &baseline}, windows, watcher);
  for (const pass& p : plan_passes(model, windows, left, 2)) {
    for (const distribution_pair& pair : pairs_of(model, baseline, p)) sums.add(pair);
    work.end_pass(sums.loss());
  }
  return sums.finish(model.interrupts());
}

}  // namespace hartonomous
