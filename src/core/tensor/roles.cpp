// The table of tensor names and their roles (roles.hpp). To support a new architecture's tensors, add rows here.
#include "tensor/roles.hpp"

#include <string>

namespace hartonomous::tensor_detail {

namespace {

using role = tensor_role;

enum class match {
  whole,     // the whole stem
  path,      // the whole stem, or its end after a dot
  end,       // its end
  anywhere,  // any part of it
};
enum class where { anywhere, outside_blocks };
constexpr bool mixed = true;

struct rule {
  match how;
  std::string_view text;
  tensor_role is;
  bool known_to_mixtures = false;
  where place = where::anywhere;
};

// The first match counts. GGUF's names come first, in the order of llama-quantize: it finds attn_k in cross_attn_k and
// in indexer.attn_k, too, but does not take T5's attn_o for attn_output.
constexpr rule rules[] = {
    {match::whole, "output", role::output, mixed, where::outside_blocks},
    {match::whole, "token_embd", role::token_embedding, mixed, where::outside_blocks},
    {match::whole, "per_layer_token_embd", role::token_embedding, mixed, where::outside_blocks},
    {match::end, "attn_qkv", role::attn_qkv, mixed},
    {match::end, "attn_kv_b", role::attn_kv_b, mixed},
    {match::end, "attn_v", role::attn_v, mixed},
    {match::end, "attn_k", role::attn_k, mixed},
    {match::end, "attn_q", role::attn_q, mixed},
    {match::end, "attn_output", role::attn_output, mixed},
    {match::end, "attn_o", role::attn_output},
    {match::end, "attn_out", role::attn_output},
    {match::anywhere, "ffn_gate_inp", role::router, mixed},
    {match::anywhere, "ffn_gate_tid2eid", role::router},
    {match::anywhere, "ffn_up", role::ffn_up, mixed},
    {match::anywhere, "ffn_gate", role::ffn_gate, mixed},
    {match::anywhere, "ffn_down", role::ffn_down, mixed},
    {match::anywhere, "indexer", role::attention},
    {match::path, "time_mix_output", role::recurrent_output},
    {match::path, "ssm_out", role::recurrent_output},
    {match::path, "shortconv.out_proj", role::recurrent_output},
    {match::path, "channel_mix_value", role::ffn_down},
    {match::path, "channel_mix_key", role::ffn_up},
    {match::path, "channel_mix_receptance", role::ffn_gate},
    {match::anywhere, "time_mix", role::recurrent},
    {match::anywhere, "channel_mix", role::feed_forward},
    {match::anywhere, "ssm_", role::recurrent},
    {match::anywhere, "shortconv", role::recurrent},

    // Hugging Face's names.
    {match::path, "lm_head", role::output, mixed},
    {match::path, "embed_out", role::output, mixed},
    {match::path, "embed_tokens", role::token_embedding, mixed, where::outside_blocks},
    {match::path, "tok_embeddings", role::token_embedding, mixed, where::outside_blocks},
    {match::path, "word_embeddings", role::token_embedding, mixed, where::outside_blocks},
    {match::path, "embed_in", role::token_embedding, mixed, where::outside_blocks},
    {match::path, "wte", role::token_embedding, mixed, where::outside_blocks},
    {match::path, "wpe", role::position_embedding},
    {match::path, "embed_positions", role::position_embedding},
    {match::path, "position_embeddings", role::position_embedding},
    {match::path, "linear_attn.out_proj", role::attn_output},
    {match::path, "mixer.out_proj", role::recurrent_output},
    {match::anywhere, "mixer.", role::recurrent},
    {match::path, "kv_b_proj", role::attn_kv_b, mixed},
    {match::path, "qkv_proj", role::attn_qkv, mixed},
    {match::path, "query_key_value", role::attn_qkv, mixed},
    {match::path, "Wqkv", role::attn_qkv, mixed},
    {match::path, "c_attn", role::attn_qkv, mixed},
    {match::path, "q_proj", role::attn_q, mixed},
    {match::path, "k_proj", role::attn_k, mixed},
    {match::path, "v_proj", role::attn_v, mixed},
    {match::path, "o_proj", role::attn_output, mixed},
    {match::path, "attention.wq", role::attn_q, mixed},
    {match::path, "attention.wk", role::attn_k, mixed},
    {match::path, "attention.wv", role::attn_v, mixed},
    {match::path, "attention.wo", role::attn_output, mixed},
    {match::path, "attention.self.query", role::attn_q, mixed},
    {match::path, "attention.self.key", role::attn_k, mixed},
    {match::path, "attention.self.value", role::attn_v, mixed},
    {match::path, "attention.output.dense", role::attn_output, mixed},
    {match::end, "attention.dense", role::attn_output, mixed},
    {match::end, "attn.dense", role::attn_output, mixed},
    {match::end, "attn.out_proj", role::attn_output, mixed},
    {match::end, "attn.c_proj", role::attn_output, mixed},
    {match::path, "mlp.gate", role::router},
    {match::path, "block_sparse_moe.gate", role::router},
    {match::path, "shared_expert_gate", role::router},
    {match::path, "router", role::router},
    {match::path, "gate_up_proj", role::ffn_up, mixed},
    {match::path, "gate_proj", role::ffn_gate, mixed},
    {match::path, "up_proj", role::ffn_up, mixed},
    {match::path, "down_proj", role::ffn_down, mixed},
    {match::path, "w1", role::ffn_gate, mixed},
    {match::path, "w3", role::ffn_up, mixed},
    {match::path, "w2", role::ffn_down, mixed},
    {match::path, "mlp.c_fc", role::ffn_up, mixed},
    {match::path, "mlp.c_proj", role::ffn_down, mixed},
    {match::path, "fc1", role::ffn_up, mixed},
    {match::path, "fc2", role::ffn_down, mixed},
    {match::path, "dense_h_to_4h", role::ffn_up, mixed},
    {match::path, "dense_4h_to_h", role::ffn_down, mixed},
    {match::path, "intermediate.dense", role::ffn_up, mixed},
    {match::path, "output.dense", role::ffn_down, mixed},

    // Guesses from parts of any other name.
    {match::path, "position_embd", role::position_embedding},
    {match::anywhere, "embd", role::embedding},
    {match::anywhere, "embed", role::embedding},
    {match::whole, "token_types", role::embedding},
    {match::anywhere, "attn", role::attention},
    {match::anywhere, "attention", role::attention},
    {match::anywhere, "ffn", role::feed_forward},
    {match::anywhere, "mlp", role::feed_forward},
    {match::anywhere, "feed_forward", role::feed_forward},
    {match::anywhere, "_moe.", role::feed_forward},
    {match::anywhere, "experts", role::feed_forward},
};

bool ends_with(std::string_view text, std::string_view end) noexcept {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool fits(const rule& r, std::string_view stem) noexcept {
  switch (r.how) {
    case match::whole:
      return stem == r.text;
    case match::path:
      return ends_with(stem, r.text) && (stem.size() == r.text.size() || stem[stem.size() - r.text.size() - 1] == '.');
    case match::end:
      return ends_with(stem, r.text);
    case match::anywhere:
      return stem.find(r.text) != std::string_view::npos;
  }
  return false;
}

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

// Whether a word between dots and underscores denotes a norm: norm, rmsnorm, LayerNorm, norm2, ln, ln1.
bool is_norm_word(std::string_view word) noexcept {
  while (!word.empty() && is_digit(word.back())) word.remove_suffix(1);
  return word == "ln" || ends_with(word, "norm");
}

bool is_norm(std::string_view stem) {
  std::string word;
  for (std::size_t i = 0; i <= stem.size(); ++i) {
    if (i < stem.size() && stem[i] != '.' && stem[i] != '_') {
      word += lower(stem[i]);
      continue;
    }
    if (is_norm_word(word)) return true;
    word.clear();
  }
  return false;
}

}  // namespace

parsed_stem role_of_stem(std::string_view stem, bool in_block) {
  if (is_norm(stem)) return {role::norm, false};
  for (const rule& r : rules) {
    if (r.place == where::outside_blocks && in_block) continue;
    if (fits(r, stem)) return {r.is, r.known_to_mixtures};
  }
  return {role::other, false};
}

}  // namespace hartonomous::tensor_detail
