// Levenshtein's distance, against the matrix written out.
#include "hartonomous/levenshtein.hpp"

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

std::uint64_t distance(std::string_view a, std::string_view b) {
  no_interrupts interrupts;
  return levenshtein(a, b, interrupts).distance;
}
double similarity(std::string_view a, std::string_view b) {
  no_interrupts interrupts;
  return levenshtein(a, b, interrupts).similarity();
}

TEST(Levenshtein, WorkedExamples) {
  EXPECT_EQ(distance("kitten", "sitting"), 3U);
  EXPECT_EQ(distance("Saturday", "Sunday"), 3U);
  EXPECT_EQ(distance("", "abc"), 3U);
  EXPECT_EQ(distance("abc", ""), 3U);
  EXPECT_EQ(distance("same", "same"), 0U);
  EXPECT_DOUBLE_EQ(similarity("kitten", "sitting"), 1 - 3.0 / 7);
  EXPECT_EQ(similarity("", ""), 1.0);
  EXPECT_EQ(similarity("", "x"), 0.0);
  EXPECT_EQ(similarity("abc", "xyz"), 0.0);
}

TEST(Levenshtein, CountsCodePoints) {
  EXPECT_EQ(distance("Zo\xc3\xab", "Zoe"), 1U);
  EXPECT_EQ(distance("\xf0\x9f\x8e\x89", ""), 1U);
  EXPECT_EQ(distance("\xc3\xa9", "e\xcc\x81"), 2U);  // another spelling is another text
  EXPECT_EQ(distance("\xff\xfe", "\xff"), 1U);       // bytes that are no UTF-8
  EXPECT_EQ(distance("\xff", "\xc3\xbf"), 1U);       // which are no characters
}

std::uint64_t slow(const std::u32string& a, const std::u32string& b) {
  std::vector<std::uint64_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::uint64_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      std::uint64_t const replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

std::string utf8(const std::u32string& text) {
  std::string out;
  for (const char32_t c : text) {
    if (c < 0x80) {
      out += static_cast<char>(c);
    } else if (c < 0x800) {
      out += {static_cast<char>(0xc0 | (c >> 6)), static_cast<char>(0x80 | (c & 63))};
    } else {
      out += {static_cast<char>(0xe0 | (c >> 12)), static_cast<char>(0x80 | ((c >> 6) & 63)),
              static_cast<char>(0x80 | (c & 63))};
    }
  }
  return out;
}

TEST(Levenshtein, AgreesWithTheMatrix) {
  std::mt19937 random(3);
  std::u32string const letters = U"abcde\u00e9\u4e16 ";
  // Around the borders of words and of the blocks that go side by side.
  for (std::size_t const length : {1, 2, 5, 63, 64, 65, 128, 129, 255, 256, 257, 320, 321, 520, 700}) {
    for (int round = 0; round < 12; ++round) {
      std::size_t const used = 2 + random() % (letters.size() - 1);
      std::u32string a(length, U'a');
      for (char32_t& c : a) c = letters[random() % used];
      // Unrelated text, or a few changes of this one.
      std::u32string b(1 + random() % (2 * length), U'a');
      for (char32_t& c : b) c = letters[random() % used];
      if (round % 2 == 0) {
        b = a;
        for (std::size_t k = random() % (length / 8 + 2); k > 0; --k) {
          b.insert(b.begin() + static_cast<std::ptrdiff_t>(random() % (b.size() + 1)), letters[random() % used]);
          b.erase(b.begin() + static_cast<std::ptrdiff_t>(random() % b.size()));
        }
      }
      EXPECT_EQ(distance(utf8(a), utf8(b)), slow(a, b)) << length;
      EXPECT_EQ(distance(utf8(b), utf8(a)), slow(a, b)) << length;
    }
  }
}

class stopping_interrupt final : public interrupt_checker {
 public:
  void check() override {
    if (--left == 0) throw error("57014", "enough");
  }
  int left = 20;
};

TEST(Levenshtein, ChecksForInterrupts) {
  std::string const a(100000, 'a'), b(100000, 'b');
  stopping_interrupt interrupts;
  EXPECT_THROW(levenshtein(a, b, interrupts), error);
}

}  // namespace
}  // namespace hartonomous
