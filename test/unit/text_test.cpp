// What is UTF-8, and what becomes of bytes that are not.
#include "bytes/text.hpp"

#include "gtest/gtest.h"

namespace hartonomous {
namespace {

TEST(Text, Utf8) {
  for (std::string const good : {"", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                                 "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    // Whatever of it lies before and behind the words of eight bytes that are looked at.
    for (std::size_t before = 0; before < 17; ++before) {
      for (std::size_t behind = 0; behind < 9; ++behind) {
        std::string const text = std::string(before, 'x') + good + std::string(behind, 'y');
        EXPECT_TRUE(is_utf8(text)) << before << ' ' << behind;
        EXPECT_EQ(to_pg_text(text), text);
      }
    }
  }
  for (std::string const bad : {"\x80", "\xc1\xbf", "\xc3", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                                "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
    for (std::size_t before = 0; before < 17; ++before) {
      for (std::size_t behind = 0; behind < 9; ++behind) {
        std::string const text = std::string(before, 'x') + bad + std::string(behind, 'y');
        EXPECT_FALSE(is_utf8(text)) << before << ' ' << behind;
        EXPECT_TRUE(is_pg_text(to_pg_text(text)));
      }
    }
  }
}

TEST(Text, PostgresTakesNoNul) {
  std::string const text("a\0b", 3);
  EXPECT_TRUE(is_utf8(text));
  EXPECT_FALSE(is_pg_text(text));
  EXPECT_EQ(to_pg_text(text),
            "a\xef\xbf\xbd"
            "b");
  EXPECT_EQ(to_pg_text("\xe2\x82"), "\xef\xbf\xbd\xef\xbf\xbd");
}

}  // namespace
}  // namespace hartonomous
