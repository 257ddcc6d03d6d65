// The routed feed-forward part of a block (block_pass.hpp): a router chooses some of the block's experts for each
// token, and their outputs are summed with the router's weights (Shazeer et al. 2017). The matrices of an expert are
// read only if some token has chosen it.
#include "hartonomous/error.hpp"
#include "network/block_pass.hpp"
#include "network/vectors.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace hartonomous::network_detail {
namespace {

// The smallest normal F16 number: llama.cpp's lower bound of the divisor.
constexpr float smallest_sum = 6.103515625e-5F;

constexpr float already_chosen = -std::numeric_limits<float>::infinity();

// Chooses the experts with the highest scores (on ties the first one), whose weights are these scores. The scores of
// chosen experts become -infinity.
void choose_experts(float* scores, std::size_t experts, span<expert_choice> chosen) {
  for (expert_choice& choice : chosen) {
    std::size_t best = experts;
    for (std::size_t e = 0; e < experts; ++e) {
      if (scores[e] == already_chosen) continue;
      if (best == experts || scores[e] > scores[best]) best = e;
    }
    if (best == experts) {
      throw error(sqlstate::object_not_in_prerequisite_state, "the scores of experts are not finite");
    }
    choice = {static_cast<std::uint32_t>(best), scores[best]};
    scores[best] = already_chosen;
  }
}

// From the router's scores for one token.
void route(const hyperparameters& config, float* scores, span<expert_choice> chosen) {
  const router_weights weights = config.architecture->parts.router;
  if (weights != router_weights::softmax) softmax(scores, config.experts);
  choose_experts(scores, config.experts, chosen);
  float sum = 0.0F;
  const float top = chosen.begin()->weight;
  for (expert_choice& choice : chosen) {
    if (weights == router_weights::softmax) choice.weight = std::exp(choice.weight - top);
    sum += choice.weight;
  }
  const float divisor = weights == router_weights::probabilities ? 1.0F : std::max(sum, smallest_sum);
  for (expert_choice& choice : chosen) choice.weight /= divisor;
}

}  // namespace

std::vector<expected_tensor> routed_feed_forward_tensors(const hyperparameters& config) {
  const std::uint64_t width = config.width, inner = config.expert_feed_forward, experts = config.experts;
  const block_parts& parts = config.architecture->parts;
  std::vector<expected_tensor> tensors = {
      {"ffn_gate_inp.weight", {experts, width}, true, "mlp.gate.weight"},
      {"ffn_gate_exps.weight", {experts, inner, width}, true, "mlp.experts.*.gate_proj.weight"},
      {"ffn_up_exps.weight", {experts, inner, width}, true, "mlp.experts.*.up_proj.weight"},
      {"ffn_down_exps.weight", {experts, width, inner}, true, "mlp.experts.*.down_proj.weight"}};
  if (parts.expert_biases) {
    tensors.push_back({"ffn_gate_inp.bias", {experts}, true});
    tensors.push_back({"ffn_gate_exps.bias", {experts, inner}, true});
    tensors.push_back({"ffn_up_exps.bias", {experts, inner}, true});
    tensors.push_back({"ffn_down_exps.bias", {experts, width}, true});
  }
  if (config.shared_feed_forward > 0) {
    const std::uint64_t shared = config.shared_feed_forward;
    if (parts.gated_shared_expert) tensors.push_back({"ffn_gate_inp_shexp.weight", {width}, true});
    tensors.push_back({"ffn_gate_shexp.weight", {shared, width}, true});
    tensors.push_back({"ffn_up_shexp.weight", {shared, width}, true});
    tensors.push_back({"ffn_down_shexp.weight", {width, shared}, true});
  }
  return tensors;
}

void block_pass::routed_feed_forward() {
  const std::size_t tokens = batch_.size(), width = config_.width, experts = config_.experts;
  const std::size_t used = config_.experts_used;
  compute_.linear(name("ffn_gate_inp"), batch_.normed.data(), tokens, width, batch_.router.data(), experts);
  compute_.for_runs(tokens, experts, [&](std::size_t from, std::size_t to) {
    for (std::size_t t = from; t < to; ++t) {
      route(config_, batch_.router.data() + t * experts, {batch_.choices.data() + t * used, used});
    }
  });
  std::fill(batch_.routed.begin(), batch_.routed.end(), 0.0F);
  for (std::uint32_t expert = 0; expert < config_.experts; ++expert) {
    batch_.choosing.clear();
    for (std::size_t i = 0; i < batch_.choices.size(); ++i) {
      if (batch_.choices[i].expert == expert) batch_.choosing.push_back(static_cast<std::uint32_t>(i));
    }
    if (!batch_.choosing.empty()) run_expert(expert);
  }
  if (config_.shared_feed_forward > 0) run_shared_expert();
  std::swap(batch_.normed, batch_.routed);
}

void block_pass::run_expert(std::uint32_t expert) {
  const std::size_t width = config_.width, inner = config_.expert_feed_forward, used = config_.experts_used;
  const std::vector<std::uint32_t>& choices = batch_.choosing;
  float *x = batch_.gathered.data(), *gate = batch_.gate.data(), *up = batch_.up.data();
  for (std::size_t i = 0; i < choices.size(); ++i) {
    std::copy_n(batch_.normed.data() + choices[i] / used * width, width, x + i * width);
  }
  const row_range inner_rows = {expert * std::uint64_t{inner}, inner},
                  outer_rows = {expert * std::uint64_t{width}, width};
  const bool biased = config_.architecture->parts.expert_biases;
  const auto multiply = [&](const char* matrix, row_range rows, const float* from, std::size_t columns, float* to) {
    compute_.multiply_rows(name(matrix) + ".weight", rows, from, choices.size(), columns, to);
    if (biased) compute_.add_bias(name(matrix) + ".bias", expert, to, choices.size(), rows.count);
  };
  multiply("ffn_gate_exps", inner_rows, x, width, gate);
  multiply("ffn_up_exps", inner_rows, x, width, up);
  gate_rows(choices.size(), inner);
  multiply("ffn_down_exps", outer_rows, gate, inner, x);
  if (compute_.observer() != nullptr) {
    std::vector<float> weights;
    weights.reserve(choices.size());
    for (const std::uint32_t choice : choices) weights.push_back(batch_.choices[choice].weight);
    compute_.observer()->routed(name("ffn_down_exps.weight"), expert, x, weights, width);
  }
  // No token occurs twice, so the tasks do not write to the same row.
  compute_.for_runs(choices.size(), width, [&](std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) {
      const float weight = batch_.choices[choices[i]].weight;
      float* sum = batch_.routed.data() + choices[i] / used * width;
      for (std::size_t j = 0; j < width; ++j) sum[j] += weight * x[i * width + j];
    }
  });
}

void block_pass::run_shared_expert() {
  const std::size_t tokens = batch_.size(), width = config_.width, inner = config_.shared_feed_forward;
  float *x = batch_.normed.data(), *gate = batch_.gate.data(), *up = batch_.up.data();
  compute_.linear(name("ffn_gate_shexp"), x, tokens, width, gate, inner);
  compute_.linear(name("ffn_up_shexp"), x, tokens, width, up, inner);
  gate_rows(tokens, inner);
  compute_.linear(name("ffn_down_shexp"), gate, tokens, inner, batch_.gathered.data(), width);
  const std::vector<float> shares = config_.architecture->parts.gated_shared_expert
                                        ? compute_.vector_of(name("ffn_gate_inp_shexp.weight"))
                                        : std::vector<float>();
  compute_.for_runs(tokens, width, [&](std::size_t from, std::size_t to) {
    for (std::size_t t = from; t < to; ++t) {
      const float score = std::inner_product(shares.begin(), shares.end(), x + t * width, 0.0F);
      const float share = shares.empty() ? 1.0F : 1.0F / (1.0F + std::exp(-score));
      for (std::size_t j = t * width; j < (t + 1) * width; ++j) batch_.routed[j] += share * batch_.gathered[j];
    }
  });
}

}  // namespace hartonomous::network_detail
