// What the name of a tensor says: the block it belongs to and its role there.
//
// Names are those of GGUF files (llama.cpp v0.5.0) and of Hugging Face checkpoints. One table
// (src/core/tensor/roles.cpp) knows them; import, mixes of formats, students and checkpoints ask it.
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
  embedding,  // any other: of token types, of patches of an image
  output,     // hidden state to logits
  attn_q,
  attn_k,
  attn_v,
  attn_qkv,   // the three in one
  attn_kv_b,  // latent attention (MLA): from the compressed state to keys and values
  attn_output,
  attention,  // anything else of attention
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
  // Whether llama-quantize's mixes know the role by this name, or would by the one that GGUF has for it. They pass over
  // names that they do not list (T5's attn_o, RWKV's channel_mix_value), and over biases.
  bool known_to_mixes = false;
};

tensor_name parse_tensor_name(std::string_view name);

std::string_view name_of(tensor_role role) noexcept;  // as the enumerator

// The coarse kind that model_layers.layer_type holds: attention, ffn, norm, embedding, output or other.
std::string_view kind_of(tensor_role role) noexcept;

// Whether the tensor writes to the residual stream that runs through all blocks.
bool writes_residual(tensor_role role) noexcept;

// The name with its block's number replaced; unchanged outside blocks.
std::string with_block(std::string_view name, std::int32_t block);

}  // namespace hartonomous
