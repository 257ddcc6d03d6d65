// Sums over tokens against the same sums in double, in every shape.
#include "linear_algebra/token_sums.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace hartonomous {
namespace {

// More than are summed in float at a time.
constexpr std::size_t tokens = 700;

std::vector<float> random_inputs(std::size_t columns, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(columns * tokens);
  for (float& v : x) v = normal(random);
  return x;
}

TEST(TokenSums, TilesTogetherAreTheProduct) {
  no_interrupts none;
  // More than a tile in each direction, one row, one column, and exactly one tile.
  for (const auto& [left, right] : {std::pair{300U, 270U}, {1U, 300U}, {300U, 1U}, {256U, 256U}}) {
    const std::vector<float> a = random_inputs(left, 1), b = random_inputs(right, 2);
    token_sums sums({0, left}, right, sum_shape::all_columns, none);
    for (std::size_t tile = sums.tiles(); tile-- > 0;) {
      // Some tokens, then the others.
      sums.add(tile, a.data(), left, b.data(), 100);
      sums.add(tile, a.data() + 100 * left, left, b.data() + 100 * right, tokens - 100);
    }
    EXPECT_EQ(token_sums::numbers({0, left}, right, sum_shape::all_columns), std::uint64_t{left} * right);
    for (std::size_t i = 0; i < left; ++i) {
      for (std::size_t j = 0; j < right; ++j) {
        double sum = 0.0;
        for (std::size_t t = 0; t < tokens; ++t) sum += static_cast<double>(a[t * left + i]) * b[t * right + j];
        ASSERT_NEAR(sums.row(i)[j], sum, 1e-6 * tokens) << i << ", " << j;
      }
    }
  }
}

TEST(TokenSums, APanelHasTheNumbersOfTheWhole) {
  no_interrupts none;
  constexpr std::size_t columns = 600;
  const std::vector<float> x = random_inputs(columns, 3);
  token_sums whole({0, columns}, columns, sum_shape::upper_triangle, none);
  token_sums panel({256, 300}, columns, sum_shape::upper_triangle, none);
  token_sums rectangle({256, 300}, columns, sum_shape::all_columns, none);
  for (token_sums* sums : {&whole, &panel, &rectangle}) {
    for (std::size_t tile = 0; tile < sums->tiles(); ++tile) sums->add(tile, x.data(), columns, x.data(), tokens);
  }
  for (std::size_t i = 256; i < 556; ++i) {
    for (std::size_t j = i; j < columns; ++j) {
      ASSERT_EQ(panel.row(i)[j - i], whole.row(i)[j - i]) << i << ", " << j;
      ASSERT_EQ(rectangle.row(i)[j], whole.row(i)[j - i]) << i << ", " << j;
    }
  }
}

TEST(TokenSums, OfInputsOnThreads) {
  constexpr std::size_t left = 270, right = 300;
  const std::vector<float> a = random_inputs(left, 4), minus = random_inputs(left, 5), b = random_inputs(right, 6);
  no_interrupts none;
  thread_pool one(1), several(3);
  const token_sums cross = cross_sums(a.data(), minus.data(), left, b.data(), right, tokens, one, none);
  const token_sums again = cross_sums(a.data(), minus.data(), left, b.data(), right, tokens, several, none);
  const token_sums gram = gram_sums(b.data(), right, tokens, one, none);
  for (std::size_t i = 0; i < left; ++i) {
    for (std::size_t j = 0; j < right; ++j) {
      double sum = 0.0, square = 0.0;
      for (std::size_t t = 0; t < tokens; ++t) {
        sum += (static_cast<double>(a[t * left + i]) - minus[t * left + i]) * b[t * right + j];
        square += static_cast<double>(b[t * right + i]) * b[t * right + j];
      }
      ASSERT_NEAR(cross.row(i)[j], sum, 2e-6 * tokens) << i << ", " << j;
      ASSERT_EQ(cross.row(i)[j], again.row(i)[j]) << i << ", " << j;
      if (j >= i) {
        ASSERT_NEAR(gram.row(i)[j - i], square, 1e-6 * tokens) << i << ", " << j;
      }
    }
  }
}

TEST(TokenSums, NoTokensAreZeros) {
  no_interrupts none;
  token_sums sums({0, 3}, 2, sum_shape::all_columns, none);
  sums.add(0, nullptr, 3, nullptr, 0);
  EXPECT_EQ(sums.row(2)[1], 0.0);
}

}  // namespace
}  // namespace hartonomous
