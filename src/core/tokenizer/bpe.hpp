// Byte-level BPE ("gpt2"): tokens are spelled in an alphabet of 256 printable characters, one for each byte.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/split.hpp"
#include "tokenizer/vocabulary.hpp"

namespace hartonomous::tokenizer_detail {

class bpe_encoder {
 public:
  // The options implied by tokenizer.ggml.pre. Error 0A000 if the name is not known.
  struct variant {
    split_rules rules;
    bool ignore_merges;  // a word that is itself a token is taken whole
    bool add_bos;
  };
  static variant find_variant(std::string_view name);
  // The same by the key in the metadata; error 22P03 if it is missing.
  static variant find_variant(const gguf_metadata& metadata);

  bpe_encoder(const variant& as, const vocabulary& words, const gguf_metadata& metadata, interrupt_checker& interrupts);

  void encode(std::string_view text, std::vector<std::int32_t>& out, work_meter& work) const;
  // Calls visit(token) for each token that arises while the text of a token is put together.
  void each_part(std::string_view token, work_meter& work, const std::function<void(std::int32_t)>& visit) const;
  // The tokens for single bytes; -1 for those without one.
  std::vector<std::int32_t> basic_tokens() const;
  static void append_text(std::string& out, std::string_view token);
  std::size_t memory() const noexcept { return parts_.memory() + merges_.memory(); }

 private:
  struct merge_rule {
    std::int32_t rank;
    std::int32_t result;
  };

  std::int32_t symbol_of(std::string_view text);
  void add_bytes(std::string_view word, merger& symbols) const;
  bool find_pair(const symbol& left, const symbol& right, candidate& found) const;
  void encode_word(std::string_view word, merger& symbols, std::vector<std::int32_t>& out) const;

  const vocabulary& words_;
  variant as_;
  // Symbols: the tokens by their id, followed by texts that occur in merges but are not tokens.
  text_index parts_;
  std::array<std::int32_t, 256> byte_symbols_{};
  hash_table<merge_rule> merges_;  // by left symbol << 32 | right symbol
};

}  // namespace hartonomous::tokenizer_detail
