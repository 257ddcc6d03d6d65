// The routed feed-forward part of a block (block_pass.hpp): a router chooses some of the block's experts for each
// token, and their outputs are summed with the router's weights (Shazeer et al. 2017). The matrices of an expert are
// read only if some token has chosen it.
#include "hartonomous/error.hpp"
#include "network/block_pass.hpp"
#include "network/vectors.hpp"

#include <algorithm>

namespace hartonomous::network_detail {
namespace {

// The smallest normal F16 number: llama.cpp's lower bound of the divisor.
constexpr float smallest_sum = 6.103515625e-5F;

// Chooses the most probable experts (on ties the first one) and scales their weights to sum to 1. The probabilities of
// chosen experts become -1.
void choose_experts(float* probabilities, std::size_t experts, span<expert_choice> chosen) {
  float sum = 0.0F;
  for (expert_choice& choice : chosen) {
    std::size_t best = experts;
    for (std::size_t e = 0; e < experts; ++e) {
      if (probabilities[e] == -1.0F) continue;
      if (best == experts || probabilities[e] > probabilities[best]) best = e;
    }
    choice = {static_cast<std::uint32_t>(best), probabilities[best]};
    sum += choice.weight;
    probabilities[best] = -1.0F;
  }
  for (expert_choice& choice : chosen) choice.weight /= std::max(sum, smallest_sum);
}

}  // namespace

std::vector<expected_tensor> routed_feed_forward_tensors(const hyperparameters& config) {
  const std::uint64_t width = config.width, inner = config.expert_feed_forward, experts = config.experts;
  return {{"ffn_gate_inp.weight", {experts, width}, true, "mlp.gate.weight"},
          {"ffn_gate_exps.weight", {experts, inner, width}, true, "mlp.experts.*.gate_proj.weight"},
          {"ffn_up_exps.weight", {experts, inner, width}, true, "mlp.experts.*.up_proj.weight"},
          {"ffn_down_exps.weight", {experts, width, inner}, true, "mlp.experts.*.down_proj.weight"}};
}

void block_pass::routed_feed_forward() {
  if (tape_ != nullptr) {
    throw error(sqlstate::feature_not_supported, "gradients of a model with experts cannot be computed");
  }
  const std::size_t tokens = batch_.size(), width = config_.width, experts = config_.experts;
  const std::size_t used = config_.experts_used;
  compute_.linear(name("ffn_gate_inp"), batch_.normed.data(), tokens, width, batch_.router.data(), experts);
  compute_.for_runs(tokens, experts, [&](std::size_t from, std::size_t to) {
    for (std::size_t t = from; t < to; ++t) {
      softmax(batch_.router.data() + t * experts, experts);
      choose_experts(batch_.router.data() + t * experts, experts, {batch_.choices.data() + t * used, used});
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
  compute_.multiply_rows(name("ffn_gate_exps.weight"), inner_rows, x, choices.size(), width, gate);
  compute_.multiply_rows(name("ffn_up_exps.weight"), inner_rows, x, choices.size(), width, up);
  gate_rows(choices.size(), inner);
  compute_.multiply_rows(name("ffn_down_exps.weight"), outer_rows, gate, choices.size(), inner, x);
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

}  // namespace hartonomous::network_detail
