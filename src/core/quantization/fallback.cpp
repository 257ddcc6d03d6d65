// Formats for rows that are not a whole number of blocks, and tensors that are not quantized (quantization.hpp).
#include <string>

#include "hartonomous/error.hpp"
#include "hartonomous/quantization.hpp"

namespace hartonomous {

namespace {

format fallback_of(format wanted) noexcept {
  switch (wanted) {
    case format::IQ1_S:
    case format::IQ1_M:
    case format::IQ2_XXS:
    case format::IQ2_XS:
    case format::IQ2_S:
    case format::IQ3_XXS:
    case format::IQ3_S:
    case format::IQ4_XS:
      return format::IQ4_NL;
    case format::Q2_0:
    case format::Q2_K:
    case format::Q3_K:
    case format::TQ1_0:
    case format::TQ2_0:
      return format::Q4_0;
    case format::Q4_K:
      return format::Q5_0;
    case format::Q5_K:
      return format::Q5_1;
    case format::Q6_K:
      return format::Q8_0;
    default:
      return format::F16;
  }
}

// llama-quantize's list, in its order. Most entries match anywhere in a name. RWKV's small matrices are listed one by
// one, because the names of its large ones contain time_mix_, too.
constexpr std::string_view skipped_whole[] = {"position_embd.weight", "token_types.weight"};
constexpr std::string_view skipped_anywhere[] = {
    "_norm.weight",
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_v0.weight",
    "time_mix_v1.weight",
    "time_mix_v2.weight",
    "time_mix_a0.weight",
    "time_mix_a1.weight",
    "time_mix_a2.weight",
    "time_mix_g1.weight",
    "time_mix_g2.weight",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
    "attn_rel_b.weight",
    ".position_embd",
    "sam.pos_embd",
    "sam.neck.",
    "sam.net_",
    ".rel_pos",
    ".patch_embd",
    ".patch_merger",
    "a.rvq.codebook",
    "mm.a.code_embd",
};

bool ends_with(std::string_view text, std::string_view end) noexcept {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool may_quantize_gguf(std::string_view name) noexcept {
  if (!ends_with(name, "weight")) return false;
  for (const std::string_view skipped : skipped_whole) {
    if (name == skipped) return false;
  }
  for (const std::string_view skipped : skipped_anywhere) {
    if (name.find(skipped) != std::string_view::npos) return false;
  }
  return true;
}

}  // namespace

format fitting_format(format wanted, std::uint64_t run) {
  const format_traits& traits = traits_of(wanted);
  if (!traits.writable) {
    throw error(sqlstate::feature_not_supported, "format " + std::string(traits.name) + " cannot be written", {},
                "SELECT format FROM hartonomous.formats() WHERE writable;");
  }
  return fitting_format_or_carried(wanted, run);
}

format fitting_format_or_carried(format wanted, std::uint64_t run) noexcept {
  while (run % traits_of(wanted).block_weights != 0) wanted = fallback_of(wanted);
  return wanted;
}

bool requires_importance(const quantization_mixture& mixture, std::string_view name, format given) {
  const tensor_role role = parse_tensor_name(name).role;
  if (role == tensor_role::output || role == tensor_role::token_embedding) return false;
  switch (given) {
    case format::IQ3_XXS:
    case format::IQ2_XXS:
    case format::IQ2_XS:
    case format::IQ2_S:
    case format::IQ1_S:
    case format::IQ1_M:
      return true;
    case format::Q2_K:
      return mixture.type == file_type::Q2_K_S;
    default:
      return false;
  }
}

bool may_quantize(std::string_view name, bool gguf) {
  if (gguf) return may_quantize_gguf(name);
  if (ends_with(name, "bias")) return false;
  const tensor_role role = parse_tensor_name(name).role;
  return role != tensor_role::norm && role != tensor_role::router && role != tensor_role::position_embedding;
}

}  // namespace hartonomous
