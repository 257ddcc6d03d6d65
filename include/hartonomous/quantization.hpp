// Which format each tensor of a model gets: llama-quantize's file types, what it falls back to, what it spares.
//
// Source: llama_model_quantize() of llama.cpp v0.5.0 (src/llama-quant.cpp, ggml 0.25), whose files the tests compare
// with.
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

// The values of general.file_type that can be made here.
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
  Q2_K_S = 21,
  IQ4_NL = 25,
  BF16 = 32,
};

// A mix of formats under one name, for example Q4_K_M.
struct quantization_mix {
  const char* name;
  file_type type;
  format base;  // what a tensor gets where nothing asks for another
};

// Smallest first.
span<const quantization_mix> quantization_mixes() noexcept;

// By its name, whatever the case; Q3_K, Q4_K and Q5_K are short for their _M. nullptr when it is none.
const quantization_mix* find_mix(std::string_view name);
const quantization_mix* find_mix(file_type type) noexcept;

// What the mixes look at in a model.
struct mix_traits {
  bool gguf = true;         // its tensors have GGUF's names
  std::int64_t blocks = 0;  // at most INT32_MAX
  std::int64_t experts = 0;
  std::int64_t heads_per_kv = 0;  // heads of queries for each of keys, in the first block
  bool falcon = false;
  bool seventy_billion = false;  // what llama.cpp takes for a model of 70 billion weights
};
// Of numbers that the file does not have: 0.
mix_traits mix_traits_of(bool gguf, std::string_view architecture, std::int64_t blocks, std::int64_t experts,
                         std::int64_t heads, std::int64_t kv_heads) noexcept;

struct quantized_tensor {
  std::string_view name;
  bool quantized;  // a matrix that may_quantize()
};

// Gives the tensors of one model their formats, for as many mixes as one likes. It must know all tensors, for the mixes
// count them.
class mix_planner {
 public:
  mix_planner(const mix_traits& traits, span<const quantized_tensor> tensors);

  // The format of each tensor before fitting_format(), whether or not it is quantized at all. `by_importance`:
  // importance of columns is given, as an imatrix is to llama-quantize.
  std::vector<format> formats(const quantization_mix& mix, bool by_importance) const;

 private:
  // The kinds that the mixes tell apart.
  enum class category { other, output, token_embedding, attn_v, attn_k, attn_output, ffn_down };
  struct place {
    category is;
    std::int64_t block;    // -1 outside blocks
    std::int64_t ordinal;  // among the quantized tensors of its category
  };

  static category category_of(const tensor_name& parsed) noexcept;
  void number_places(span<const quantized_tensor> tensors);
  format quantized_format(const quantization_mix& mix, const place& at, bool by_importance) const;
  format output_format(const quantization_mix& mix) const;
  format attn_v_format(const quantization_mix& mix, const place& at) const;
  format attn_output_format(const quantization_mix& mix) const;
  format ffn_down_format(const quantization_mix& mix, const place& at, bool by_importance) const;

  mix_traits traits_;
  std::vector<place> places_;
  std::int64_t attn_v_count_ = 0;
  bool has_output_ = false;
};

// The first and last eighth of the blocks, and every third between: where mixes whose names end in _M give more bits.
bool uses_more_bits(std::int64_t block, std::int64_t blocks) noexcept;

// The format itself when a run of so many weights is whole blocks of it, else what it falls back to. Error 0A000: it
// cannot be written.
format fitting_format(format wanted, std::uint64_t run);

// Whether a tensor of that name may be quantized: of GGUF's names by llama-quantize's own list, of others by their role
// (no norms, routers or tables of positions), but no biases.
bool may_quantize(std::string_view name, bool gguf);

// A tensor as it is stored.
struct stored_tensor_outline {
  std::string_view name;
  bool matrix;
  format stored;
  std::uint64_t weights;
  std::uint64_t run;  // what whole blocks must fill
};

// The name of the mix, or of the single format, that most weights of the matrices have; no value when there is no
// matrix. Where several come out alike, `asked` (perhaps nullptr) decides, else the smaller.
std::optional<std::string> main_format(const mix_traits& traits, span<const stored_tensor_outline> tensors,
                                       const quantization_mix* asked);

}  // namespace hartonomous
