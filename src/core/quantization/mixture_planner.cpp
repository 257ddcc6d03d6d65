// The format that a mixture gives to each tensor of a model: llama-quantize's rules, case by case (quantization.hpp).
#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>

#include "hartonomous/quantization.hpp"

namespace hartonomous {

mixture_planner::mixture_planner(const mixture_traits& traits, span<const quantized_tensor> tensors) : traits_(traits) {
  places_.reserve(tensors.size());
  for (const quantized_tensor& tensor : tensors) {
    const tensor_name parsed = parse_tensor_name(tensor.name);
    const category is = category_of(parsed);
    // llama.cpp parses the number only if a name begins with blk: it sorts dec.blk.10 before dec.blk.2.
    const bool numbered = !traits.gguf || tensor.name.substr(0, 4) == "blk.";
    places_.push_back({is, numbered ? parsed.block : -1, 0});
    if (is == category::attn_v) ++attn_v_count_;
    if (is == category::output) has_output_ = true;
  }
  number_places(tensors);
}

mixture_planner::category mixture_planner::category_of(const tensor_name& parsed) noexcept {
  if (!parsed.known_to_mixtures) return category::other;
  switch (parsed.role) {
    case tensor_role::output:
      return category::output;
    case tensor_role::token_embedding:
      return category::token_embedding;
    // All tensors that contain the values, alone or with others, are treated alike.
    case tensor_role::attn_v:
    case tensor_role::attn_qkv:
    case tensor_role::attn_kv_b:
      return category::attn_v;
    case tensor_role::attn_k:
      return category::attn_k;
    case tensor_role::attn_output:
      return category::attn_output;
    case tensor_role::ffn_down:
      return category::ffn_down;
    default:
      return category::other;
  }
}

// llama.cpp counts the tensors that it quantizes in the order of block and name.
void mixture_planner::number_places(span<const quantized_tensor> tensors) {
  std::vector<std::size_t> order(tensors.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::tie(places_[a].block, tensors[a].name) < std::tie(places_[b].block, tensors[b].name);
  });
  std::array<std::int64_t, static_cast<std::size_t>(category::ffn_down) + 1> counted{};
  for (const std::size_t i : order) {
    if (tensors[i].quantized) places_[i].ordinal = counted.at(static_cast<std::size_t>(places_[i].is))++;
  }
}

std::vector<format> mixture_planner::formats(const quantization_mixture& mixture, bool by_importance) const {
  const bool plain = mixture.base == format::F32 || mixture.base == format::F16 || mixture.base == format::BF16;
  std::vector<format> given(places_.size(), mixture.base);
  if (plain) return given;
  for (std::size_t i = 0; i < given.size(); ++i) given[i] = quantized_format(mixture, places_[i], by_importance);
  return given;
}

format mixture_planner::quantized_format(const quantization_mixture& mixture, const place& at,
                                         bool by_importance) const {
  switch (at.is) {
    case category::output:
      return output_format(mixture);
    case category::token_embedding:
      // If there is no output matrix, this tensor serves as it.
      return has_output_ ? mixture.base : output_format(mixture);
    case category::attn_v:
      return attn_v_format(mixture, at);
    case category::attn_k:
      return traits_.experts == 8 ? format::Q8_0 : mixture.base;
    case category::attn_output:
      return attn_output_format(mixture);
    case category::ffn_down:
      return ffn_down_format(mixture, at, by_importance);
    case category::other:
      break;
  }
  return mixture.base;
}

format mixture_planner::output_format(const quantization_mixture& mixture) const {
  return traits_.falcon || mixture.base == format::Q8_0 ? format::Q8_0 : format::Q6_K;
}

format mixture_planner::attn_v_format(const quantization_mixture& mixture, const place& at) const {
  if (traits_.experts == 8) return format::Q8_0;
  const bool grouped = traits_.heads_per_kv >= 4;
  format given = mixture.base;
  switch (mixture.type) {
    case file_type::Q2_K:
      given = grouped ? format::Q4_K : format::Q3_K;
      break;
    case file_type::Q2_K_S:
      if (grouped) given = format::Q4_K;
      break;
    case file_type::Q3_K_M:
      given = at.ordinal < 2 ? format::Q5_K : format::Q4_K;
      break;
    case file_type::Q3_K_L:
      given = format::Q5_K;
      break;
    case file_type::IQ4_NL:
    case file_type::IQ4_XS:
      if (grouped) given = format::Q5_K;
      break;
    case file_type::Q4_K_M:
    case file_type::Q5_K_M:
      if (uses_more_bits(at.ordinal, attn_v_count_)) given = format::Q6_K;
      break;
    case file_type::Q4_K_S:
      if (at.ordinal < 4) given = format::Q5_K;
      break;
    default:
      break;
  }
  if (traits_.seventy_billion && (given == format::Q3_K || given == format::Q4_K)) return format::Q5_K;
  return given;
}

format mixture_planner::attn_output_format(const quantization_mixture& mixture) const {
  if (traits_.falcon) return mixture.type == file_type::Q3_K_L ? format::Q4_K : mixture.base;
  if (traits_.experts == 8) {
    switch (mixture.type) {
      case file_type::Q2_K:
      case file_type::Q3_K_S:
      case file_type::Q3_K_M:
      case file_type::IQ4_NL:
      case file_type::IQ4_XS:
      case file_type::Q4_K_S:
      case file_type::Q4_K_M:
        return format::Q5_K;
      default:
        return mixture.base;
    }
  }
  switch (mixture.type) {
    case file_type::Q2_K:
      return format::Q3_K;
    case file_type::Q3_K_M:
      return format::Q4_K;
    case file_type::Q3_K_L:
      return format::Q5_K;
    default:
      return mixture.base;
  }
}

format mixture_planner::ffn_down_format(const quantization_mixture& mixture, const place& at,
                                        bool by_importance) const {
  // With experts a block may have several of these tensors in any order, so the block's number counts instead of the
  // ordinal. The same applies to checkpoints, whose names do not show whether there are experts.
  const std::int64_t i = traits_.experts > 1 || !traits_.gguf ? at.block : at.ordinal;
  const std::int64_t n = traits_.blocks;
  const bool first_eighth = i < n / 8;
  const bool more_bits = uses_more_bits(i, n);
  switch (mixture.type) {
    case file_type::Q2_K:
      return format::Q3_K;
    case file_type::Q2_K_S:
      return first_eighth ? format::Q4_K : mixture.base;
    case file_type::Q3_K_M:
      if (i < n / 16) return format::Q5_K;
      return !traits_.falcon || more_bits ? format::Q4_K : mixture.base;
    case file_type::Q3_K_L:
      return traits_.falcon ? format::Q4_K : format::Q5_K;
    case file_type::Q4_K_M:
      if (traits_.falcon && i >= n / 16) return more_bits ? format::Q5_K : mixture.base;
      return traits_.falcon || more_bits ? format::Q6_K : mixture.base;
    case file_type::Q5_K_M:
      return more_bits ? format::Q6_K : mixture.base;
    case file_type::Q4_K_S:
      return first_eighth && !traits_.falcon ? format::Q5_K : mixture.base;
    case file_type::IQ4_NL:
    case file_type::IQ4_XS:
      return first_eighth && !by_importance ? format::Q5_K : mixture.base;
    // Without importance, Q4_1 and Q5_1 can fail in the first blocks.
    case file_type::Q4_0:
      return first_eighth && by_importance ? format::Q4_1 : mixture.base;
    case file_type::Q5_0:
      return first_eighth && by_importance ? format::Q5_1 : mixture.base;
    default:
      return mixture.base;
  }
}

}  // namespace hartonomous
