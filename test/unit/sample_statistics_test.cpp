// Statistics of samples against values computed by hand.
#include "hartonomous/sample_statistics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

namespace hartonomous {
namespace {

std::vector<double> quantiles_of(std::vector<float> values, const std::vector<double>& fractions) {
  no_interrupts none;
  return quantiles(values, fractions, none);
}

TEST(Quantiles, AreInterpolatedBetweenNeighbors) {
  const std::vector<double> q = quantiles_of({4, 1, 3, 2}, {0.0, 0.25, 0.5, 0.9, 1.0});
  ASSERT_EQ(q.size(), 5u);
  EXPECT_EQ(q[0], 1.0);
  EXPECT_EQ(q[1], 1.75) << "position 0.75";
  EXPECT_EQ(q[2], 2.5) << "position 1.5";
  EXPECT_NEAR(q[3], 3.7, 1e-12) << "position 2.7";
  EXPECT_EQ(q[4], 4.0);
}

TEST(Quantiles, OfAnOddNumberTheMedianIsTheMiddleValue) {
  EXPECT_EQ(quantiles_of({5, -1, 2}, {0.5}), std::vector<double>{2.0});
}

TEST(Quantiles, OfOneValueAllAreThatValue) {
  EXPECT_EQ(quantiles_of({7}, {0.0, 0.3, 0.5, 1.0}), std::vector<double>(4, 7.0));
}

TEST(Quantiles, OfEqualValuesAllAreThatValue) {
  EXPECT_EQ(quantiles_of(std::vector<float>(1000, 0.5f), {0.0, 0.5, 0.999, 1.0}), std::vector<double>(4, 0.5));
}

TEST(Quantiles, OfManyValuesFollowTheSortedOrder) {
  std::vector<float> values(10007);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 4001 % 10007);
  // The values are 0 to 10006 in some order, so that the quantile is the position itself.
  const std::vector<double> fractions = {0.0, 0.001, 0.5, 0.9, 0.9, 0.95, 0.99, 0.999, 1.0};
  const std::vector<double> q = quantiles_of(values, fractions);
  for (std::size_t i = 0; i < q.size(); ++i) EXPECT_NEAR(q[i], fractions[i] * 10006.0, 1e-9) << fractions[i];
}

TEST(Quantiles, AreNaNIfAnyValueIs) {
  for (double q : quantiles_of({1, std::nanf(""), 3}, {0.0, 0.5, 1.0})) EXPECT_TRUE(std::isnan(q));
}

TEST(Quantiles, InfinityIsTheLargestValue) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<double> q = quantiles_of({infinity, 1, 3}, {0.0, 0.5, 1.0});
  EXPECT_EQ(q[0], 1.0);
  EXPECT_EQ(q[1], 3.0);
  EXPECT_EQ(q[2], infinity);
}

TEST(Quantiles, CanBeInterrupted) {
  struct : interrupt_checker {
    void check() override { throw std::domain_error("cancelled"); }
  } interrupts;
  std::vector<float> values = {1, 2};
  const std::vector<double> fractions = {0.5};
  EXPECT_THROW(quantiles(values, fractions, interrupts), std::domain_error);
}

TEST(RunningMean, OfFewAndMany) {
  running_mean m;
  EXPECT_EQ(m.standard_error(), 0.0);
  m.add(3.0);
  EXPECT_EQ(m.mean(), 3.0);
  EXPECT_EQ(m.standard_error(), 0.0);
  m.add(5.0);
  EXPECT_EQ(m.mean(), 4.0);
  EXPECT_DOUBLE_EQ(m.standard_error(), 1.0);  // deviation sqrt(1) over sqrt(2 - 1)
}

TEST(RootMeanSquare, HasTheErrorOfTheMeanSquare) {
  running_root_mean_square r;
  EXPECT_EQ(r.value().value, 0.0);
  EXPECT_EQ(r.value().standard_error, 0.0);
  r.add(3.0);
  r.add(-4.0);
  // The squares 9 and 16 have the mean 12.5 and the standard error 3.5.
  EXPECT_DOUBLE_EQ(r.value().value, std::sqrt(12.5));
  EXPECT_DOUBLE_EQ(r.value().standard_error, 3.5 / (2.0 * std::sqrt(12.5)));
}

TEST(RootMeanSquare, OfZerosHasNoError) {
  running_root_mean_square r;
  for (int i = 0; i < 3; ++i) r.add(0.0);
  EXPECT_EQ(r.value().value, 0.0);
  EXPECT_EQ(r.value().standard_error, 0.0);
}

TEST(Correlation, IsPearsons) {
  running_correlation r;
  r.add(1.0, 2.0);
  r.add(2.0, 4.0);
  r.add(3.0, 5.0);
  // Sums of products and squares round the means 2 and 11/3: 3, 2 and 14/3.
  EXPECT_NEAR(r.value().value(), 3.0 / std::sqrt(2.0 * 14.0 / 3.0), 1e-15);
}

TEST(Correlation, OfLinesIsOne) {
  running_correlation up, down;
  for (int i = 0; i < 100; ++i) {
    up.add(0.25 * i, 3.0 * i - 7.0);
    down.add(0.25 * i, -3.0 * i);
  }
  EXPECT_NEAR(up.value().value(), 1.0, 1e-12);
  EXPECT_NEAR(down.value().value(), -1.0, 1e-12);
}

TEST(Correlation, IsNotDefinedForAConstantOrOnePair) {
  running_correlation none, one, constant;
  EXPECT_FALSE(none.value());
  one.add(1.0, 2.0);
  EXPECT_FALSE(one.value());
  for (int i = 0; i < 5; ++i) constant.add(0.1, i);
  EXPECT_FALSE(constant.value());
}

}  // namespace
}  // namespace hartonomous
