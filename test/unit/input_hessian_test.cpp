// H and the factor of its inverse, from Gram matrices good and bad.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "countdown.hpp"
#include "hartonomous/error.hpp"
#include "hessian_data.hpp"

namespace hartonomous {
namespace {

double entry_of_hessian(const input_hessian& h, std::size_t row, std::size_t column) {
  const std::size_t panel = column / input_hessian::panel_columns;
  return static_cast<double>(
      h.hessian_panel(panel)[row * h.panel_width(panel) + column % input_hessian::panel_columns]);
}

// C[row][column], zero below the diagonal.
double entry_of_factor(const input_hessian& h, std::size_t row, std::size_t column) {
  const std::size_t panel = row / input_hessian::panel_columns, first = panel * input_hessian::panel_columns;
  if (column < first) return 0.0;
  return static_cast<double>(h.factor_panel(panel)[(column - first) * h.panel_width(panel) + row - first]);
}

std::string state_of(const std::vector<double>& gram, std::size_t columns, double damping = 0.01) {
  try {
    hessian_of(gram, columns, damping);
  } catch (const error& e) {
    return e.state();
  }
  return "no error";
}

// Sizes around those of tiles and panels.
class InputHessian : public testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Sizes, InputHessian, testing::Values(1, 2, 31, 128, 129, 256, 300, 520));

TEST_P(InputHessian, IsTheDampedGramMatrixWithMeanDiagonalOne) {
  const std::size_t n = GetParam();
  const std::vector<double> gram = correlated_gram(n, n);
  const input_hessian h = hessian_of(gram, n);
  double trace = 0.0;
  for (std::size_t i = 0; i < n; ++i) trace += gram[i * n + i];
  const double mean = trace / static_cast<double>(n), scale = 1.0 / (1.01 * mean);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      const double expected = scale * (gram[i * n + j] + (i == j ? 0.01 * mean : 0.0));
      ASSERT_NEAR(entry_of_hessian(h, i, j), expected, 1e-6 * std::fabs(expected)) << i << ' ' << j;
    }
  }
}

TEST_P(InputHessian, HasTheFactorOfItsInverse) {
  const std::size_t n = GetParam();
  const input_hessian h = correlated_hessian(n, n);
  // H = C⁻¹ C⁻ᵀ, so C H Cᵀ = I.
  double worst = 0.0;
  for (std::size_t i = 0; i < n; i += 1 + n / 40) {
    std::vector<double> product(n, 0.0);  // row i of C H
    for (std::size_t k = i; k < n; ++k) {
      for (std::size_t j = 0; j < n; ++j) product[j] += entry_of_factor(h, i, k) * entry_of_hessian(h, k, j);
    }
    for (std::size_t j = 0; j < n; ++j) {
      double sum = 0.0;
      for (std::size_t k = j; k < n; ++k) sum += product[k] * entry_of_factor(h, j, k);
      worst = std::max(worst, std::fabs(sum - (i == j ? 1.0 : 0.0)));
    }
    ASSERT_NEAR(static_cast<double>(h.factor_reciprocals()[i]) * entry_of_factor(h, i, i), 1.0, 1e-6);
    ASSERT_NEAR(static_cast<double>(h.importance()[i]) * std::pow(entry_of_factor(h, i, i), 2), 1.0, 1e-6);
  }
  EXPECT_LT(worst, 1e-4);
}

TEST(InputHessianFactors, AreThoseOfDiagonalBlocks) {
  constexpr std::size_t n = 320, size = 32;
  const input_hessian h = correlated_hessian(n, 5);
  no_interrupts none;
  const input_hessian::block_factors blocks = h.factors_of_blocks(size, none);
  for (std::size_t from = 0; from < n; from += size) {
    for (std::size_t i = 0; i < size; ++i) {
      for (std::size_t j = 0; j < size; ++j) {
        double sum = 0.0;  // (C H Cᵀ)[i][j]
        for (std::size_t k = i; k < size; ++k) {
          for (std::size_t l = j; l < size; ++l) {
            sum += static_cast<double>(blocks.factors[from * size + k * size + i]) *
                   entry_of_hessian(h, from + k, from + l) *
                   static_cast<double>(blocks.factors[from * size + l * size + j]);
          }
        }
        ASSERT_NEAR(sum, i == j ? 1.0 : 0.0, 1e-4) << from << ' ' << i << ' ' << j;
      }
    }
  }
}

TEST(InputHessianOfBadInput, IsTheIdentityIfNothingIsActive) {
  const input_hessian h = hessian_of(std::vector<double>(64 * 64, 0.0), 64);
  for (std::size_t i = 0; i < 64; ++i) {
    for (std::size_t j = 0; j < 64; ++j) {
      EXPECT_EQ(entry_of_hessian(h, i, j), i == j ? 1.0 : 0.0);
      EXPECT_EQ(entry_of_factor(h, i, j), i == j ? 1.0 : 0.0);
    }
  }
}

TEST(InputHessianOfBadInput, IsDampedMoreIfNotPositiveDefinite) {
  EXPECT_DOUBLE_EQ(hessian_of({1.0, 0.5, 0.5, 1.0}, 2).damping(), 0.01);
  EXPECT_DOUBLE_EQ(hessian_of({1.0, 1.05, 1.05, 1.0}, 2).damping(), 0.1);
  EXPECT_EQ(state_of({1.0, 50.0, 50.0, 1.0}, 2), "22023");
}

TEST(InputHessianOfBadInput, IsRefused) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(state_of({}, 0), "22023");
  EXPECT_EQ(state_of({nan}, 1), "22023");
  EXPECT_EQ(state_of({-1.0}, 1), "22023");
  EXPECT_EQ(state_of({1.0, nan, nan, 1.0}, 2), "22023");
  EXPECT_EQ(state_of({1.0, 0.0, 0.0, infinity}, 2), "22023");
  EXPECT_EQ(state_of({1e308, 0.0, 0.0, 1e308}, 2), "22023");
  for (const double damping : {0.0, -0.1, 1.5, nan}) EXPECT_EQ(state_of({1.0}, 1, damping), "22023") << damping;
  try {
    hessian_of({1.0, 0.0, 0.0, nan}, 2);
    ADD_FAILURE();
  } catch (const error& e) {
    EXPECT_STREQ(e.what(), "Gram matrix has a number that is NaN in row 2, column 2");
  }
}

TEST(InputHessianInterrupts, StopEveryPhase) {
  constexpr std::size_t n = 512;
  const std::vector<double> gram = correlated_gram(n, 3);
  const auto row = [&](std::size_t i, double* out) {
    for (std::size_t j = i; j < n; ++j) *out++ = gram[i * n + j];
  };
  thread_pool pool;
  countdown all;
  const input_hessian h(n, row, 0.01, pool, all);
  EXPECT_GT(all.checks(), 520);
  for (const int stop : {1, 300, 513, all.checks() - 1}) {
    countdown stopping(stop);
    EXPECT_THROW(input_hessian(n, row, 0.01, pool, stopping), std::domain_error) << stop;
  }
}

TEST(InputHessianThreads, DoNotMatter) {
  constexpr std::size_t n = 600;
  const std::vector<double> gram = correlated_gram(n, 4);
  const auto row = [&](std::size_t i, double* out) {
    for (std::size_t j = i; j < n; ++j) *out++ = gram[i * n + j];
  };
  no_interrupts none;
  thread_pool one, three(3);
  const input_hessian a(n, row, 0.01, one, none), b(n, row, 0.01, three, none);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      ASSERT_EQ(entry_of_factor(a, i, j), entry_of_factor(b, i, j));
      ASSERT_EQ(entry_of_hessian(a, i, j), entry_of_hessian(b, i, j));
    }
  }
}

}  // namespace
}  // namespace hartonomous
