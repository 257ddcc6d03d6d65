// The vocabulary of a tokenizer in GGUF metadata, and the operations on it that both kinds of tokenizer share.
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

// The values of tokenizer.ggml.token_type. Any other value counts as `undefined`.
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
  // Tokens that are split off the text before anything else, longest first: user-defined ones always, control and
  // unknown tokens if the text may spell them.
  std::vector<std::int32_t> cut_first;
  std::vector<std::int32_t> end_tokens;  // tokens that end a text, ascending

  token_kind kind(std::int32_t token) const noexcept { return kinds[static_cast<std::size_t>(token)]; }
  std::string_view text(std::int32_t token) const noexcept { return tokens[static_cast<std::size_t>(token)]; }
  bool is_special(std::int32_t token) const noexcept {
    return kind(token) == token_kind::control || kind(token) == token_kind::unknown;
  }
  // The token for a byte without one of its own. Error 22021 if there is no unknown token either.
  std::int32_t unknown_for(unsigned char byte) const;
};

// The defaults of a kind of tokenizer, which apply where the metadata say nothing.
struct vocabulary_defaults {
  std::int32_t bos = -1, eos = -1, unknown = -1;
  bool add_bos = false, add_space_prefix = false;
};

// Error 22P03 if a token occurs twice. Metadata without a list of tokens are accepted.
void require_unique_tokens(const gguf_metadata& metadata, interrupt_checker& interrupts);

vocabulary read_vocabulary(const gguf_metadata& metadata, const vocabulary_defaults& defaults,
                           interrupt_checker& interrupts);

// The value of a required key; error 22P03 if it is missing. `get` is a getter of gguf_metadata.
template <class Get>
auto required(const gguf_metadata& metadata, const char* key, Get get) {
  auto value = (metadata.*get)(key);
  if (!value) {
    throw error(sqlstate::invalid_binary_representation, std::string("metadata key \"") + key + "\" is missing");
  }
  return *std::move(value);
}

// A part of the text, or the special token that was in its place (token >= 0).
struct fragment {
  std::string_view text;
  std::int32_t token;
};
std::vector<fragment> cut_special_tokens(const vocabulary& words, std::string_view text, bool parse_special,
                                         interrupt_checker& interrupts);

}  // namespace hartonomous::tokenizer_detail
