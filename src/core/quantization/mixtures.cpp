// The table of mixtures, and the properties of a model on which they depend (quantization.hpp).
#include <algorithm>

#include "hartonomous/quantization.hpp"

namespace hartonomous {

namespace {

constexpr quantization_mixture mixtures[] = {
    {"Q1_0", file_type::Q1_0, format::Q1_0},
    {"IQ1_S", file_type::IQ1_S, format::IQ1_S},
    {"TQ1_0", file_type::TQ1_0, format::TQ1_0},
    {"IQ1_M", file_type::IQ1_M, format::IQ1_M},
    {"IQ2_XXS", file_type::IQ2_XXS, format::IQ2_XXS},
    {"TQ2_0", file_type::TQ2_0, format::TQ2_0},
    {"Q2_0", file_type::Q2_0, format::Q2_0},
    {"IQ2_XS", file_type::IQ2_XS, format::IQ2_XS},
    {"IQ2_S", file_type::IQ2_S, format::IQ2_XS},
    {"IQ2_M", file_type::IQ2_M, format::IQ2_S},
    {"Q2_K_S", file_type::Q2_K_S, format::Q2_K},
    {"Q2_K", file_type::Q2_K, format::Q2_K},
    {"IQ3_XXS", file_type::IQ3_XXS, format::IQ3_XXS},
    {"IQ3_S", file_type::IQ3_S, format::IQ3_S},
    {"IQ3_XS", file_type::IQ3_XS, format::IQ3_S},
    {"Q3_K_S", file_type::Q3_K_S, format::Q3_K},
    {"IQ3_M", file_type::IQ3_M, format::IQ3_S},
    {"Q3_K_M", file_type::Q3_K_M, format::Q3_K},
    {"Q3_K_L", file_type::Q3_K_L, format::Q3_K},
    {"IQ4_XS", file_type::IQ4_XS, format::IQ4_XS},
    {"MXFP4_MOE", file_type::MXFP4_MOE, format::MXFP4},
    {"Q4_0", file_type::Q4_0, format::Q4_0},
    {"IQ4_NL", file_type::IQ4_NL, format::IQ4_NL},
    {"Q4_K_S", file_type::Q4_K_S, format::Q4_K},
    {"Q4_K_M", file_type::Q4_K_M, format::Q4_K},
    {"Q4_1", file_type::Q4_1, format::Q4_1},
    {"Q5_0", file_type::Q5_0, format::Q5_0},
    {"Q5_K_S", file_type::Q5_K_S, format::Q5_K},
    {"Q5_K_M", file_type::Q5_K_M, format::Q5_K},
    {"Q5_1", file_type::Q5_1, format::Q5_1},
    {"Q6_K", file_type::Q6_K, format::Q6_K},
    {"Q8_0", file_type::Q8_0, format::Q8_0},
    {"F16", file_type::F16, format::F16},
    {"BF16", file_type::BF16, format::BF16},
    {"F32", file_type::F32, format::F32},
};

}  // namespace

span<const quantization_mixture> quantization_mixtures() noexcept {
  return {mixtures, sizeof mixtures / sizeof mixtures[0]};
}

const quantization_mixture* find_mixture(std::string_view name) {
  std::string wanted(name);
  for (char& c : wanted) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  if (wanted == "Q3_K" || wanted == "Q4_K" || wanted == "Q5_K") wanted += "_M";
  for (const quantization_mixture& mixture : mixtures) {
    if (wanted == mixture.name) return &mixture;
  }
  return nullptr;
}

const quantization_mixture* find_mixture(file_type type) noexcept {
  for (const quantization_mixture& mixture : mixtures) {
    if (mixture.type == type) return &mixture;
  }
  return nullptr;
}

mixture_traits mixture_traits_of(bool gguf, std::string_view architecture, std::int64_t blocks, std::int64_t experts,
                                 std::int64_t heads, std::int64_t kv_heads) noexcept {
  mixture_traits traits;
  traits.gguf = gguf;
  traits.blocks = std::clamp<std::int64_t>(blocks, 0, INT32_MAX);
  traits.experts = experts;
  if (kv_heads != 0) traits.heads_per_kv = heads / kv_heads;
  traits.falcon = architecture == "falcon";
  traits.projections_are_stacked = architecture == "bailingmoe3";
  if (architecture == "llama" || architecture == "llama-embed") {
    traits.seventy_billion = blocks == 80 && heads != 0 && heads != kv_heads;
  } else if (architecture == "qwen2" || architecture == "deci" || architecture == "olmo") {
    traits.seventy_billion = blocks == 80;
  } else if (architecture == "jais2") {
    traits.seventy_billion = blocks == 68;
  }
  return traits;
}

bool uses_more_bits(std::int64_t block, std::int64_t blocks) noexcept {
  return block < blocks / 8 || block >= 7 * blocks / 8 || (block - blocks / 8) % 3 == 2;
}

}  // namespace hartonomous
