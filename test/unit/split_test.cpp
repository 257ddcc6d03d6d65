// How byte-level BPE cuts text into words, against ICU's regular expressions.
#include "tokenizer/split.hpp"

#include <unicode/uregex.h>
#include <unicode/ustring.h>

#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace hartonomous::tokenizer_detail {
namespace {

constexpr split_rules gpt2 = {false, false, 0, false, false};
constexpr split_rules smollm = {false, false, 0, false, true};
constexpr split_rules llama3 = {true, true, 3, true, false};
constexpr split_rules qwen2 = {true, true, 1, true, false};
constexpr split_rules qwen35 = {true, true, 1, true, false, true};
constexpr split_rules tekken = {true, true, 1, true, false, false, true, true};
constexpr split_rules gpt4o = {true, true, 3, true, false, false, true, true, true};

std::vector<std::string> split(const split_rules& rules, std::string_view text) {
  no_interrupts interrupts;
  work_meter work(interrupts);
  splitter words(rules, text, work);
  std::vector<std::string> out;
  std::string_view word;
  while (words.next(word)) out.emplace_back(word);
  return out;
}

using words = std::vector<std::string>;

TEST(Split, Words) {
  EXPECT_EQ(split(gpt2, "I'm here,  OK's 12 345\n\n x"),
            (words{"I", "'m", " here", ",", " ", " OK", "'s", " 12", " 345", "\n\n", " x"}));
  EXPECT_EQ(split(llama3, "I'M here,  OK 1234!?\n\n x"),
            (words{"I", "'M", " here", ",", " ", " OK", " ", "123", "4", "!?\n\n", " x"}));
  EXPECT_EQ(split(qwen2, "12 -x\t"), (words{"1", "2", " -", "x", "\t"}));
  EXPECT_EQ(split(smollm, "a  12b"), (words{"a", "  ", "1", "2", "b"}));
  EXPECT_EQ(split(gpt2, "a   "), (words{"a", "   "}));
  EXPECT_EQ(split(llama3, "'"), words{"'"});
  EXPECT_EQ(split(llama3, "'r"), words{"'r"});
  EXPECT_EQ(split(gpt2, ""), words{});
}

TEST(Split, CasedWords) {
  EXPECT_EQ(split(tekken, "HelloWorld it's 12 a/b\n/\n"),
            (words{"Hello", "World", " it", "'s", " ", "1", "2", " a", "/b", "\n", "/\n"}));
  EXPECT_EQ(split(gpt4o, "HelloWORLD's I'M 1234 x.\n/\n"),
            (words{"Hello", "WORLD's", " I'M", " ", "123", "4", " x", ".\n/\n"}));
  // A letter without a case in ASCII ends a word before a capital, as in llama.cpp.
  EXPECT_EQ(split(tekken, "\u00e9A A\u00c9b"), (words{"\u00e9", "A", " A\u00c9b"}));
  EXPECT_EQ(split(qwen35, "e\u0301x \u0301!"), (words{"e\u0301x", " \u0301", "!"}));
}

TEST(Split, ByteThatBeginsNoCharacterIsOneOfItsOwn) {
  EXPECT_EQ(split(gpt2, "a\xff\x80 b"), (words{"a", "\xff\x80", " b"}));
  EXPECT_EQ(split(gpt2, "\xe2\x82"), words{"\xe2\x82"});
}

// The regular expression of the rules with Unicode's spaces spelled out (ICU's \s leaves out two of them).
class regex_reference {
 public:
  explicit regex_reference(const std::u16string& pattern) {
    UErrorCode status = U_ZERO_ERROR;
    regex_ = uregex_open(pattern.data(), static_cast<int32_t>(pattern.size()), 0, nullptr, &status);
    EXPECT_TRUE(U_SUCCESS(status)) << u_errorName(status);
  }
  regex_reference(const regex_reference&) = delete;
  regex_reference& operator=(const regex_reference&) = delete;
  ~regex_reference() { uregex_close(regex_); }

  words split(const std::u16string& text) const {
    UErrorCode status = U_ZERO_ERROR;
    uregex_setText(regex_, text.data(), static_cast<int32_t>(text.size()), &status);
    words out;
    int32_t end = 0;
    while (uregex_findNext(regex_, &status) != 0) {
      EXPECT_EQ(uregex_start(regex_, 0, &status), end);
      const int32_t begin = end;
      end = uregex_end(regex_, 0, &status);
      out.push_back(utf8(text.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin))));
    }
    EXPECT_EQ(end, static_cast<int32_t>(text.size()));
    return out;
  }
  static std::string utf8(const std::u16string& text) {
    std::string out(text.size() * 3, '\0');
    int32_t length = 0;
    UErrorCode status = U_ZERO_ERROR;
    u_strToUTF8(out.data(), static_cast<int32_t>(out.size()), &length, text.data(), static_cast<int32_t>(text.size()),
                &status);
    out.resize(static_cast<std::size_t>(length));
    return out;
  }

 private:
  URegularExpression* regex_;
};

std::u16string random_text(std::mt19937& random) {
  static const std::u16string pool =
      u"aB sStTrReEvVlLmMdD'''  \n\r\t0123456789,.!?-/\u00a0\u2003\u3000\u0085\u2028\u000b\u001c\u200b\u00bd\u0660"
      u"\u2167\u0301\u02b0\u4e16\u754c\u00e9\u041f";
  std::u16string out;
  std::size_t const length = 1 + random() % 30;
  while (out.size() < length) {
    if (random() % 8 > 0) {
      out += pool[random() % pool.size()];
      continue;
    }
    char32_t code = random() % 0x110000;
    if (code >= 0xd800 && code < 0xe000) code -= 0xd000;
    if (code >= 0x10000) {
      out += {static_cast<char16_t>(0xd7c0 + (code >> 10)), static_cast<char16_t>(0xdc00 + (code & 0x3ff))};
    } else {
      out += static_cast<char16_t>(code);
    }
  }
  return out;
}

TEST(Split, AgreesWithRegularExpressions) {
  const std::u16string space = u"\\p{White_Space}";
  const std::u16string rest = space + u"+(?!\\P{White_Space})|" + space + u"+";
  const std::u16string others = u" ?[^" + space + u"\\p{L}\\p{N}]+";
  const std::u16string gpt2_regex = u"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|" + others + u"|" + rest;
  const std::u16string lead = u"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|";
  const std::u16string tail = u"|" + others + u"[\\r\\n]*|" + space + u"*[\\r\\n]+|" + rest;
  const regex_reference gpt2_reference(gpt2_regex);
  const regex_reference llama3_reference(lead + u"\\p{N}{1,3}" + tail);
  const regex_reference qwen2_reference(lead + u"\\p{N}" + tail);
  const regex_reference qwen35_reference(
      u"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^" +
      space + u"\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" + space + u"*[\\r\\n]+|" + rest);
  const std::u16string start = u"[^\\r\\n\\p{L}\\p{N}]?";
  const std::u16string upper = u"(?:(?=\\p{L})[^a-z])";
  const std::u16string lower = u"(?:(?=\\p{L})[^A-Z])";
  const std::u16string tail_with_slash = u"|" + others + u"[\\r\\n/]*|" + space + u"*[\\r\\n]+|" + rest;
  const regex_reference tekken_reference(start + upper + u"*" + lower + u"+|" + start + upper + u"+" + lower +
                                         u"*|\\p{N}" + tail_with_slash);
  const std::u16string suffix = u"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?";
  const regex_reference gpt4o_reference(start + upper + u"*" + lower + u"+" + suffix + u"|" + start + upper + u"+" +
                                        lower + u"*" + suffix + u"|\\p{N}{1,3}" + tail_with_slash);
  std::mt19937 random(11);
  for (int i = 0; i < 20000; ++i) {
    std::u16string const text = random_text(random);
    std::string const utf8 = regex_reference::utf8(text);
    ASSERT_EQ(split(gpt2, utf8), gpt2_reference.split(text)) << utf8;
    ASSERT_EQ(split(llama3, utf8), llama3_reference.split(text)) << utf8;
    ASSERT_EQ(split(qwen2, utf8), qwen2_reference.split(text)) << utf8;
    ASSERT_EQ(split(qwen35, utf8), qwen35_reference.split(text)) << utf8;
    ASSERT_EQ(split(tekken, utf8), tekken_reference.split(text)) << utf8;
    ASSERT_EQ(split(gpt4o, utf8), gpt4o_reference.split(text)) << utf8;
  }
}

}  // namespace
}  // namespace hartonomous::tokenizer_detail
