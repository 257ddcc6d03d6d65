// SentencePiece's tokenizer ("llama"): the adjacent pair that makes the token of highest score is merged first.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/merge.hpp"
#include "tokenizer/vocabulary.hpp"

namespace hartonomous::tokenizer_detail {

class spm_encoder {
 public:
  spm_encoder(const vocabulary& words, interrupt_checker& interrupts);

  // `spaced`: tokenize as if a space preceded the text.
  void encode(std::string_view text, bool spaced, std::vector<std::int32_t>& out, work_meter& work) const;
  // Calls visit(token) for each token that arises while the text of a token is put together.
  void each_part(std::string_view token, work_meter& work, const std::function<void(std::int32_t)>& visit) const;
  // The tokens for single bytes and for a space, which its bytes could not replace; -1 for those that do not exist. If
  // some byte has none, those of single characters, too.
  std::vector<std::int32_t> basic_tokens() const;
  static void append_text(std::string& out, std::string_view token);
  // The byte of a token of kind `byte`; -1 if its text is not <0xHH>.
  static int byte_of(std::string_view token) noexcept;
  std::size_t memory() const noexcept { return adjacent_.memory(); }

 private:
  void add_characters(std::string_view text, merger& symbols) const;
  bool find_pair(std::string_view text, const symbol& left, candidate& found) const;
  void encode_stretch(std::string_view text, merger& symbols, std::vector<std::int32_t>& out) const;

  const vocabulary& words_;
  std::array<std::int32_t, 256> byte_tokens_{};  // -1 if there is none
  // Pairs of characters that are adjacent in some token. Between two other characters nothing can be merged, so the
  // text is split there into parts of about a word, each of which is tokenized by itself.
  hash_table<bool> adjacent_;
};

}  // namespace hartonomous::tokenizer_detail
