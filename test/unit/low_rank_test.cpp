// Products of thin matrices added to a matrix: values, and independence of threads and of the cut into rows.
#include "hartonomous/low_rank.hpp"

#include <cmath>
#include <cstddef>
#include <vector>

#include "gtest/gtest.h"

namespace hartonomous {
namespace {

std::vector<float> waves(std::size_t count, float seed) {
  std::vector<float> out(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = std::sin(static_cast<float>(i) * 0.37F + seed);
  return out;
}

std::vector<float> added(std::vector<float> weights, const std::vector<float>& b, const std::vector<float>& a,
                         std::size_t rank, float scale, unsigned threads) {
  thread_pool pool(threads);
  no_interrupts none;
  add_low_rank(weights, b, a, rank, scale, pool, none);
  return weights;
}

TEST(low_rank, small_numbers) {
  // 2 x 3 of ones, plus 0.5 * [1 2; 3 4] * [1 0 -1; 2 1 0]: the product is [5 2 -1; 11 4 -3].
  const std::vector<float> expected = {3.5F, 2.0F, 0.5F, 6.5F, 3.0F, -0.5F};
  EXPECT_EQ(added(std::vector<float>(6, 1.0F), {1, 2, 3, 4}, {1, 0, -1, 2, 1, 0}, 2, 0.5F, 1), expected);
}

TEST(low_rank, scale_of_zero_and_one_element) {
  EXPECT_EQ(added({7}, {2}, {3}, 1, 0.0F, 1), std::vector<float>{7});
  EXPECT_EQ(added({7}, {2}, {3}, 1, 1.0F, 1), std::vector<float>{13});
}

TEST(low_rank, threads_and_panels_do_not_matter) {
  constexpr std::size_t rows = 700, columns = 300, rank = 8;
  const std::vector<float> weights = waves(rows * columns, 1), b = waves(rows * rank, 2), a = waves(rank * columns, 3);
  const std::vector<float> whole = added(weights, b, a, rank, 0.25F, 1);
  EXPECT_EQ(added(weights, b, a, rank, 0.25F, 4), whole);
  constexpr std::size_t first = 3;
  const std::vector<float> part = added({weights.begin(), weights.begin() + first * columns},
                                        {b.begin(), b.begin() + first * rank}, a, rank, 0.25F, 1);
  EXPECT_EQ(part, std::vector<float>(whole.begin(), whole.begin() + first * columns));
  double sum = 0;
  for (std::size_t k = 0; k < rank; ++k) sum += double{b[5 * rank + k]} * double{a[k * columns + 9]};
  EXPECT_NEAR(whole[5 * columns + 9], double{weights[5 * columns + 9]} + 0.25 * sum, 1e-5);
}

}  // namespace
}  // namespace hartonomous
