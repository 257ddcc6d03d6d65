// The vocabulary of a tokenizer, as the GGUF metadata has it, and what both kinds of tokenizer do with it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hartonomous/error.hpp"
#include "hartonomous/gguf.hpp"
#include "hartonomous/interrupt.hpp"
#include "tokenizer/hash_table.hpp"

namespace hartonomous::tokenizer_detail {

// tokenizer.ggml.token_type's numbers. What is none of them counts as `undefined`.
enum class token_kind : std::uint8_t {
  undefined = 0,
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6,
};

struct vocabulary {
  text_index tokens;
  std::vector<token_kind> kinds;
  std::vector<float> scores;
  std::int32_t bos = -1, eos = -1, unknown = -1;
  bool add_bos = false, add_eos = false, add_space_prefix = false;
  // Tokens that are cut out of text before anything else, the longest first: control and unknown tokens where text
  // may spell them, user-defined ones always.
  std::vector<std::int32_t> cut_first;
  std::vector<std::int32_t> end_tokens;  // those that end a text, in order

  token_kind kind(std::int32_t token) const noexcept { return kinds[static_cast<std::size_t>(token)]; }
  std::string_view text(std::int32_t token) const noexcept { return tokens[static_cast<std::size_t>(token)]; }
  bool is_special(std::int32_t token) const noexcept {
    return kind(token) == token_kind::control || kind(token) == token_kind::unknown;
  }
  // The token for a byte that has none of its own; error 22021 when there is no unknown token either.
  std::int32_t unknown_for(unsigned char byte) const;
};

// What a kind of tokenizer takes for granted where the metadata says nothing.
struct vocabulary_defaults {
  std::int32_t bos = -1, eos = -1, unknown = -1;
  bool add_bos = false, add_space_prefix = false;
};

// Error 22P03 when a token is there twice; metadata that hold no texts of tokens are none of its business.
void require_unique_tokens(const gguf_metadata& metadata, interrupt_checker& interrupts);

vocabulary read_vocabulary(const gguf_metadata& metadata, const vocabulary_defaults& defaults,
                           interrupt_checker& interrupts);

// The value of a key that must be there; error 22P03 otherwise. `get` is a getter of gguf_metadata.
template <class Get>
auto required(const gguf_metadata& metadata, const char* key, Get get) {
  auto value = (metadata.*get)(key);
  if (!value) {
    throw error(sqlstate::invalid_binary_representation, std::string("metadata key \"") + key + "\" is missing");
  }
  return *std::move(value);
}

// A stretch of text, or the token that was cut out in its place (token >= 0).
struct fragment {
  std::string_view text;
  std::int32_t token;
};
std::vector<fragment> cut_special_tokens(const vocabulary& words, std::string_view text, bool parse_special,
                                         interrupt_checker& interrupts);

}  // namespace hartonomous::tokenizer_detail
