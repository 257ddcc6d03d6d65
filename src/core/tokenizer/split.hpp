// How byte-level BPE cuts text into words before it merges: the rules named by tokenizer.ggml.pre.
#pragma once

#include <cstdint>
#include <string_view>

#include "tokenizer/merge.hpp"

namespace hartonomous::tokenizer_detail {

// In regular expressions, tried in this order at each place (L letters, N numbers, s spaces of Unicode):
//   contraction   's|'t|'re|'ve|'m|'ll|'d            letters of either case with any_case
//   word          " "?\p{L}+                         with any_lead: [^\r\n\p{L}\p{N}]?\p{L}+
//   number        " "?\p{N}+                         with digits: \p{N}{1,digits}
//   other         " "?[^\s\p{L}\p{N}]+               with lines: followed by [\r\n]*
//   lines         (only with lines)                  \s*[\r\n]+
//   space         \s+(?!\S)|\s+
// With marks, marks (M) count as letters. With slashes, [\r\n]* behind `other` is [\r\n/]*. With cased words there are
// no contractions of their own, and a word is one of
//   [^\r\n\p{L}\p{N}]?U*V+C? or [^\r\n\p{L}\p{N}]?U+V*C?
// where U is a letter other than a to z, V one other than A to Z, and C, with suffixes, a contraction of either case.
// With numbers_first, numbers are cut out of the text one character at a time before all that.
struct split_rules {
  bool any_case;
  bool any_lead;
  unsigned digits;
  bool lines;
  bool numbers_first;
  bool marks = false;
  bool slashes = false;
  bool cased = false;
  bool suffixes = false;
};

class splitter {
 public:
  splitter(const split_rules& rules, std::string_view text, work_meter& work) noexcept
      : rules_(rules), text_(text), work_(work) {}

  // The next word; false at the end. All words together are the text.
  bool next(std::string_view& word);

 private:
  enum class category : std::uint8_t { none, letter, number, space, other };
  struct character {
    char32_t code;
    std::uint32_t size;  // bytes; 0 at the end
    category is;
  };

  character read(std::size_t at) const;
  character at(std::size_t at) const;
  std::size_t skip(std::size_t from, category what) const;
  std::size_t end_of_contraction(std::size_t begin) const;
  std::size_t end_of_word(std::size_t begin, const character& first) const;
  std::size_t end_of_cased(std::size_t begin) const;
  std::size_t end_of_number(std::size_t begin, const character& first) const;
  std::size_t end_of_other(std::size_t begin, const character& first) const;
  std::size_t end_of_space(std::size_t begin) const;

  split_rules rules_;
  std::string_view text_;
  work_meter& work_;
  std::size_t position_ = 0;
};

}  // namespace hartonomous::tokenizer_detail
