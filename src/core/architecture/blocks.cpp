// The blocks of all architectures (network/architecture.hpp): which parts they have, in which order.
#include "architecture/blocks.hpp"

#include "architecture/keys.hpp"

#include <cmath>

namespace hartonomous {
namespace {

using network_detail::block_pass;

void append(std::vector<expected_tensor>& to, const std::vector<expected_tensor>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

void append_norm(std::vector<expected_tensor>& to, const hyperparameters& config, const std::string& name,
                 const char* checkpoint_name = "") {
  to.push_back({name + ".weight", {config.width}, true, checkpoint_name});
  if (config.architecture->parts.norm == norm_kind::layer) to.push_back({name + ".bias", {config.width}, true});
}

std::vector<expected_tensor> feed_forward_tensors(const hyperparameters& config) {
  if (config.experts > 0) return network_detail::routed_feed_forward_tensors(config);
  switch (config.architecture->parts.inner) {
    case feed_forward_form::gated:
      return network_detail::gated_feed_forward_tensors(config);
    case feed_forward_form::joined:
      return network_detail::joined_feed_forward_tensors(config);
    case feed_forward_form::plain:
      break;
  }
  return network_detail::plain_feed_forward_tensors(config);
}

void run_attention(block_pass& pass, const block_parts& parts) {
  const hyperparameters& config = pass.config();
  parts.norms_before ? pass.normalize("attn_norm") : pass.take_stream();
  parts.joined_projections ? pass.project_joined() : pass.project_queries_keys_values();
  if (parts.heads != head_norms::none) pass.normalize_heads(parts.heads == head_norms::whole);
  if (!parts.learned_positions && config.rotates(pass.block())) pass.rotate();
  if (config.query_growth != 0.0F) pass.scale_queries();
  pass.attend();
  pass.project_attention();
  if (parts.norms_after) pass.normalize_output("post_attention_norm");
  pass.add_to_stream();
}

void run_feed_forward(block_pass& pass, const block_parts& parts) {
  parts.norms_before ? pass.normalize(parts.feed_forward_norm) : pass.take_stream();
  if (pass.config().experts > 0) {
    pass.routed_feed_forward();
  } else if (parts.inner == feed_forward_form::gated) {
    pass.gated_feed_forward();
  } else {
    parts.inner == feed_forward_form::joined ? pass.joined_feed_forward() : pass.plain_feed_forward();
  }
  if (parts.norms_after) pass.normalize_output("post_ffw_norm");
  pass.add_to_stream();
}

}  // namespace

std::vector<expected_tensor> network_architecture::block_tensors(const hyperparameters& config) const {
  std::vector<expected_tensor> tensors;
  if (parts.norms_before) append_norm(tensors, config, "attn_norm", "input_layernorm.weight");
  append(tensors, parts.joined_projections ? network_detail::joined_attention_tensors(config)
                                           : network_detail::attention_tensors(config));
  if (parts.heads != head_norms::none) {
    append(tensors, network_detail::head_norm_tensors(config, parts.heads == head_norms::whole));
  }
  if (parts.sinks) tensors.push_back({"attn_sinks.weight", {config.heads}, true});
  if (parts.norms_after) append_norm(tensors, config, "post_attention_norm");
  if (parts.norms_before) append_norm(tensors, config, parts.feed_forward_norm, "post_attention_layernorm.weight");
  append(tensors, feed_forward_tensors(config));
  if (parts.norms_after) append_norm(tensors, config, "post_ffw_norm");
  return tensors;
}

void network_architecture::run_block(block_pass& pass) const {
  run_attention(pass, parts);
  run_feed_forward(pass, parts);
}

std::vector<std::string_view> fixed_structures(const hyperparameters& config) {
  const block_parts& parts = config.architecture->parts;
  // A scale that is not that of the size of heads follows from their number.
  const double usual = 1.0 / std::sqrt(static_cast<double>(config.head_size));
  const bool scaled = parts.norms_after && std::fabs(static_cast<double>(config.attention_scale) - usual) > 1e-6;
  std::vector<std::string_view> fixed;
  if (parts.inner == feed_forward_form::joined) fixed.emplace_back("neurons");
  if (parts.joined_projections || parts.heads == head_norms::whole || scaled) {
    fixed.emplace_back("heads");
  }
  // What a block adds last must be, but for a bias, what one matrix writes.
  if (parts.norms_after || parts.expert_biases || config.shared_feed_forward > 0 || config.residual_scale != 1.0F) {
    fixed.emplace_back("repair");
  }
  return fixed;
}

namespace architecture_detail {

void read_experts(const keys& key, hyperparameters& config) {
  config.experts = key.number("expert_count").value_or(0);
  if (config.experts == 0) return;
  config.experts_used = key.positive("expert_used_count");
  config.expert_feed_forward = config.feed_forward;
}

void read_window(const keys& key, std::optional<std::uint32_t> usual_window, std::uint32_t period,
                 hyperparameters& config) {
  const std::optional<std::uint32_t> window = key.number("attention.sliding_window");
  config.window = window ? *window : usual_window.value_or(0);
  if (config.window == 0) return;
  const char* const pattern = "attention.sliding_window_pattern";
  if (const auto given = key.flags(pattern, config.blocks)) {
    config.windowed = *given;
  } else {
    const std::uint32_t every = key.number(pattern).value_or(period);
    for (std::uint32_t block = 0; block < config.blocks; ++block) {
      config.windowed.push_back(every == 0 || block % every < every - 1);
    }
  }
  for (const char* size : {"attention.key_length_swa", "attention.value_length_swa"}) {
    if (key.number(size).value_or(config.head_size) != config.head_size) key.refuse(size);
  }
  if (key.number("rope.dimension_count_swa").value_or(config.rope.dimensions) != config.rope.dimensions) {
    key.refuse("rope.dimension_count_swa");
  }
}

float real_or(const keys& key, const char* name, double otherwise) {
  return static_cast<float>(key.real(name).value_or(otherwise));
}

}  // namespace architecture_detail
}  // namespace hartonomous
