// SentencePiece's tokenizer ("llama"): the adjacent pair that makes the token of highest score is merged first.
#pragma once

#include <array>
#include <cstdint>
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
  static void append_text(std::string& out, std::string_view token);
  // The byte of a token of kind `byte`; -1 if its text is not <0xHH>.
  static int byte_of(std::string_view token) noexcept;
  std::size_t memory() const noexcept { return adjacent_.memory(); }

 private:
  void encode_stretch(std::string_view text, merger& symbols, std::vector<std::int32_t>& out) const;

  const vocabulary& words_;
  std::array<std::int32_t, 256> byte_tokens_{};  // -1 if there is none
  // Pairs of characters that are adjacent in some token. Between two other characters nothing can be merged, so the
  // text is split there into parts of about a word, each of which is tokenized by itself.
  hash_table<bool> adjacent_;
};

}  // namespace hartonomous::tokenizer_detail
