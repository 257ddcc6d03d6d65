// Splits text into words (split.hpp). The classes of characters are ICU's.
#include "tokenizer/split.hpp"

#include <algorithm>
#include <cstdint>

#include <unicode/uchar.h>
#include <unicode/utf8.h>

namespace hartonomous::tokenizer_detail {

namespace {

bool is_line_end(char32_t code) noexcept { return code == '\r' || code == '\n'; }

char to_lower(char32_t code) noexcept {
  return code >= 'A' && code <= 'Z' ? static_cast<char>(code + 32) : code < 128 ? static_cast<char>(code) : '\0';
}

}  // namespace

splitter::character splitter::read(std::size_t at) const {
  work_.step();
  if (at >= text_.size()) return {0, 0, category::none};
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(text_.data());
  // ICU has 32-bit lengths, so it gets only the few bytes of this character.
  const auto length = static_cast<std::int32_t>(std::min<std::size_t>(4, text_.size() - at));
  std::int32_t size = 0;
  UChar32 code = 0;
  U8_NEXT(bytes + at, size, length, code);
  // A byte that does not begin a character counts as one.
  if (code < 0) return {0xfffd, 1, category::other};
  std::uint32_t const mask = U_GET_GC_MASK(code);
  std::uint32_t const letters = rules_.marks ? U_GC_L_MASK | U_GC_M_MASK : U_GC_L_MASK;
  const category is = (mask & letters) != 0        ? category::letter
                      : (mask & U_GC_N_MASK) != 0  ? category::number
                      : u_isUWhiteSpace(code) != 0 ? category::space
                                                   : category::other;
  return {static_cast<char32_t>(code), static_cast<std::uint32_t>(size), is};
}

// Like read(), except that a number ends the text if numbers are split off first.
splitter::character splitter::at(std::size_t at) const {
  const character c = read(at);
  return rules_.numbers_first && c.is == category::number ? character{0, 0, category::none} : c;
}

std::size_t splitter::skip(std::size_t from, category what) const {
  for (character c = at(from); c.is == what; c = at(from)) from += c.size;
  return from;
}

// Each of the following functions returns the end of the match that starts at `begin`, or `begin` if there is none.

std::size_t splitter::end_of_contraction(std::size_t begin) const {
  const auto letter = [&](std::size_t i) {
    if (i >= text_.size()) return '\0';
    char const c = text_[i];
    return rules_.any_case ? to_lower(static_cast<unsigned char>(c)) : c;
  };
  const char first = letter(begin + 1);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return begin + 2;
  const char second = letter(begin + 2);
  const bool two = (second == 'e' && (first == 'r' || first == 'v')) || (second == 'l' && first == 'l');
  return two ? begin + 3 : begin;
}

std::size_t splitter::end_of_word(std::size_t begin, const character& first) const {
  const bool lead = rules_.any_lead
                        ? first.is != category::letter && first.is != category::number && !is_line_end(first.code)
                        : first.code == ' ';
  std::size_t const letters = lead ? begin + first.size : begin;
  std::size_t const end = rules_.cased ? end_of_cased(letters) : skip(letters, category::letter);
  return end > letters ? end : begin;
}

// The regular expression for cased words, which tries the longest run of U first and gives letters back until a V
// follows. As in llama.cpp, only ASCII letters have a case; all others are U and V at once.
std::size_t splitter::end_of_cased(std::size_t begin) const {
  const auto is_upper = [](char32_t code) { return code >= 'A' && code <= 'Z'; };
  const auto is_lower = [](char32_t code) { return code >= 'a' && code <= 'z'; };
  std::size_t end = begin;
  std::size_t after_both = begin;  // behind the last letter that is U and V
  for (character c = at(end); c.is == category::letter && !is_lower(c.code); c = at(end)) {
    end += c.size;
    if (!is_upper(c.code)) after_both = end;
  }
  if (is_lower(at(end).code)) {
    for (character c = at(end); c.is == category::letter && !is_upper(c.code); c = at(end)) end += c.size;
  } else if (after_both > begin) {
    end = after_both;
  }
  if (rules_.suffixes && end > begin && at(end).code == '\'') end = end_of_contraction(end);
  return end;
}

std::size_t splitter::end_of_number(std::size_t begin, const character& first) const {
  if (rules_.digits == 0) {
    std::size_t const numbers = first.code == ' ' ? begin + 1 : begin;
    std::size_t const end = skip(numbers, category::number);
    return end > numbers ? end : begin;
  }
  std::size_t end = begin;
  for (unsigned i = 0; i < rules_.digits; ++i) {
    const character c = at(end);
    if (c.is != category::number) break;
    end += c.size;
  }
  return end;
}

std::size_t splitter::end_of_other(std::size_t begin, const character& first) const {
  std::size_t const others = first.code == ' ' ? begin + 1 : begin;
  std::size_t end = skip(others, category::other);
  if (end == others) return begin;
  const auto follows = [&](char32_t code) { return is_line_end(code) || (rules_.slashes && code == '/'); };
  while (rules_.lines && follows(at(end).code)) ++end;
  return end;
}

// A run of spaces. If it has line ends (and they are split), up to the last of them; otherwise, unless the text ends,
// all but its last character.
std::size_t splitter::end_of_space(std::size_t begin) const {
  std::size_t end = begin;
  std::size_t last = begin;
  std::size_t after_line = begin;
  for (character c = at(end); c.is == category::space; c = at(end)) {
    last = end;
    end += c.size;
    if (is_line_end(c.code)) after_line = end;
  }
  if (rules_.lines && after_line > begin) return after_line;
  return last > begin && at(end).is != category::none ? last : end;
}

bool splitter::next(std::string_view& word) {
  std::size_t const begin = position_;
  const character first = read(begin);
  if (first.size == 0) return false;
  std::size_t end = begin;
  if (rules_.numbers_first && first.is == category::number) end = begin + first.size;
  if (end == begin && first.code == '\'' && !rules_.cased) end = end_of_contraction(begin);
  if (end == begin) end = end_of_word(begin, first);
  if (end == begin) end = end_of_number(begin, first);
  if (end == begin) end = end_of_other(begin, first);
  if (end == begin) end = end_of_space(begin);
  word = text_.substr(begin, end - begin);
  position_ = end;
  return true;
}

}  // namespace hartonomous::tokenizer_detail
