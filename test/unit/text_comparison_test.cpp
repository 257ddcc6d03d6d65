// Comparing models with different vocabularies on a text, with numbers that follow from the definition.
#include "hartonomous/text_comparison.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

// 12 bytes: the baseline has 6 tokens of 2 bytes; the model splits the third and the last into bytes.
const scored_text baseline = {{2, 4, 6, 8, 10, 12}, {-1.0, -2.0, -3.0, -4.0, -5.0}};
const scored_text split = {{2, 4, 5, 6, 8, 10, 11, 12}, {-1.5, -2.0, -1.0, -3.0, -4.0, -3.0, -3.0}};

TEST(TextComparison, PiecesThatBothHave) {
  const text_comparison found = compare_texts(split, baseline);
  EXPECT_EQ(found.tokens, 5U);
  EXPECT_DOUBLE_EQ(found.baseline_perplexity.value, std::exp(15.0 / 5));
  EXPECT_DOUBLE_EQ(found.perplexity.value, std::exp(17.5 / 5));
  EXPECT_DOUBLE_EQ(found.perplexity_ratio.value, std::exp(2.5 / 5));
  // Differences 0.5, 1, 0, 0, 1: variance 0.2, and 0.2 / 4 of their mean.
  EXPECT_NEAR(found.perplexity_ratio.standard_error, std::exp(0.5) * std::sqrt(0.2 / 4), 1e-12);
}

TEST(TextComparison, SidesAreExchanged) {
  const text_comparison there = compare_texts(split, baseline), back = compare_texts(baseline, split);
  EXPECT_EQ(back.tokens, 7U);
  EXPECT_NEAR(std::log(back.perplexity_ratio.value) * 7, -std::log(there.perplexity_ratio.value) * 5, 1e-12);
}

TEST(TextComparison, TheSameTokensAreTheSame) {
  const text_comparison found = compare_texts(baseline, baseline);
  EXPECT_DOUBLE_EQ(found.perplexity_ratio.value, 1.0);
  EXPECT_DOUBLE_EQ(found.perplexity_ratio.standard_error, 0.0);
}

// A token that begins the text has no bytes, and so has one that ends it.
TEST(TextComparison, ControlTokens) {
  const scored_text a = {{0, 2, 4, 4}, {-1.0, -2.0, -8.0}}, b = {{0, 1, 2, 4, 4}, {-1.0, -1.0, -2.0, -8.0}};
  const text_comparison found = compare_texts(b, a);
  EXPECT_EQ(found.tokens, 3U);
  EXPECT_DOUBLE_EQ(found.perplexity_ratio.value, std::exp(1.0 / 3));
}

// What lies before the first common end belongs to tokens without a probability.
TEST(TextComparison, FirstTokensOfDifferentLength) {
  const scored_text a = {{3, 4, 6}, {-1.0, -2.0}}, b = {{1, 2, 4, 6}, {-7.0, -7.0, -2.5}};
  const text_comparison found = compare_texts(b, a);
  EXPECT_EQ(found.tokens, 1U);
  EXPECT_DOUBLE_EQ(found.perplexity_ratio.value, std::exp(0.5));
}

void expect_refused(const scored_text& a, const scored_text& b) {
  try {
    compare_texts(a, b);
    FAIL() << "not refused";
  } catch (const error& e) {
    EXPECT_EQ(std::string(e.state()), "22023");
  }
}

TEST(TextComparison, OtherTexts) {
  expect_refused(baseline, {{2, 4}, {-1.0}});
  expect_refused({{}, {}}, baseline);
  expect_refused({{12}, {-1.0}}, baseline);
  expect_refused({{12}, {}}, baseline);
}

}  // namespace
}  // namespace hartonomous
