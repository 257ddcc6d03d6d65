// What a file of src/core/architecture defines for its family of models: the names of sizes and tensors in GGUF files
// and in Hugging Face checkpoints, and how a block is built from the parts in block_pass.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hartonomous/hyperparameters.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous {

namespace network_detail {
class block_pass;
}

// A hyperparameter that is a number above 0.
struct named_size {
  const char* key;     // in GGUF, after "ARCHITECTURE."
  const char* member;  // of config.json
  std::uint32_t hyperparameters::*value;
};

// A model class of the transformers library, as config.json names it under `architectures`.
struct checkpoint_class {
  const char* name;
  // If true, attention has a sliding window whenever the config gives its size or does not mention it; otherwise
  // use_sliding_window decides.
  bool has_window;
};

// A tensor of a block.
struct expected_tensor {
  std::string name;                  // after "blk.N."
  std::vector<std::uint64_t> shape;  // row-major, rows first; a vector has one number
  bool required;
  std::string checkpoint_name = {};  // after "layers.N."; * stands for the number of an expert
  // Rotary positions rotate pairs of its rows. In checkpoints the pairs are the halves of each head; if the
  // architecture rotates adjacent rows, the rows are reordered on reading.
  bool has_turned_rows = false;

  bool is_matrix() const noexcept { return shape.size() > 1 && name.find(".bias") == std::string::npos; }
  std::uint64_t columns() const noexcept { return shape.back(); }
  std::uint64_t rows() const noexcept {
    std::uint64_t rows = 1;
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
    return rows;
  }
};

enum class norm_kind {
  root_mean_square,  // RMSNorm
  layer,             // LayerNorm, with a bias
};

// What is applied to the gate of a feed-forward network, or to its inner numbers if it has no gate.
enum class activation {
  silu,
  gelu,          // with tanh, as ggml and GPT-2 define it
  clamped_silu,  // gpt-oss: sigmoid(1.702 x) x, with x at most 7; the other factor is clamped to [-7, 7], plus 1
};

// The weights of the experts chosen for a token.
enum class router_weights {
  shares,         // their probabilities, scaled to sum to 1
  probabilities,  // their shares of the softmax of all
  softmax,        // the softmax of the scores of those that are chosen
};

// Norms of queries and keys, before they are rotated.
enum class head_norms { none, each, whole };  // of each head; of all heads together

enum class feed_forward_form {
  gated,   // ffn_down (act(ffn_gate x) * ffn_up x)
  joined,  // the same; the rows of ffn_up are first those of the gate
  plain,   // ffn_down act(ffn_up x)
};

// What the blocks of an architecture are made of: attention, then a feed-forward network, or experts if the model has
// some, each applied to a norm of the residual stream and added to it.
struct block_parts {
  norm_kind norm = norm_kind::root_mean_square;
  activation inner_activation = activation::silu;
  router_weights router = router_weights::shares;
  head_norms heads = head_norms::none;
  feed_forward_form inner = feed_forward_form::gated;
  bool joined_projections = false;             // attn_qkv instead of attn_q, attn_k and attn_v
  bool norms_before = true;                    // of the residual stream: attn_norm and that of the next line
  const char* feed_forward_norm = "ffn_norm";  // its name
  bool norms_after = false;                    // of what is added: post_attention_norm and post_ffw_norm
  bool sinks = false;                          // attn_sinks: of each head, a score that takes its share of the softmax
  bool expert_biases = false;                  // of the router and the matrices of experts
  bool gated_shared_expert = false;            // ffn_gate_inp_shexp: how much of the shared expert a token gets
  bool learned_positions = false;              // position_embd, added to the embeddings, instead of rotations
  bool long_factors = false;                   // position scaling of type longrope is known
};

namespace architecture_detail {
class keys;
}

struct network_architecture {
  const char* name;  // general.architecture
  span<const checkpoint_class> checkpoint_classes;
  span<const named_size> sizes;
  rope_pairs pairs;
  bool turns_whole_heads;  // otherwise rope.dimension_count may be less than the size of a head
  block_parts parts = {};
  // Reads the hyperparameters that only some architectures have, after the others; nullptr: there are none.
  void (*read_more)(const architecture_detail::keys& key, hyperparameters& config) = nullptr;

  // The tensors of a block, in the order of llama.cpp's converter.
  std::vector<expected_tensor> block_tensors(const hyperparameters& config) const;
  void run_block(network_detail::block_pass& pass) const;
};

}  // namespace hartonomous
