// The feed-forward part of a block, norms and the residual stream (block_pass.hpp).
#include "network/block_pass.hpp"
#include "network/vectors.hpp"

#include <algorithm>

namespace hartonomous::network_detail {

std::string block_tensor(std::uint32_t block, const std::string& name) {
  return "blk." + std::to_string(block) + "." + name;
}

std::vector<expected_tensor> gated_feed_forward_tensors(const hyperparameters& config) {
  const std::uint64_t width = config.width, inner = config.feed_forward;
  return {{"ffn_gate.weight", {inner, width}, true, "mlp.gate_proj.weight"},
          {"ffn_gate.bias", {inner}, false, "mlp.gate_proj.bias"},
          {"ffn_up.weight", {inner, width}, true, "mlp.up_proj.weight"},
          {"ffn_up.bias", {inner}, false, "mlp.up_proj.bias"},
          {"ffn_down.weight", {width, inner}, true, "mlp.down_proj.weight"},
          {"ffn_down.bias", {width}, false, "mlp.down_proj.bias"}};
}

std::vector<expected_tensor> joined_feed_forward_tensors(const hyperparameters& config) {
  const std::uint64_t width = config.width, inner = config.feed_forward;
  return {{"ffn_up.weight", {2 * inner, width}, true}, {"ffn_down.weight", {width, inner}, true}};
}

std::vector<expected_tensor> plain_feed_forward_tensors(const hyperparameters& config) {
  const std::uint64_t width = config.width, inner = config.feed_forward;
  return {{"ffn_up.weight", {inner, width}, true},
          {"ffn_up.bias", {inner}, false},
          {"ffn_down.weight", {width, inner}, true},
          {"ffn_down.bias", {width}, false}};
}

void block_pass::normalize(const char* norm) {
  record(block_part::norm, norm, batch_.x);
  compute_.normalize(name(norm), config_, batch_.x.data(), batch_.size(), batch_.normed.data());
}

void block_pass::take_stream() { std::copy(batch_.x.begin(), batch_.x.end(), batch_.normed.begin()); }

void block_pass::normalize_output(const char* norm) {
  compute_.normalize(name(norm), config_, batch_.normed.data(), batch_.size(), batch_.normed.data());
}

void block_pass::gated_feed_forward() {
  const std::size_t tokens = batch_.size(), width = config_.width, inner = config_.feed_forward;
  float *gate = batch_.gate.data(), *up = batch_.up.data();
  compute_.linear(name("ffn_gate"), batch_.normed.data(), tokens, width, gate, inner);
  compute_.linear(name("ffn_up"), batch_.normed.data(), tokens, width, up, inner);
  record(block_part::feed_forward, "", batch_.gate);
  gate_rows(tokens, inner);
  compute_.linear(name("ffn_down"), gate, tokens, inner, batch_.normed.data(), width);
}

void block_pass::joined_feed_forward() {
  const std::size_t tokens = batch_.size(), width = config_.width, inner = config_.feed_forward;
  compute_.linear(name("ffn_up"), batch_.normed.data(), tokens, width, batch_.joined.data(), 2 * inner);
  split(2 * inner, {{&batch_.gate, inner}, {&batch_.up, inner}});
  gate_rows(tokens, inner);
  compute_.linear(name("ffn_down"), batch_.gate.data(), tokens, inner, batch_.normed.data(), width);
}

void block_pass::plain_feed_forward() {
  const std::size_t tokens = batch_.size(), width = config_.width, inner = config_.feed_forward;
  compute_.linear(name("ffn_up"), batch_.normed.data(), tokens, width, batch_.gate.data(), inner);
  std::fill(batch_.up.begin(), batch_.up.end(), 1.0f);
  gate_rows(tokens, inner);
  compute_.linear(name("ffn_down"), batch_.gate.data(), tokens, inner, batch_.normed.data(), width);
}

void block_pass::gate_rows(std::size_t rows, std::size_t inner) {
  const activation kind = config_.architecture->parts.inner_activation;
  const auto gate = kind == activation::silu ? gated : kind == activation::gelu ? gelu_gated : clamped_gated;
  compute_.for_runs(rows, inner, [&](std::size_t from, std::size_t to) {
    gate(batch_.gate.data() + from * inner, batch_.up.data() + from * inner, (to - from) * inner);
  });
}

void block_pass::add_to_stream() {
  record(block_part::addition);
  const std::size_t width = config_.width;
  compute_.for_runs(batch_.size(), width, [&](std::size_t from, std::size_t to) {
    if (config_.residual_scale != 1.0f) {
      scale(batch_.normed.data() + from * width, (to - from) * width, config_.residual_scale);
    }
    add(batch_.x.data() + from * width, batch_.normed.data() + from * width, (to - from) * width);
  });
  if (compute_.observer() != nullptr) compute_.observer()->stream(batch_.x.data(), batch_.size(), width);
}

}  // namespace hartonomous::network_detail
