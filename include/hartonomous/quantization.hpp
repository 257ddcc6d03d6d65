// Which format each tensor of a model gets: llama-quantize's file types, their fallbacks, and the tensors they skip.
//
// Source: llama_model_quantize() of llama.cpp v0.5.0 (src/llama-quant.cpp, ggml 0.25), with whose files the tests
// compare.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hartonomous/format.hpp"
#include "hartonomous/span.hpp"
#include "hartonomous/tensor_name.hpp"

namespace hartonomous {

// The supported values of general.file_type.
enum class file_type : std::uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q8_0 = 7,
  Q5_0 = 8,
  Q5_1 = 9,
  Q2_K = 10,
  Q3_K_S = 11,
  Q3_K_M = 12,
  Q3_K_L = 13,
  Q4_K_S = 14,
  Q4_K_M = 15,
  Q5_K_S = 16,
  Q5_K_M = 17,
  Q6_K = 18,
  IQ2_XXS = 19,
  IQ2_XS = 20,
  Q2_K_S = 21,
  IQ3_XS = 22,
  IQ3_XXS = 23,
  IQ1_S = 24,
  IQ4_NL = 25,
  IQ3_S = 26,
  IQ3_M = 27,
  IQ2_S = 28,
  IQ2_M = 29,
  IQ4_XS = 30,
  IQ1_M = 31,
  BF16 = 32,
  TQ1_0 = 36,
  TQ2_0 = 37,
  MXFP4_MOE = 38,
  Q1_0 = 40,
  Q2_0 = 41,
};

// A named mixture of formats, for example Q4_K_M.
struct quantization_mixture {
  const char* name;
  file_type type;
  format base;  // the format of a tensor to which no rule applies
};

// Smallest first, but one whose formats another mixture uses, too, before that.
span<const quantization_mixture> quantization_mixtures() noexcept;

// Finds a mixture by its name in any case; Q3_K, Q4_K and Q5_K are short for their _M variants. nullptr if there is
// none.
const quantization_mixture* find_mixture(std::string_view name);
const quantization_mixture* find_mixture(file_type type) noexcept;

// The properties of a model on which the rules of mixtures depend.
struct mixture_traits {
  bool gguf = true;         // its tensors have GGUF's names
  std::int64_t blocks = 0;  // at most INT32_MAX
  std::int64_t experts = 0;
  std::int64_t heads_per_kv = 0;  // query heads per key head, in the first block
  bool falcon = false;
  bool projections_are_stacked = false;  // not only matrices of experts: those of latent attention, too
  bool seventy_billion = false;          // llama.cpp takes it for a model of 70 billion weights
};
// Numbers that the file does not have are 0.
mixture_traits mixture_traits_of(bool gguf, std::string_view architecture, std::int64_t blocks, std::int64_t experts,
                                 std::int64_t heads, std::int64_t kv_heads) noexcept;

struct quantized_tensor {
  std::string_view name;
  bool quantized;          // a matrix for which may_quantize() holds
  std::uint64_t matrices;  // more than one if the tensor is a stack of them, such as those of experts
  std::uint64_t run;       // number of weights that must be whole blocks
};

// Chooses the format of each tensor of a model, for any number of mixtures. It needs all tensors, because the rules
// count them.
class mixture_planner {
 public:
  mixture_planner(const mixture_traits& traits, span<const quantized_tensor> tensors);

  // The format of each tensor before fitting_format(), whether or not the tensor is quantized at all. `by_importance`
  // says that there is a column importance, which corresponds to llama-quantize's imatrix.
  std::vector<format> formats(const quantization_mixture& mixture, bool by_importance) const;

 private:
  // The kinds of tensors that the rules distinguish.
  enum class category {
    other,
    output,
    token_embedding,
    attn_q,
    attn_k,
    attn_v,
    attn_output,
    ffn_gate,
    ffn_up,
    ffn_down
  };
  struct place {
    category is;
    bool expert;  // a stack of matrices, or one matrix of an expert
    std::uint64_t run;
    std::int64_t block;    // -1 outside blocks
    std::int64_t ordinal;  // among the quantized tensors of its category
  };

  static category category_of(const tensor_name& parsed) noexcept;
  void number_places(span<const quantized_tensor> tensors);
  bool is_output(const place& at) const noexcept;
  std::int64_t block_of(const place& at) const noexcept;
  format quantized_format(const quantization_mixture& mixture, const place& at, bool by_importance) const;
  format output_format(const quantization_mixture& mixture, const place& at) const;
  format two_bit_format(const quantization_mixture& mixture, const place& at) const;
  format attn_v_format(const quantization_mixture& mixture, const place& at, bool by_importance) const;
  format base_attn_v_format(const quantization_mixture& mixture, const place& at, bool by_importance) const;
  static format token_embedding_format(const quantization_mixture& mixture) noexcept;
  static format attn_q_format(const quantization_mixture& mixture) noexcept;
  format attn_output_format(const quantization_mixture& mixture) const;
  format ffn_format(const quantization_mixture& mixture, const place& at) const;
  format ffn_down_format(const quantization_mixture& mixture, const place& at, bool by_importance) const;

  mixture_traits traits_;
  std::vector<place> places_;
  std::int64_t attn_v_count_ = 0;
  bool has_output_ = false;
};

// Whether the block is in the first or last eighth, or is every third one between: there, mixtures whose names end in
// _M use more bits.
bool uses_more_bits(std::int64_t block, std::int64_t blocks) noexcept;

// The format itself if `run` weights are a whole number of its blocks, otherwise its fallback. llama-quantize has none
// for Q1_0 and refuses the model; this gives F16. Error 0A000 if the format is not writable.
format fitting_format(format wanted, std::uint64_t run);
// The same, whether or not the format is writable.
format fitting_format_or_carried(format wanted, std::uint64_t run) noexcept;

// Whether llama-quantize refuses to give a tensor this format if there is no column importance for it: below three bits
// per weight, except where a mixture is made to work without, and always for output matrices and embeddings.
bool requires_importance(const quantization_mixture& mixture, std::string_view name, format given);

// Whether a tensor with that name may be quantized. For GGUF's names llama-quantize's list decides; for others, the
// role of the tensor (not norms, routers or position embeddings). Biases never are.
bool may_quantize(std::string_view name, bool gguf);

struct stored_tensor_outline {
  std::string_view name;
  std::uint64_t matrices;  // 0 for a vector
  format stored;
  std::uint64_t weights;
  std::uint64_t run;  // number of weights that must be whole blocks
};

// The name of the mixture, or of the single format, that agrees with the formats of most weights of the matrices; no
// value if there is no matrix. On a tie `asked` (may be nullptr) is taken, otherwise the smaller one.
std::optional<std::string> main_format(const mixture_traits& traits, span<const stored_tensor_outline> tensors,
                                       const quantization_mixture* asked);

}  // namespace hartonomous
