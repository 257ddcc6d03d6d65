// Truncated singular value decomposition: as good as the best of its rank, orthonormal, on matrices of every kind.
#include "hartonomous/svd.hpp"

#include "linear_algebra/eigen.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>

#include <Eigen/QR>

#include "countdown.hpp"
#include "hartonomous/error.hpp"
#include "singular_values.hpp"

namespace hartonomous {
namespace {

using Eigen::Index;
using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::MatrixXd random_orthonormal(Index rows, Index columns, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  Eigen::MatrixXd m(rows, columns);
  for (Index j = 0; j < columns; ++j) {
    for (Index i = 0; i < rows; ++i) m(i, j) = normal(generator);
  }
  return Eigen::HouseholderQR<Eigen::MatrixXd>(m).householderQ() * Eigen::MatrixXd::Identity(rows, columns);
}

// A matrix with these singular values.
row_major with_values(Index rows, Index columns, const Eigen::VectorXd& values) {
  const Eigen::MatrixXd u = random_orthonormal(rows, values.size(), 1),
                        v = random_orthonormal(columns, values.size(), 2);
  return (u * values.asDiagonal() * v.transpose()).cast<float>();
}

template <class F>
Eigen::VectorXd values_by(Index count, F f) {
  Eigen::VectorXd values(count);
  for (Index i = 0; i < count; ++i) values[i] = f(static_cast<double>(i + 1));
  return values;
}

svd_factors decompose(const row_major& a, const svd_request& request, unsigned threads = 1) {
  thread_pool pool(threads);
  no_interrupts none;
  return truncated_svd({a.data(), static_cast<std::size_t>(a.size())}, static_cast<std::size_t>(a.rows()),
                       static_cast<std::size_t>(a.cols()), request, pool, none);
}

svd_request rank_of(std::size_t rank) {
  svd_request request;
  request.rank = rank;
  return request;
}

factor_view view(const svd_factors& f) { return {f.rows, f.columns, f.rank, f.u, f.s, f.vt}; }

double orthonormality(const Eigen::MatrixXd& columns) {
  return (columns.transpose() * columns - Eigen::MatrixXd::Identity(columns.cols(), columns.cols()))
      .cwiseAbs()
      .maxCoeff();
}

// Everything that is promised of factors of `a`, whose singular values are `values` (and zeros).
void expect_good(const row_major& a, const Eigen::VectorXd& values, const svd_factors& f, double excess = 2e-4) {
  const auto rank = static_cast<Index>(f.rank);
  ASSERT_EQ(f.u.size(), f.rows * f.rank);
  ASSERT_EQ(f.vt.size(), f.rank * f.columns);
  ASSERT_EQ(f.s.size(), f.rank);
  const Eigen::MatrixXd u = Eigen::Map<const row_major>(f.u.data(), a.rows(), rank).cast<double>();
  const Eigen::MatrixXd v = Eigen::Map<const row_major>(f.vt.data(), rank, a.cols()).transpose().cast<double>();
  EXPECT_LT(orthonormality(u), 1e-5);
  EXPECT_LT(orthonormality(v), 1e-5);
  const double total = values.squaredNorm(), kept = values.head(std::min(rank, values.size())).squaredNorm();
  const double left = std::sqrt(std::max(total - kept, 0.0));
  for (Index i = 0; i < rank; ++i) {
    const double expected = i < values.size() ? values[i] : 0.0;
    EXPECT_GE(f.s[static_cast<std::size_t>(i)], 0.0f);
    EXPECT_LE(f.s[static_cast<std::size_t>(i)], expected + 1e-5 * values[0]);
    Index peak = 0;
    v.col(i).cwiseAbs().maxCoeff(&peak);
    EXPECT_GT(v(peak, i), 0.0);
  }
  EXPECT_TRUE(std::is_sorted(f.s.rbegin(), f.s.rend()));
  EXPECT_NEAR(f.explained_variance, kept / total, 2 * excess);
  thread_pool pool;
  no_interrupts none;
  const double error = factor_error({a.data(), static_cast<std::size_t>(a.size())}, view(f), pool, none);
  EXPECT_LE(error, left / std::sqrt(total) * (1.0 + excess) + 2e-6);
  EXPECT_GE(error, left / std::sqrt(total) * (1.0 - 1e-4) - 2e-6);
}

// ---- every kind of matrix ----------------------------------------------------------------------------------------

struct shape {
  Index rows, columns;
};

class SvdShapes : public testing::TestWithParam<shape> {};

TEST_P(SvdShapes, EveryRankOfARandomMatrix) {
  const auto [rows, columns] = GetParam();
  const Index side = std::min(rows, columns);
  std::mt19937 generator(3);
  std::normal_distribution<float> normal;
  row_major a(rows, columns);
  for (Index i = 0; i < a.size(); ++i) a.data()[i] = normal(generator);
  const Eigen::VectorXd values = singular_values(a.cast<double>());
  for (const Index rank : {Index{1}, side / 8, side / 2, side, side + 5}) {
    if (rank < 1) continue;
    SCOPED_TRACE(rank);
    const svd_factors f = decompose(a, rank_of(static_cast<std::size_t>(rank)));
    EXPECT_EQ(f.rank, static_cast<std::size_t>(std::min(rank, side)));
    expect_good(a, values, f);
  }
}

TEST_P(SvdShapes, NoRankAskedForIsAllOfIt) {
  const auto [rows, columns] = GetParam();
  const row_major a = row_major::Random(rows, columns);
  EXPECT_EQ(decompose(a, {}).rank, static_cast<std::size_t>(std::min(rows, columns)));
}

INSTANTIATE_TEST_SUITE_P(Shapes, SvdShapes,
                         testing::Values(shape{1, 1}, shape{1, 7}, shape{7, 1}, shape{1, 3000}, shape{3000, 1},
                                         shape{5, 300}, shape{300, 5}, shape{64, 64}, shape{172, 64}, shape{400, 300},
                                         shape{300, 700}),
                         [](const testing::TestParamInfo<shape>& info) {
                           return std::to_string(info.param.rows) + "x" + std::to_string(info.param.columns);
                         });

struct spectrum {
  const char* name;
  double (*value)(double i);
};

class SvdSpectra : public testing::TestWithParam<spectrum> {};

TEST_P(SvdSpectra, LargeMatricesBothWaysRound) {
  for (const shape s : {shape{420, 600}, shape{600, 420}}) {
    const Eigen::VectorXd values = values_by(420, GetParam().value);
    const row_major a = with_values(s.rows, s.columns, values);
    for (const std::size_t rank : {1, 8, 40, 84, 200, 420}) {
      SCOPED_TRACE(std::to_string(s.rows) + " rows, rank " + std::to_string(rank));
      expect_good(a, values, decompose(a, rank_of(rank)));
    }
  }
}

TEST_P(SvdSpectra, MostOfALargeMatrix) {
  const Eigen::VectorXd values = values_by(420, GetParam().value);
  const row_major a = with_values(560, 530, values);
  for (const std::size_t rank : {110, 300, 530}) {
    SCOPED_TRACE(rank);
    expect_good(a, values, decompose(a, rank_of(rank)));
  }
}

INSTANTIATE_TEST_SUITE_P(Spectra, SvdSpectra,
                         testing::Values(spectrum{"InverseRoot", [](double i) { return 1.0 / std::sqrt(i); }},
                                         spectrum{"Inverse", [](double i) { return 1.0 / i; }},
                                         spectrum{"Exponential", [](double i) { return std::exp(-i / 10.0); }},
                                         spectrum{"Flat", [](double) { return 1.0; }},
                                         spectrum{"Steps", [](double i) { return i <= 50 ? 1.0 : 0.3; }},
                                         spectrum{"OneAmongMany", [](double i) { return i == 1 ? 100.0 : 1.0; }},
                                         spectrum{"RankSeven", [](double i) { return i <= 7 ? 8.0 - i : 0.0; }},
                                         spectrum{"Linear", [](double i) { return 421.0 - i; }},
                                         spectrum{"Tiny", [](double i) { return 1e-20 / i; }},
                                         spectrum{"Huge", [](double i) { return 1e30 / i; }}),
                         [](const testing::TestParamInfo<spectrum>& info) { return info.param.name; });

// ---- energy ------------------------------------------------------------------------------------------------------

TEST(SvdEnergy, TheLeastRankThatExplainsIt) {
  for (const shape s : {shape{100, 150}, shape{600, 700}}) {
    const Index side = std::min(s.rows, s.columns);
    const Eigen::VectorXd values = values_by(side, [](double i) { return 1.0 / i; });
    const row_major a = with_values(s.rows, s.columns, values);
    const double total = values.squaredNorm();
    for (const double energy : {0.3, 0.9, 0.99, 0.997}) {
      SCOPED_TRACE(std::to_string(s.rows) + " rows, energy " + std::to_string(energy));
      Index least = 0;
      double sum = 0;
      while (sum < energy * total) sum += values[least] * values[least], ++least;
      svd_request request;
      request.energy = energy;
      const svd_factors f = decompose(a, request);
      EXPECT_NEAR(static_cast<double>(f.rank), static_cast<double>(least),
                  std::max(1.0, 0.02 * static_cast<double>(least)));
      EXPECT_GE(f.explained_variance, energy * (1 - 1e-6));
      expect_good(a, values, f);
    }
  }
}

TEST(SvdEnergy, TheRankIsStillALimit) {
  const Eigen::VectorXd values = values_by(600, [](double) { return 1.0; });
  const row_major a = with_values(600, 700, values);
  svd_request request;
  request.energy = 0.9;
  request.rank = 20;
  EXPECT_EQ(decompose(a, request).rank, 20u);
}

// ---- edges -------------------------------------------------------------------------------------------------------

TEST(SvdEdges, ZerosAreZerosWithOrthonormalVectors) {
  for (const shape s : {shape{3, 5}, shape{300, 400}}) {
    const row_major a = row_major::Zero(s.rows, s.columns);
    const svd_factors f = decompose(a, rank_of(3));
    EXPECT_EQ(f.rank, 3u);
    EXPECT_EQ(f.s, std::vector<float>(3, 0.0f));
    EXPECT_EQ(f.explained_variance, 1.0);
    EXPECT_LT(orthonormality(Eigen::Map<const row_major>(f.u.data(), s.rows, 3).cast<double>()), 1e-5);
  }
}

TEST(SvdEdges, EqualRowsHaveRankOne) {
  const row_major a = row_major::Ones(500, 1) * row_major::Random(1, 400);
  const svd_factors f = decompose(a, rank_of(10));
  EXPECT_EQ(f.rank, 10u);
  EXPECT_NEAR(f.explained_variance, 1.0, 1e-6);
  for (std::size_t i = 1; i < 10; ++i) EXPECT_LT(f.s[i], 1e-5f * f.s[0]);
}

std::string state_of(const row_major& a, const svd_request& request = {}) {
  try {
    decompose(a, request);
  } catch (const error& e) {
    return std::string(e.state()) + " " + e.detail();
  }
  return "none";
}

TEST(SvdEdges, RefusesWhatIsNoNumber) {
  row_major a = row_major::Ones(300, 300);
  a(1, 2) = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(state_of(a), "22003 The first is at position 303.");
  a(1, 2) = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(state_of(a), "22003 The first is at position 303.");
  a(1, 2) = 3e38f;
  EXPECT_EQ(state_of(a), "22003 Its singular values might be out of range for type real.");
}

TEST(SvdEdges, RefusesNoRowsAndNoEnergy) {
  EXPECT_EQ(state_of(row_major(0, 3)), "22023 ");
  EXPECT_EQ(state_of(row_major(3, 0)), "22023 ");
  svd_request request;
  request.energy = 0.0;
  EXPECT_EQ(state_of(row_major::Ones(2, 2), request), "22023 ");
  request.energy = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(state_of(row_major::Ones(2, 2), request), "22023 ");
}

TEST(SvdEdges, ThreadsDoNotMatterAndSeedsAreKept) {
  const row_major a = with_values(500, 400, values_by(400, [](double i) { return 1.0 / i; }));
  for (const std::size_t rank : {30, 300}) {
    const svd_factors one = decompose(a, rank_of(rank), 1), three = decompose(a, rank_of(rank), 3);
    EXPECT_EQ(one.u, three.u);
    EXPECT_EQ(one.s, three.s);
    EXPECT_EQ(one.vt, three.vt);
  }
  svd_request other = rank_of(30);
  other.seed = 1;
  EXPECT_NE(decompose(a, other).u, decompose(a, rank_of(30)).u);
}

TEST(SvdEdges, ChecksForInterruptsThroughout) {
  thread_pool pool;
  const row_major a = with_values(600, 700, values_by(600, [](double i) { return 1.0 / i; }));
  const span<const float> numbers{a.data(), static_cast<std::size_t>(a.size())};
  for (const std::size_t rank : {40, 400}) {
    countdown whole;
    truncated_svd(numbers, 600, 700, rank_of(rank), pool, whole);
    EXPECT_GT(whole.checks(), 50);
    for (int at = 1; at <= whole.checks(); at += whole.checks() / 7) {
      countdown stopped(at);
      EXPECT_THROW(truncated_svd(numbers, 600, 700, rank_of(rank), pool, stopped), std::domain_error);
    }
  }
}

// ---- factors in use ----------------------------------------------------------------------------------------------

TEST(Factors, ProductOfSomeRows) {
  const row_major a = row_major::Random(300, 120);
  const svd_factors f = decompose(a, {});
  thread_pool pool(2);
  no_interrupts none;
  row_major out = row_major::Constant(100, 120, 1.0f);
  add_product(view(f), 150, 100, out.data(), pool, none);
  EXPECT_LT((out - row_major::Ones(100, 120) - a.middleRows(150, 100)).cwiseAbs().maxCoeff(), 1e-5f);
  add_product(view(f), 300, 0, nullptr, pool, none);
}

TEST(Factors, ErrorOfZeros) {
  thread_pool pool;
  no_interrupts none;
  const std::vector<float> zeros(6), u{1, 0}, s{2}, vt{1, 0, 0};
  const factor_view some{2, 3, 1, u, s, vt}, nothing{2, 3, 0, {}, {}, {}};
  EXPECT_EQ(factor_error(zeros, nothing, pool, none), 0.0);
  EXPECT_EQ(factor_error(zeros, some, pool, none), std::numeric_limits<double>::infinity());
  EXPECT_EQ(break_even_rank(4096, 4096), 2048u);
  EXPECT_EQ(break_even_rank(1, 7), 0u);
}

TEST(Factors, MemoryPlanIsNotWild) {
  EXPECT_GT(svd_work_bytes(4096, 4096, rank_of(64)), std::uint64_t{8} << 20);
  EXPECT_LT(svd_work_bytes(4096, 4096, rank_of(64)), std::uint64_t{64} << 20);
  EXPECT_GT(svd_work_bytes(4096, 4096, rank_of(2048)), svd_work_bytes(4096, 4096, rank_of(64)));
}

}  // namespace
}  // namespace hartonomous
