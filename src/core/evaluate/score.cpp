// Scores of tokens, and the divergence of two models, from logits that are computed a panel of the vocabulary at a time
// (hartonomous/evaluate.hpp). The logits of a model are never in memory as a whole.
#include "evaluate/passes.hpp"
#include "evaluate/progress_counter.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/evaluate.hpp"
#include "network/vectors.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace hartonomous {
namespace {

using namespace evaluate_detail;

// The softmax of one row, over the logits seen so far.
struct distribution {
  float top = -std::numeric_limits<float>::infinity();
  std::size_t top_token = 0;
  double mass = 0.0;    // sum of exp(logit - top)
  double target = 0.0;  // logit of the scored token

  // Updates the maximum with the panel's; returns the factor by which the sums so far are rescaled.
  double raise_top(const float* logits, std::size_t first, std::size_t count) {
    const float panel_top = network_detail::maximum(logits, count);
    if (!(panel_top > top)) return 1.0;
    const double factor = std::exp(static_cast<double>(top) - static_cast<double>(panel_top));
    top = panel_top;
    top_token = first + static_cast<std::size_t>(std::find(logits, logits + count, panel_top) - logits);
    return factor;
  }
  void note_target(const float* logits, std::size_t first, std::size_t count, token_id token) {
    const auto id = static_cast<std::size_t>(token);
    if (id >= first && id < first + count) target = static_cast<double>(logits[id - first]);
  }
  double log_mass() const { return static_cast<double>(top) + std::log(mass); }
  double log_probability() const { return target - log_mass(); }
};

// A distribution together with the baseline's.
struct distribution_pair {
  distribution model, baseline;
  double weighted = 0.0;  // sum of exp(baseline's logit - its top) * (baseline's logit - model's)

  double divergence() const { return weighted / baseline.mass - (baseline.log_mass() - model.log_mass()); }
};

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

void add_panel(distribution_pair& pair, const logit_reader& model, const logit_reader& baseline, std::size_t row,
               token_id target) {
  const float *logits = model.logits(row), *reference = baseline.logits(row);
  const std::size_t first = model.first(), count = model.count();
  distribution &m = pair.model, &b = pair.baseline;
  m.mass *= m.raise_top(logits, first, count);
  m.mass += network_detail::exponential_sum(logits, count, m.top);
  const double shrink = b.raise_top(reference, first, count);
  const network_detail::divergence_sums sums = network_detail::exponential_divergence(reference, logits, count, b.top);
  b.mass = b.mass * shrink + sums.mass;
  pair.weighted = pair.weighted * shrink + sums.weighted;
  m.note_target(logits, first, count, target);
  b.note_target(reference, first, count, target);
}

std::vector<distribution_pair> pairs_of(transformer& model, transformer& baseline, const pass& p) {
  std::vector<distribution_pair> found(p.rows.size());
  const std::vector<float> states = predicting_states(model, p), references = predicting_states(baseline, p);
  // Both readers must use the same panels.
  const std::size_t columns = std::min({logit_columns(found.size()), model.panel_rows(model.config().width),
                                        baseline.panel_rows(baseline.config().width)});
  logit_reader reader(model, states.data(), found.size(), columns);
  logit_reader reference(baseline, references.data(), found.size(), columns);
  while (reader.next() && reference.next()) {
    for_rows(model, found.size(), [&](std::size_t i) { add_panel(found[i], reader, reference, i, p.targets[i]); });
  }
  return found;
}

estimate exponential(const running_mean& mean) {
  const double value = std::exp(mean.mean());
  return {value, value * mean.standard_error()};
}

estimate plain(const running_mean& mean) { return {mean.mean(), mean.standard_error()}; }

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
  running_mean loss, baseline_loss, difference, divergence, same;
  progress_counter work({&model, &baseline}, windows, watcher);
  for (const pass& p : plan_passes(model, windows, memory, 2)) {
    for (const distribution_pair& pair : pairs_of(model, baseline, p)) {
      loss.add(-pair.model.log_probability());
      baseline_loss.add(-pair.baseline.log_probability());
      difference.add(pair.baseline.log_probability() - pair.model.log_probability());
      divergence.add(pair.divergence());
      same.add(pair.model.top_token == pair.baseline.top_token ? 1.0 : 0.0);
    }
    work.end_pass(loss);
  }
  return {loss.count(),      exponential(loss), exponential(baseline_loss), exponential(difference),
          plain(divergence), plain(same)};
}

}  // namespace hartonomous
