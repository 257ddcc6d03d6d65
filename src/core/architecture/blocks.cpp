// Blocks of several architectures (blocks.hpp).
#include "architecture/blocks.hpp"

namespace hartonomous::architecture_detail {
namespace {

enum class head_norms { none, rms };
enum class feed_forward { dense, routed };

void append(std::vector<expected_tensor>& to, const std::vector<expected_tensor>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

// In the order of llama.cpp's converter.
std::vector<expected_tensor> block_tensors(const hyperparameters& config, head_norms norms, feed_forward kind) {
  std::vector<expected_tensor> tensors = {{"attn_norm.weight", {config.width}, true, "input_layernorm.weight"}};
  append(tensors, network_detail::attention_tensors(config));
  if (norms == head_norms::rms) append(tensors, network_detail::head_norm_tensors(config));
  tensors.push_back({"ffn_norm.weight", {config.width}, true, "post_attention_layernorm.weight"});
  append(tensors, kind == feed_forward::dense ? network_detail::gated_feed_forward_tensors(config)
                                              : network_detail::routed_feed_forward_tensors(config));
  return tensors;
}

void run_block(network_detail::block_pass& pass, head_norms norms, feed_forward kind) {
  pass.normalize("attn_norm");
  pass.project_queries_keys_values();
  if (norms == head_norms::rms) pass.normalize_heads();
  pass.rotate();
  pass.attend();
  pass.project_attention();
  pass.add_to_stream();
  pass.normalize("ffn_norm");
  kind == feed_forward::dense ? pass.gated_feed_forward() : pass.routed_feed_forward();
  pass.add_to_stream();
}

}  // namespace

std::vector<expected_tensor> dense_block_tensors(const hyperparameters& config) {
  return block_tensors(config, head_norms::none, feed_forward::dense);
}

void run_dense_block(network_detail::block_pass& pass) { run_block(pass, head_norms::none, feed_forward::dense); }

std::vector<expected_tensor> dense_block_tensors_with_head_norms(const hyperparameters& config) {
  return block_tensors(config, head_norms::rms, feed_forward::dense);
}

void run_dense_block_with_head_norms(network_detail::block_pass& pass) {
  run_block(pass, head_norms::rms, feed_forward::dense);
}

std::vector<expected_tensor> routed_block_tensors_with_head_norms(const hyperparameters& config) {
  return block_tensors(config, head_norms::rms, feed_forward::routed);
}

void run_routed_block_with_head_norms(network_detail::block_pass& pass) {
  run_block(pass, head_norms::rms, feed_forward::routed);
}

}  // namespace hartonomous::architecture_detail
