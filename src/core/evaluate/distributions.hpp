// Probability distributions over the next token, computed from logits a panel of the vocabulary at a time (inside
// src/core only).
#pragma once

#include "hartonomous/network.hpp"
#include "network/vectors.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace hartonomous::evaluate_detail {

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

// The distributions that two networks of the same vocabulary predict from their states, which are normed, and the
// tokens that follow.
std::vector<distribution_pair> compare_states(transformer& model, const std::vector<float>& states,
                                              transformer& baseline, const std::vector<float>& references,
                                              span<const token_id> targets);

}  // namespace hartonomous::evaluate_detail
