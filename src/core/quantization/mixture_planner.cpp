// The format that a mixture gives to each tensor of a model: llama-quantize's rules, case by case (quantization.hpp).
#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>

#include "hartonomous/quantization.hpp"

namespace hartonomous {

namespace {

// A checkpoint has a matrix for each expert, of which conversion makes a stack.
bool is_matrix_of_expert(std::string_view name) noexcept { return name.find(".experts.") != std::string_view::npos; }

bool is_feed_forward(tensor_role role) noexcept {
  return role == tensor_role::ffn_gate || role == tensor_role::ffn_up || role == tensor_role::ffn_down;
}

// The mixtures that give most tensors two bits or less.
bool has_two_bits(file_type type) noexcept {
  switch (type) {
    case file_type::IQ1_S:
    case file_type::IQ1_M:
    case file_type::IQ2_XXS:
    case file_type::IQ2_XS:
    case file_type::IQ2_S:
    case file_type::IQ2_M:
      return true;
    default:
      return false;
  }
}

// The larger ones of those.
bool has_more_than_two_bits(file_type type) noexcept { return type == file_type::IQ2_S || type == file_type::IQ2_M; }

}  // namespace

mixture_planner::mixture_planner(const mixture_traits& traits, span<const quantized_tensor> tensors) : traits_(traits) {
  places_.reserve(tensors.size());
  for (const quantized_tensor& tensor : tensors) {
    const tensor_name parsed = parse_tensor_name(tensor.name);
    const category is = category_of(parsed);
    // llama.cpp parses the number only if a name begins with blk: it sorts dec.blk.10 before dec.blk.2.
    const bool numbered = !traits.gguf || tensor.name.substr(0, 4) == "blk.";
    const bool stacked = tensor.matrices > 1 || (!traits.gguf && is_matrix_of_expert(tensor.name));
    const bool expert = stacked && (!traits.projections_are_stacked || is_feed_forward(parsed.role));
    places_.push_back({is, expert, tensor.run, numbered ? parsed.block : -1, 0});
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
    case tensor_role::attn_q:
      return category::attn_q;
    case tensor_role::attn_k:
      return category::attn_k;
    case tensor_role::attn_output:
      return category::attn_output;
    // Routers are called ffn_gate_inp.
    case tensor_role::router:
    case tensor_role::ffn_gate:
      return category::ffn_gate;
    case tensor_role::ffn_up:
      return category::ffn_up;
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

// If there is no output matrix, the embeddings serve as it.
bool mixture_planner::is_output(const place& at) const noexcept {
  return at.is == category::output || (at.is == category::token_embedding && !has_output_);
}

// With experts a block may have several tensors of a category in any order, so the block's number counts instead of the
// ordinal. The same applies to checkpoints, whose names do not show whether there are experts.
std::int64_t mixture_planner::block_of(const place& at) const noexcept {
  return traits_.experts > 1 || !traits_.gguf ? at.block : at.ordinal;
}

format mixture_planner::quantized_format(const quantization_mixture& mixture, const place& at,
                                         bool by_importance) const {
  if (is_output(at)) return output_format(mixture, at);
  if (mixture.type == file_type::MXFP4_MOE) return at.expert ? format::MXFP4 : format::Q8_0;
  if (at.is == category::token_embedding) return token_embedding_format(mixture);
  if (has_two_bits(mixture.type)) return two_bit_format(mixture, at);
  switch (at.is) {
    case category::attn_q:
      return attn_q_format(mixture);
    case category::attn_k:
      return traits_.experts == 8 ? format::Q8_0 : attn_q_format(mixture);
    case category::attn_v:
      return attn_v_format(mixture, at, by_importance);
    case category::attn_output:
      return attn_output_format(mixture);
    case category::ffn_gate:
    case category::ffn_up:
      return ffn_format(mixture, at);
    case category::ffn_down:
      return ffn_down_format(mixture, at, by_importance);
    default:
      return mixture.base;
  }
}

format mixture_planner::output_format(const quantization_mixture& mixture, const place& at) const {
  const bool fits = at.run % traits_of(mixture.base).block_weights == 0;
  if (mixture.type == file_type::MXFP4_MOE || traits_.falcon || !fits) return format::Q8_0;
  if (has_two_bits(mixture.type) || mixture.type == file_type::IQ3_XXS) return format::Q5_K;
  return mixture.base == format::Q8_0 ? format::Q8_0 : format::Q6_K;
}

format mixture_planner::token_embedding_format(const quantization_mixture& mixture) noexcept {
  switch (mixture.type) {
    case file_type::IQ1_S:
    case file_type::IQ1_M:
    case file_type::IQ2_XXS:
    case file_type::IQ2_XS:
      return format::Q2_K;
    case file_type::IQ2_S:
    case file_type::IQ2_M:
    case file_type::IQ3_XXS:
      return format::IQ3_S;
    case file_type::TQ1_0:
    case file_type::TQ2_0:
    case file_type::Q2_0:
      return format::Q4_K;
    default:
      return mixture.base;
  }
}

format mixture_planner::two_bit_format(const quantization_mixture& mixture, const place& at) const {
  const bool larger = has_more_than_two_bits(mixture.type);
  const format more = larger ? format::IQ3_S : format::Q2_K;
  switch (at.is) {
    case category::attn_v:
      return traits_.heads_per_kv >= 4 || traits_.experts >= 4 ? format::Q4_K : more;
    case category::attn_k:
      return traits_.experts == 8 ? format::Q4_K : mixture.base;
    case category::attn_output:
      if (traits_.experts == 8) return format::Q5_K;
      if (larger) return format::IQ3_S;
      return mixture.base == format::IQ1_S || mixture.base == format::IQ1_M ? format::IQ2_XXS : mixture.base;
    case category::ffn_down: {
      const std::int64_t i = traits_.gguf ? at.ordinal : at.block;  // also with experts
      return i < traits_.blocks / 8 ? more : mixture.base;
    }
    default:
      return mixture.base;
  }
}

format mixture_planner::attn_q_format(const quantization_mixture& mixture) noexcept {
  switch (mixture.type) {
    case file_type::IQ3_XXS:
      return format::IQ2_S;
    case file_type::IQ3_XS:
      return format::IQ3_XXS;
    default:
      return mixture.base;
  }
}

format mixture_planner::attn_v_format(const quantization_mixture& mixture, const place& at, bool by_importance) const {
  if (traits_.experts == 8) return format::Q8_0;
  const format given = base_attn_v_format(mixture, at, by_importance);
  return traits_.seventy_billion && (given == format::Q3_K || given == format::Q4_K) ? format::Q5_K : given;
}

format mixture_planner::base_attn_v_format(const quantization_mixture& mixture, const place& at,
                                           bool by_importance) const {
  const bool grouped = traits_.heads_per_kv >= 4;
  switch (mixture.type) {
    case file_type::Q2_K:
      return grouped ? format::Q4_K : format::Q3_K;
    case file_type::Q2_K_S:
    case file_type::IQ3_XS:
    case file_type::IQ3_S:
      return grouped ? format::Q4_K : mixture.base;
    case file_type::IQ3_XXS:
      if (grouped) return format::Q4_K;
      return by_importance ? format::IQ3_XXS : format::IQ3_S;
    case file_type::IQ3_M:
      return format::Q4_K;
    case file_type::Q3_K_M:
      return at.ordinal < 2 ? format::Q5_K : format::Q4_K;
    case file_type::Q3_K_L:
      return format::Q5_K;
    case file_type::IQ4_NL:
    case file_type::IQ4_XS:
      return grouped ? format::Q5_K : mixture.base;
    case file_type::Q4_K_M:
    case file_type::Q5_K_M:
      return uses_more_bits(at.ordinal, attn_v_count_) ? format::Q6_K : mixture.base;
    case file_type::Q4_K_S:
      return at.ordinal < 4 ? format::Q5_K : mixture.base;
    default:
      return mixture.base;
  }
}

format mixture_planner::attn_output_format(const quantization_mixture& mixture) const {
  if (traits_.falcon) return mixture.type == file_type::Q3_K_L ? format::Q4_K : mixture.base;
  if (traits_.experts == 8) {
    switch (mixture.type) {
      case file_type::Q2_K:
      case file_type::IQ3_XXS:
      case file_type::IQ3_XS:
      case file_type::IQ3_S:
      case file_type::IQ3_M:
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
    case file_type::IQ3_XXS:
      return format::IQ3_S;
    case file_type::Q3_K_M:
    case file_type::IQ3_M:
      return format::Q4_K;
    case file_type::Q3_K_L:
      return format::Q5_K;
    default:
      return mixture.base;
  }
}

format mixture_planner::ffn_format(const quantization_mixture& mixture, const place& at) const {
  const std::int64_t i = block_of(at), n = traits_.blocks;
  const bool between = i >= n / 8 && i < 7 * n / 8;
  return mixture.type == file_type::IQ3_XS && between ? format::IQ3_XXS : mixture.base;
}

format mixture_planner::ffn_down_format(const quantization_mixture& mixture, const place& at,
                                        bool by_importance) const {
  const std::int64_t i = block_of(at), n = traits_.blocks;
  const bool first_eighth = i < n / 8;
  const bool more_bits = uses_more_bits(i, n);
  switch (mixture.type) {
    case file_type::Q2_K:
      return format::Q3_K;
    case file_type::Q2_K_S:
      return first_eighth ? format::Q4_K : mixture.base;
    case file_type::IQ3_XXS:
      if (by_importance) return mixture.base;
      return first_eighth ? format::Q4_K : format::Q3_K;
    case file_type::IQ3_M:
      return first_eighth || (traits_.experts == 8 && more_bits) ? format::Q4_K : mixture.base;
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
