// Which members of config.json are known (config_members.hpp).
#include "checkpoint/config_members.hpp"

#include <algorithm>
#include <iterator>
#include <string_view>

namespace hartonomous::checkpoint_detail {

namespace {

// Members that change the arithmetic of other architectures, or of variants of those that are supported. Without effect
// are null, false, empty lists, 0 and, where it multiplies, 1.
struct foreign_member {
  std::string_view name;
  bool multiplies;
};
constexpr foreign_member foreign[] = {
    {"alibi", false},
    {"attention_chunk_size", false},
    {"attention_multiplier", false},
    {"attn_logit_softcapping", false},
    {"clip_qkv", false},
    {"dim_model_base", false},
    {"embedding_multiplier", true},
    {"final_logit_softcapping", false},
    {"first_k_dense_replace", false},
    {"kv_lora_rank", false},
    {"logit_scale", true},
    {"logits_scaling", true},
    {"n_group", true},
    {"n_shared_experts", false},
    {"no_rope_layers", false},
    {"num_shared_experts", false},
    {"parallel_residual", false},
    {"q_lora_rank", false},
    {"qk_layernorm", false},
    {"query_pre_attn_scalar", false},
    {"residual_multiplier", true},
    {"routed_scaling_factor", true},
    {"scale_depth", false},
    {"scale_emb", true},
    {"shared_expert_intermediate_size", false},
    {"sliding_window_pattern", false},
    {"use_parallel_residual", false},
    {"use_qk_norm", false},
};

// Read elsewhere, or without influence on what a trained network computes. Whether there are biases is seen in the
// tensors.
constexpr std::string_view known[] = {
    "architectures",
    "attention_bias",
    "attention_dropout",
    "attn_implementation",
    "auto_map",
    "bos_token_id",
    "cache_implementation",
    "chunk_size_feed_forward",
    "compression_config",
    "decoder_sparse_step",
    "dtype",
    "embd_pdrop",
    "eos_token_id",
    "finetuning_task",
    "gradient_checkpointing",
    "head_dim",
    "hidden_act",
    "hidden_dropout",
    "hidden_size",
    "id2label",
    "initializer_range",
    "intermediate_size",
    "is_causal",
    "is_decoder",
    "is_encoder_decoder",
    "keys_to_ignore_at_inference",
    "label2id",
    "language",
    "layer_types",
    "max_position_embeddings",
    "max_window_layers",
    "mlp_bias",
    "mlp_only_layers",
    "model_type",
    "moe_intermediate_size",
    "norm_topk_prob",
    "num_attention_heads",
    "num_experts",
    "num_experts_per_tok",
    "num_hidden_layers",
    "num_key_value_heads",
    "original_max_position_embeddings",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "pad_token_id",
    "partial_rotary_factor",
    "pretraining_tp",
    "problem_type",
    "quantization_config",
    "resid_pdrop",
    "return_dict",
    "rms_norm_eps",
    "rope_interleaved",
    "rope_parameters",
    "rope_pct",
    "rope_scaling",
    "rope_theta",
    "rotary_pct",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "sliding_window",
    "task_specific_params",
    "tie_word_embeddings",
    "tokenizer_class",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    "use_flash_attn",
    "use_return_dict",
    "use_sliding_window",
    "vocab_size",
};

bool changes_nothing(const json& value, bool multiplies) {
  if (value.is_null() || (value.is_boolean() && !value.get<bool>())) return true;
  if (value.is_array()) return value.empty();
  return value.is_number() && (value == 0 ? !multiplies : multiplies && value == 1);
}

}  // namespace

std::vector<std::string> check_members(const json& config, const network_architecture& architecture) {
  std::vector<std::string> unknown;
  for (const auto& item : config.items()) {
    std::string_view const name = item.key();
    const auto* const other =
        std::find_if(std::begin(foreign), std::end(foreign), [&](const foreign_member& m) { return m.name == name; });
    if (other != std::end(foreign)) {
      if (!changes_nothing(item.value(), other->multiplies))
        not_supported("config: " + item.key() + " is not supported");
      continue;
    }
    const bool is_size = std::any_of(architecture.sizes.begin(), architecture.sizes.end(),
                                     [&](const named_size& size) { return name == size.member; });
    const bool is_known =
        is_size || name.substr(0, 1) == "_" || std::find(std::begin(known), std::end(known), name) != std::end(known);
    if (!is_known && !item.value().is_null()) unknown.push_back(item.key());
  }
  return unknown;
}

}  // namespace hartonomous::checkpoint_detail
