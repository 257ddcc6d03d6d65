// Which matrices of a network have inputs, and which of them share one (hartonomous/calibration.hpp).
#include "hartonomous/calibration.hpp"
#include "network/architecture.hpp"
#include "network/block_pass.hpp"

#include <algorithm>

namespace hartonomous {
namespace {

// Matrices with the input of an earlier one in the block.
struct shared_input {
  const char* tensor;
  const char* with;
};
constexpr shared_input shared_inputs[] = {{"attn_v.weight", "attn_q.weight"},
                                          {"ffn_up.weight", "ffn_gate.weight"},
                                          {"ffn_up_exps.weight", "ffn_gate_exps.weight"},
                                          {"ffn_up_shexp.weight", "ffn_gate_shexp.weight"}};

std::string first_with_input_of(const std::string& tensor, const std::vector<expected_tensor>& of_block) {
  const auto exists = [&](const char* name) {
    return std::any_of(of_block.begin(), of_block.end(), [&](const expected_tensor& t) { return t.name == name; });
  };
  const auto* const shared = std::find_if(std::begin(shared_inputs), std::end(shared_inputs),
                                          [&](const auto& s) { return tensor == s.tensor && exists(s.with); });
  return shared == std::end(shared_inputs) ? tensor : shared->with;
}

}  // namespace

std::vector<linear_input> linear_inputs(const transformer& network) {
  const hyperparameters& config = network.config();
  const std::vector<expected_tensor> of_block = config.architecture->block_tensors(config);
  std::vector<linear_input> inputs;
  for (std::uint32_t block = 0; block < config.blocks; ++block) {
    for (const expected_tensor& t : of_block) {
      if (!t.is_matrix()) continue;
      linear_input input;
      input.tensor = network_detail::block_tensor(block, t.name);
      input.shared_with = network_detail::block_tensor(block, first_with_input_of(t.name, of_block));
      input.step = block;
      input.columns = static_cast<std::uint32_t>(t.columns());
      input.attended = t.name == "attn_k.weight";
      input.experts = t.shape.size() == 3 ? static_cast<std::uint32_t>(t.shape.front()) : 1;
      inputs.push_back(input);
    }
  }
  linear_input output = {network.output_matrix(), network.output_matrix(), config.blocks, config.width};
  output.predicts = output.tensor != "token_embd.weight";
  inputs.push_back(output);
  return inputs;
}

std::vector<linear_input> output_gradients_of(const transformer& network) {
  const hyperparameters& config = network.config();
  const std::vector<expected_tensor> of_block = config.architecture->block_tensors(config);
  std::vector<linear_input> outputs;
  for (std::uint32_t block = config.blocks; block-- > 0;) {
    for (const expected_tensor& t : of_block) {
      if (!t.is_matrix()) continue;
      const std::string name = network_detail::block_tensor(block, t.name);
      outputs.push_back({name, name, 2 * config.blocks - block, static_cast<std::uint32_t>(t.rows())});
    }
  }
  return outputs;
}

}  // namespace hartonomous
