// Eigenvalues of symmetric matrices: each pair satisfies its equation, small and large, also where values coincide.
#include "linear_algebra/symmetric_eigen.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "countdown.hpp"

namespace hartonomous {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

class SymmetricEigen : public testing::TestWithParam<Index> {
 protected:
  no_interrupts none;
  thread_pool pool{2};

  // Residuals and orthogonality, to rounding relative to the largest eigenvalue.
  void check(const MatrixXd& matrix, Index count, double orthogonality = 1e-11) {
    const symmetric_eigen solved(matrix, pool, none);
    const MatrixXd vectors = solved.vectors(count);
    const VectorXd& values = solved.values();
    ASSERT_EQ(values.size(), matrix.rows());
    EXPECT_TRUE(std::is_sorted(values.data(), values.data() + values.size(), std::greater<>()));
    const double scale = std::max(values.cwiseAbs().maxCoeff(), 1e-300);
    EXPECT_NEAR(values.sum() / scale, matrix.trace() / scale, 1e-11 * static_cast<double>(values.size()));
    const MatrixXd residual = matrix * vectors - vectors * values.head(count).asDiagonal();
    EXPECT_LT(residual.cwiseAbs().maxCoeff() / scale, 1e-11);
    const MatrixXd products = vectors.transpose() * vectors - MatrixXd::Identity(count, count);
    EXPECT_LT(products.cwiseAbs().maxCoeff(), orthogonality);
  }
};

TEST_P(SymmetricEigen, RandomMatrix) {
  const Index n = GetParam();
  srand(1);
  const MatrixXd a = MatrixXd::Random(n, n);
  check(a + a.transpose(), n);
  check(a * a.transpose(), (n + 1) / 2);
}

TEST_P(SymmetricEigen, ReadsTheLowerTriangleOnly) {
  const Index n = GetParam();
  srand(2);
  const MatrixXd a = MatrixXd::Random(n, n);
  const MatrixXd whole = a + a.transpose();
  MatrixXd lower = whole.triangularView<Eigen::Lower>();
  const symmetric_eigen from_whole(whole, pool, none), from_lower(lower, pool, none);
  EXPECT_EQ(from_whole.values(), from_lower.values());
}

TEST_P(SymmetricEigen, EqualEigenvalues) {
  const Index n = GetParam();
  check(MatrixXd::Identity(n, n), n);
  check(MatrixXd::Zero(n, n), n);
  // Beyond the size of one batch vectors of one eigenvalue may lean on each other.
  check(MatrixXd::Ones(n, n), n, n > 512 ? 0.9 : 1e-11);
}

TEST_P(SymmetricEigen, ValuesOfADiagonalMatrix) {
  const Index n = GetParam();
  const VectorXd diagonal = VectorXd::LinSpaced(n, 1.0, static_cast<double>(n));
  const symmetric_eigen solved(diagonal.asDiagonal(), pool, none);
  EXPECT_LT((solved.values().reverse() - diagonal).cwiseAbs().maxCoeff(), 1e-12 * static_cast<double>(n));
}

TEST_P(SymmetricEigen, AnyNumberOfThreadsGivesTheSame) {
  const Index n = GetParam();
  srand(3);
  const MatrixXd a = MatrixXd::Random(n, n);
  thread_pool one(1), three(3);
  const symmetric_eigen first(a + a.transpose(), one, none), second(a + a.transpose(), three, none);
  EXPECT_EQ(first.values(), second.values());
  EXPECT_EQ(first.vectors(n), second.vectors(n));
}

INSTANTIATE_TEST_SUITE_P(Sizes, SymmetricEigen, testing::Values(1, 2, 3, 32, 33, 34, 100, 512, 530),
                         [](const testing::TestParamInfo<Index>& info) { return std::to_string(info.param); });

TEST(SymmetricEigenCancel, ChecksForInterruptsThroughout) {
  thread_pool pool;
  srand(4);
  const MatrixXd a = MatrixXd::Random(600, 600);
  const MatrixXd g = a * a.transpose();
  countdown whole;
  symmetric_eigen(g, pool, whole).vectors(300);
  EXPECT_GT(whole.checks(), 600);
  for (const int at : {1, whole.checks() / 2, whole.checks()}) {
    countdown stopped(at);
    EXPECT_THROW(symmetric_eigen(g, pool, stopped).vectors(300), std::domain_error);
  }
}

}  // namespace
}  // namespace hartonomous
