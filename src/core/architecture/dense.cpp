// The block of dense models (dense.hpp).
#include "architecture/dense.hpp"

namespace hartonomous::architecture_detail {
namespace {

void append(std::vector<expected_tensor>& to, const std::vector<expected_tensor>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

// In the order in which llama.cpp's converter writes them.
std::vector<expected_tensor> block_tensors(const hyperparameters& config, bool head_norms) {
  std::vector<expected_tensor> tensors = {{"attn_norm.weight", {config.width}, true, "input_layernorm.weight"}};
  append(tensors, network_detail::attention_tensors(config));
  if (head_norms) append(tensors, network_detail::head_norm_tensors(config));
  tensors.push_back({"ffn_norm.weight", {config.width}, true, "post_attention_layernorm.weight"});
  append(tensors, network_detail::gated_feed_forward_tensors(config));
  return tensors;
}

void run_block(network_detail::block_pass& pass, bool head_norms) {
  pass.normalize("attn_norm");
  pass.project_queries_keys_values();
  if (head_norms) pass.normalize_heads();
  pass.rotate();
  pass.attend();
  pass.project_attention();
  pass.add_to_stream();
  pass.normalize("ffn_norm");
  pass.gated_feed_forward();
  pass.add_to_stream();
}

}  // namespace

std::vector<expected_tensor> dense_block_tensors(const hyperparameters& config) { return block_tensors(config, false); }

std::vector<expected_tensor> dense_block_tensors_with_head_norms(const hyperparameters& config) {
  return block_tensors(config, true);
}

void run_dense_block(network_detail::block_pass& pass) { run_block(pass, false); }
void run_dense_block_with_head_norms(network_detail::block_pass& pass) { run_block(pass, true); }

}  // namespace hartonomous::architecture_detail
