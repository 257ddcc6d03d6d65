// Passages that two texts have in common.
#include "hartonomous/common_passage.hpp"

#include <random>
#include <string>

#include "gtest/gtest.h"

namespace hartonomous {
namespace {

// Texts of different seeds have no long passage in common.
std::string random_text(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string text(size, ' ');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

std::optional<common_passage> search(const std::string& left, const std::string& right) {
  no_interrupts interrupts;
  return find_common_passage(left, right, interrupts);
}

constexpr std::size_t certain = 2 * passage_block - 1;

TEST(CommonPassage, IsFoundWhereverItBegins) {
  const std::string passage = random_text(certain, 1);
  for (std::size_t before = 0; before < 2 * passage_block; before += 13) {
    // What surrounds the passage differs, so that it cannot be longer by chance.
    const std::string left = random_text(before, 2) + "<" + passage + ">" + random_text(3000, 3),
                      right = random_text(700, 4) + "[" + passage + "]" + random_text(before, 5);
    const auto found = search(left, right), swapped = search(right, left);
    ASSERT_TRUE(found && swapped) << before;
    EXPECT_EQ(found->first_left, before + 1);
    EXPECT_EQ(found->first_right, 701U);
    EXPECT_EQ(found->length, certain);
    EXPECT_EQ(swapped->first_left, 701U);
    EXPECT_EQ(swapped->first_right, before + 1);
  }
}

TEST(CommonPassage, ShorterOnesAreNotFound) {
  const std::string passage = random_text(passage_block - 1, 1);
  for (std::size_t before = 0; before < 300; before += 7) {
    EXPECT_FALSE(search(random_text(before, 2) + passage + random_text(900, 3), passage + random_text(before, 4)));
  }
}

TEST(CommonPassage, MayBeTheWholeOfTheShorterText) {
  const std::string passage = random_text(passage_block, 1);
  EXPECT_TRUE(search(passage, random_text(5, 2) + passage + random_text(1, 3)));
  EXPECT_FALSE(search(passage.substr(1), random_text(5, 2) + passage));
}

TEST(CommonPassage, EqualTextsOfAnyLengthHaveOne) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{100}, passage_block, std::size_t{10000}}) {
    const auto found = search(random_text(size, 1), random_text(size, 1));
    ASSERT_TRUE(found) << size;
    EXPECT_EQ(found->length, size);
  }
}

TEST(CommonPassage, EmptyTextsHaveNone) {
  EXPECT_FALSE(search("", ""));
  EXPECT_FALSE(search("", random_text(1000, 1)));
}

TEST(CommonPassage, RepeatedBlocksTakeLinearTime) {
  const std::string left(4'000'000, 'a');
  std::string right;
  while (right.size() < 4'000'000) right += std::string(passage_block - 1, 'a') + 'b';
  EXPECT_FALSE(search(left, right));
  EXPECT_TRUE(search(left, right + std::string(passage_block, 'a')));
}

}  // namespace
}  // namespace hartonomous
