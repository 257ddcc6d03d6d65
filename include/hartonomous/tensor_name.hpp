// What the name of a tensor says: the block it belongs to and its role there.
//
// Names are those of GGUF files (llama.cpp v0.5.0) and of Hugging Face checkpoints. They are all in one table
// (src/core/tensor/roles.cpp), which is used for imports, mixtures of formats, students and checkpoints.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hartonomous {

enum class tensor_role {
  other,
  norm,
  token_embedding,
  position_embedding,
  embedding,  // any other, such as those of token types or image patches
  output,     // hidden state to logits
  attn_q,
  attn_k,
  attn_v,
  attn_qkv,   // all three in one
  attn_kv_b,  // multi-head latent attention (MLA): from the compressed state to keys and values
  attn_output,
  attention,  // any other tensor of attention
  ffn_gate,
  ffn_up,
  ffn_down,
  router,  // chooses experts
  feed_forward,
  recurrent,  // state spaces, convolutions over positions, RWKV's mixing of positions
  recurrent_output,
};

struct tensor_name {
  std::int32_t block = -1;  // -1 outside blocks
  tensor_role role = tensor_role::other;
  // Whether llama-quantize's mixtures know the role under this name, or would under GGUF's name for it. They ignore
  // biases and names that they do not list (T5's attn_o, RWKV's channel_mix_value).
  bool known_to_mixtures = false;
};

tensor_name parse_tensor_name(std::string_view name);

std::string_view name_of(tensor_role role) noexcept;  // as the enumerator

// The coarser kind in model_layers.layer_type: attention, ffn, norm, embedding, output or other.
std::string_view kind_of(tensor_role role) noexcept;

// Whether the tensor writes to the residual stream that runs through all blocks.
bool writes_residual(tensor_role role) noexcept;

// The name with another block number; unchanged outside blocks.
std::string with_block(std::string_view name, std::int32_t block);

}  // namespace hartonomous
