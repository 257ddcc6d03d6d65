// Decomposition of whitened matrices: the best of its rank for the outputs of a layer, in the form of any other.
#include "hartonomous/whitened_svd.hpp"

#include "linear_algebra/eigen.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "countdown.hpp"
#include "hartonomous/error.hpp"
#include "hessian_data.hpp"
#include "singular_values.hpp"

namespace hartonomous {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// A matrix, the Gram matrix of its inputs, and both as Eigen knows them.
struct layer {
  layer(std::size_t rows, std::size_t columns, std::uint64_t seed, double damping = 0.01)
      : gram(correlated_gram(columns, seed)),
        hessian(hessian_of(gram, columns, damping)),
        numbers(normal_numbers(rows * columns, seed + 5, 1.0f)),
        w(Eigen::Map<const row_major>(numbers.data(), static_cast<Index>(rows), static_cast<Index>(columns))
              .cast<double>()),
        g(Eigen::Map<const MatrixXd>(gram.data(), w.cols(), w.cols())) {}

  MatrixXd damped() const {
    return g + hessian.damping() * g.diagonal().mean() * MatrixXd::Identity(g.rows(), g.cols());
  }
  // The singular values of W L for the lower Cholesky factor L of the damped Gram matrix.
  Eigen::VectorXd values() const {
    const MatrixXd root = damped().llt().matrixL();
    return singular_values(w * root);
  }

  std::vector<double> gram;
  input_hessian hessian;
  std::vector<float> numbers;
  MatrixXd w, g;
};

svd_factors decompose(const layer& of, std::size_t rank, double energy = 1.0, unsigned threads = 1) {
  thread_pool pool(threads);
  no_interrupts none;
  svd_request request;
  request.rank = rank;
  request.energy = energy;
  return whitened_svd(of.numbers, of.hessian, request, pool, none);
}

factor_view view(const svd_factors& f) { return {f.rows, f.columns, f.rank, f.u, f.s, f.vt}; }

MatrixXd u_of(const svd_factors& f) {
  return Eigen::Map<const row_major>(f.u.data(), static_cast<Index>(f.rows), static_cast<Index>(f.rank)).cast<double>();
}

MatrixXd vt_of(const svd_factors& f) {
  return Eigen::Map<const row_major>(f.vt.data(), static_cast<Index>(f.rank), static_cast<Index>(f.columns))
      .cast<double>();
}

MatrixXd difference(const layer& of, const svd_factors& f) {
  const Eigen::VectorXd s = Eigen::Map<const Eigen::VectorXf>(f.s.data(), static_cast<Index>(f.rank)).cast<double>();
  return of.w - u_of(f) * s.asDiagonal() * vt_of(f);
}

double energy(const MatrixXd& m, const MatrixXd& g) { return (m * g).cwiseProduct(m).sum(); }

double measured(const layer& of, const svd_factors& f) {
  thread_pool pool;
  no_interrupts none;
  return output_error(of.numbers, view(f), of.hessian, pool, none);
}

std::string message_of(span<const float> matrix, const input_hessian& h) {
  thread_pool pool;
  no_interrupts none;
  try {
    whitened_svd(matrix, h, {}, pool, none);
    return "no error";
  } catch (const error& e) {
    return std::string(e.state()) + ' ' + e.what() + ' ' + e.detail();
  }
}

class WhitenedShapes : public testing::TestWithParam<std::pair<std::size_t, std::size_t>> {};

// The loss is exactly the sum of the squares that are dropped, which no matrix of that rank can undercut.
TEST_P(WhitenedShapes, LosesTheDroppedSquares) {
  const auto [rows, columns] = GetParam();
  const layer of(rows, columns, 3);
  const Eigen::VectorXd values = of.values();
  const double total = values.squaredNorm();
  for (const std::size_t rank : {std::size_t{1}, std::min(rows, columns) / 3, std::min(rows, columns) / 2}) {
    if (rank == 0) continue;
    SCOPED_TRACE(rank);
    const svd_factors f = decompose(of, rank);
    ASSERT_EQ(f.rank, rank);
    ASSERT_EQ(f.rows, rows);
    ASSERT_EQ(f.columns, columns);
    const double dropped = values.tail(values.size() - static_cast<Index>(rank)).squaredNorm();
    EXPECT_NEAR(energy(difference(of, f), of.damped()) / total, dropped / total, 5e-4 * dropped / total + 1e-6);
    EXPECT_NEAR(f.explained_variance, 1.0 - dropped / total, 1e-4);
    // The same without damping, as computed from H.
    const double exact = std::sqrt(energy(difference(of, f), of.g) / energy(of.w, of.g));
    EXPECT_NEAR(measured(of, f), exact, 1e-3 * exact + 1e-5);
    const MatrixXd one = MatrixXd::Identity(static_cast<Index>(rank), static_cast<Index>(rank));
    EXPECT_LT((u_of(f).transpose() * u_of(f) - one).cwiseAbs().maxCoeff(), 1e-5);
    EXPECT_LT((vt_of(f) * vt_of(f).transpose() - one).cwiseAbs().maxCoeff(), 1e-5);
    EXPECT_TRUE(std::is_sorted(f.s.rbegin(), f.s.rend()));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, WhitenedShapes,
    testing::Values(std::pair{std::size_t{1}, std::size_t{1}}, std::pair{std::size_t{1}, std::size_t{9}},
                    std::pair{std::size_t{40}, std::size_t{1}}, std::pair{std::size_t{30}, std::size_t{50}},
                    std::pair{std::size_t{90}, std::size_t{40}}, std::pair{std::size_t{70}, std::size_t{300}},
                    std::pair{std::size_t{600}, std::size_t{530}}));

TEST(WhitenedSvd, BeatsThePlainOneOnOutputsAndLosesOnWeights) {
  const layer of(64, 48, 8);
  thread_pool pool;
  no_interrupts none;
  svd_request request;
  request.rank = 8;
  const svd_factors white = decompose(of, 8), plain = truncated_svd(of.numbers, 64, 48, request, pool, none);
  EXPECT_LT(measured(of, white), 0.8 * measured(of, plain));
  EXPECT_GT(factor_error(of.numbers, view(white), pool, none), factor_error(of.numbers, view(plain), pool, none));
}

TEST(WhitenedSvd, TheFullRankIsTheMatrix) {
  const layer of(20, 33, 1);
  const svd_factors f = decompose(of, 0);
  EXPECT_EQ(f.rank, 20u);
  EXPECT_LT(difference(of, f).norm() / of.w.norm(), 1e-4);
  EXPECT_LT(measured(of, f), 1e-4);
}

TEST(WhitenedSvd, EnergyIsThatOfTheOutputs) {
  const layer of(50, 60, 4);
  const Eigen::VectorXd values = of.values();
  const svd_factors f = decompose(of, 0, 0.9);
  const auto rank = static_cast<Index>(f.rank);
  EXPECT_GE(values.head(rank).squaredNorm(), 0.9 * values.squaredNorm() * (1 - 1e-5));
  EXPECT_LT(values.head(rank - 1).squaredNorm(), 0.9 * values.squaredNorm());
}

TEST(WhitenedSvd, ValuesAreThoseOfTheOutputs) {
  for (const std::size_t rows : {std::size_t{25}, std::size_t{80}}) {
    const layer of(rows, 40, 6);
    thread_pool pool;
    no_interrupts none;
    const whitened_spectrum found = whitened_values(of.numbers, of.hessian, pool, none);
    const Eigen::VectorXd values = of.values();
    ASSERT_EQ(found.values.size(), static_cast<std::size_t>(values.size()));
    // H has a mean diagonal of 1.
    const double scale = std::sqrt(of.damped().diagonal().mean());
    for (Index i = 0; i < values.size(); ++i) {
      EXPECT_NEAR(found.values[static_cast<std::size_t>(i)] * scale, values[i], 1e-5 * values[0]);
    }
    EXPECT_NEAR(found.energy * scale * scale, values.squaredNorm(), 1e-5 * values.squaredNorm());
  }
}

TEST(WhitenedSvd, IsThePlainOneWithoutInputs) {
  const std::vector<double> zeros(12 * 12, 0.0);
  const input_hessian h = hessian_of(zeros, 12);
  const std::vector<float> numbers = normal_numbers(12 * 20, 9, 1.0f);
  thread_pool pool;
  no_interrupts none;
  svd_request request;
  request.rank = 4;
  const svd_factors white = whitened_svd(numbers, h, request, pool, none),
                    plain = truncated_svd(numbers, 20, 12, request, pool, none);
  EXPECT_NEAR(output_error(numbers, view(white), h, pool, none), factor_error(numbers, view(plain), pool, none), 1e-5);
}

// A Gram matrix of fewer tokens than columns.
TEST(WhitenedSvd, OfASingularGramMatrix) {
  const std::size_t n = 24;
  std::vector<double> gram(n * n);
  const std::vector<float> token = normal_numbers(n, 2, 1.0f);
  for (std::size_t i = 0; i < n * n; ++i) gram[i] = double{token[i / n]} * double{token[i % n]};
  const input_hessian h = hessian_of(gram, n, 1e-6);
  const std::vector<float> numbers = normal_numbers(n * 10, 3, 1.0f);
  thread_pool pool;
  no_interrupts none;
  svd_request request;
  request.rank = 1;
  const svd_factors f = whitened_svd(numbers, h, request, pool, none);
  EXPECT_LT(output_error(numbers, view(f), h, pool, none), 0.01);  // one direction is enough for one input
}

TEST(WhitenedSvd, OfZeros) {
  const layer of(6, 10, 1);
  const std::vector<float> zeros(60, 0.0f);
  thread_pool pool;
  no_interrupts none;
  svd_request request;
  request.rank = 2;
  const svd_factors f = whitened_svd(zeros, of.hessian, request, pool, none);
  EXPECT_EQ(f.s, std::vector<float>(2, 0.0f));
  EXPECT_EQ(output_error(zeros, view(f), of.hessian, pool, none), 0.0);
  EXPECT_EQ(output_error(zeros, view(decompose(of, 2)), of.hessian, pool, none),
            std::numeric_limits<double>::infinity());
}

TEST(WhitenedSvd, TheSameForAnyNumberOfThreads) {
  const layer of(300, 520, 7);
  const svd_factors one = decompose(of, 40), four = decompose(of, 40, 1.0, 4);
  EXPECT_EQ(one.u, four.u);
  EXPECT_EQ(one.s, four.s);
  EXPECT_EQ(one.vt, four.vt);
}

TEST(WhitenedSvd, Errors) {
  layer of(4, 10, 1);
  EXPECT_EQ(message_of({of.numbers.data(), 39}, of.hessian), "22023 matrix of 39 numbers is not whole rows of 10 ");
  EXPECT_EQ(message_of({of.numbers.data(), 0}, of.hessian), "22023 matrix of 0 numbers is not whole rows of 10 ");
  of.numbers[17] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(message_of(of.numbers, of.hessian), "22003 matrix has NaN or infinity The first is at position 18.");
  thread_pool pool;
  no_interrupts none;
  const layer other(4, 11, 1);
  EXPECT_THROW(output_error(of.numbers, view(decompose(other, 2)), of.hessian, pool, none), error);
}

TEST(WhitenedSvd, CanBeInterruptedAtEveryCheck) {
  const layer of(100, 300, 2);
  thread_pool pool;
  svd_request request;
  request.rank = 5;
  const auto run = [&](interrupt_checker& interrupts) {
    const svd_factors f = whitened_svd(of.numbers, of.hessian, request, pool, interrupts);
    return output_error(of.numbers, view(f), of.hessian, pool, interrupts);
  };
  countdown whole;
  run(whole);
  EXPECT_GT(whole.checks(), 20);
  for (int at = 1; at <= whole.checks(); at += std::max(1, whole.checks() / 20)) {
    countdown stopped(at);
    EXPECT_THROW(run(stopped), std::domain_error);
  }
}

}  // namespace
}  // namespace hartonomous
