// Placing atoms: layout, principal plane, scaling of coordinates and importance.
#include "hartonomous/space.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

namespace hartonomous {
namespace {

std::vector<float> random_matrix(std::size_t rows, std::size_t columns, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> m(rows * columns);
  for (float& w : m) w = normal(generator);
  return m;
}

double product(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

// A matrix in memory; atoms that are missing have to be zeros in it.
class memory_rows final : public matrix_rows {
 public:
  memory_rows(const std::vector<float>& m, std::size_t columns, std::vector<std::uint64_t> missing)
      : m_(m), columns_(columns), missing_(std::move(missing)) {}
  void sample(span<const std::uint64_t> rows, float* to) override {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      std::copy_n(m_.data() + rows[i] * columns_, columns_, to + i * columns_);
    }
  }
  void next(float* to) override { std::copy_n(m_.data() + row_++ * columns_, columns_, to); }
  bool has(std::uint64_t atom) const override {
    return std::find(missing_.begin(), missing_.end(), atom) == missing_.end();
  }

 private:
  const std::vector<float>& m_;
  std::size_t columns_, row_ = 0;
  std::vector<std::uint64_t> missing_;
};

std::vector<atom_position> positions_of(const std::vector<float>& m, const atom_layout& layout,
                                        std::vector<std::uint64_t> missing = {}) {
  no_interrupts none;
  thread_pool pool;
  memory_rows rows(m, layout.row_length, std::move(missing));
  return atom_positions(layout, rows, pool, none);
}

TEST(AtomLayout, RowsAreCutAndTheLastAtomIsShorter) {
  const atom_layout layout = {3, 10, 4};
  EXPECT_EQ(layout.atoms_per_row(), 3u);
  EXPECT_EQ(layout.atoms(), 9u);
  EXPECT_EQ(layout.row_of(5), 1u);
  EXPECT_EQ(layout.column_of(5), 8u);
  EXPECT_EQ(layout.length_of(5), 2u);
  EXPECT_EQ(layout.length_of(4), 4u);
  EXPECT_EQ((atom_layout{0, 0, 1}.atoms()), 0u);
}

TEST(AtomLayout, RowsAreJoinedAndTheLastAtomHasFewer) {
  const atom_layout layout = {7, 10, 35};
  EXPECT_EQ(layout.rows_per_atom(), 3u);
  EXPECT_EQ(layout.atoms(), 3u);
  EXPECT_EQ(layout.row_of(2), 6u);
  EXPECT_EQ(layout.column_of(2), 0u);
  EXPECT_EQ(layout.offset_of(1), 30u);
  EXPECT_EQ(layout.length_of(1), 30u);
  EXPECT_EQ(layout.length_of(2), 10u);
  EXPECT_EQ(layout.length_of(3), 0u);
  EXPECT_EQ(layout.first_atom(5), 1u);
  EXPECT_EQ(layout.end_atom(3), 1u);
  EXPECT_EQ(layout.end_atom(4), 2u);
  EXPECT_EQ(layout.of_single_rows().atoms(), 7u);
  const atom_layout cut = {3, 10, 4};
  EXPECT_EQ(cut.first_atom(2), 6u);
  EXPECT_EQ(cut.end_atom(2), 6u);
  EXPECT_EQ(cut.offset_of(5), 18u);
  EXPECT_EQ(cut.of_single_rows().atoms(), 9u);
}

TEST(PrincipalPlane, FindsThePlaneOfRankTwoRows) {
  // Rows are combinations of two directions only.
  const std::size_t rows = 40, columns = 50;
  const std::vector<float> u = random_matrix(1, columns, 1), v = random_matrix(1, columns, 2),
                           weights = random_matrix(rows, 2, 3);
  std::vector<float> m(rows * columns);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j)
      m[i * columns + j] = 5 * weights[2 * i] * u[j] + weights[2 * i + 1] * v[j];
  }
  no_interrupts none;
  thread_pool pool;
  const principal_plane plane = find_principal_plane(m, rows, columns, pool, none);
  EXPECT_NEAR(product(plane.first, plane.first), 1.0, 1e-5);
  EXPECT_NEAR(product(plane.second, plane.second), 1.0, 1e-5);
  EXPECT_NEAR(product(plane.first, plane.second), 0.0, 1e-5);
  // Every row lies in the plane: nothing is left after projecting.
  for (std::size_t i = 0; i < rows; ++i) {
    const std::vector<float> row(m.begin() + static_cast<std::ptrdiff_t>(i * columns),
                                 m.begin() + static_cast<std::ptrdiff_t>((i + 1) * columns));
    const double a = product(row, plane.first), b = product(row, plane.second);
    EXPECT_NEAR(a * a + b * b, product(row, row), 1e-3 * product(row, row));
  }
}

TEST(PrincipalPlane, HasZerosWhereThereIsNoDirection) {
  no_interrupts none;
  thread_pool pool;
  const std::vector<float> zero(12, 0.0f), one_row = {3, 4, 0};
  EXPECT_EQ(product(find_principal_plane(zero, 4, 3, pool, none).first, {1, 1, 1}), 0.0);
  const principal_plane plane = find_principal_plane(one_row, 1, 3, pool, none);
  EXPECT_NEAR(plane.first[1], 0.8, 1e-6);  // positive: the sign is fixed by the largest component
  EXPECT_EQ(product(plane.second, plane.second), 0.0);
}

TEST(PrincipalPlane, IgnoresRowsThatAreNotFinite) {
  no_interrupts none;
  thread_pool pool;
  std::vector<float> m = {1, 0, 0, std::numeric_limits<float>::quiet_NaN(), 0, 0, 2, 0, 0};
  EXPECT_NEAR(find_principal_plane(m, 3, 3, pool, none).first[0], 1.0, 1e-6);
}

TEST(TensorSpace, SpansTheSpace) {
  const std::vector<float> m = random_matrix(200, 64, 4);
  const std::vector<atom_position> positions = positions_of(m, {200, 64, 16});
  ASSERT_EQ(positions.size(), 800u);
  float low[2] = {100, 100}, high[2] = {0, 0};
  double sum = 0, squares = 0;
  for (const atom_position& p : positions) {
    low[0] = std::min(low[0], p.x);
    high[0] = std::max(high[0], p.x);
    low[1] = std::min(low[1], p.y);
    high[1] = std::max(high[1], p.y);
    ASSERT_LE(std::fabs(p.importance), 10.0f);
    sum += p.importance;
    squares += p.importance * p.importance;
  }
  EXPECT_EQ(low[0], 0.0f);
  EXPECT_EQ(low[1], 0.0f);
  EXPECT_EQ(high[0], 100.0f);
  EXPECT_EQ(high[1], 100.0f);
  EXPECT_NEAR(sum / 800, 0.0, 1e-4);
  EXPECT_NEAR(squares / 800, 1.0, 1e-3);
}

// The coordinates of atoms of rows are the means of the rows' coordinates, up to the scale; importance is that of all
// weights. Of 10 rows the last atom has one.
TEST(TensorSpace, AtomsOfRowsAddUpTheirRows) {
  const std::vector<float> m = random_matrix(10, 48, 9);
  const std::vector<atom_position> rows = positions_of(m, {10, 48, 48}), joined = positions_of(m, {10, 48, 150});
  ASSERT_EQ(joined.size(), 4u);
  std::vector<double> means, logarithms;
  for (std::size_t atom = 0; atom < 4; ++atom) {
    double x = 0, energy = 0;
    const std::size_t first = 3 * atom, end = std::min<std::size_t>(first + 3, 10);
    for (std::size_t r = first; r < end; ++r) {
      x += rows[r].x;
      for (std::size_t i = r * 48; i < (r + 1) * 48; ++i) energy += double{m[i]} * m[i];
    }
    const auto count = static_cast<double>(end - first);
    means.push_back(x / count);
    logarithms.push_back(0.5 * std::log(energy / (48 * count)));
    const std::vector<float> weights(m.begin() + static_cast<std::ptrdiff_t>(first * 48),
                                     m.begin() + static_cast<std::ptrdiff_t>(end * 48));
    EXPECT_NEAR(log_root_mean_square(weights, 48), logarithms.back(), 1e-6);
  }
  const auto [low, high] = std::minmax_element(means.begin(), means.end());
  double mean = 0, variance = 0;
  for (const double l : logarithms) mean += l / 4;
  for (const double l : logarithms) variance += (l - mean) * (l - mean) / 4;
  for (std::size_t atom = 0; atom < 4; ++atom) {
    EXPECT_NEAR(joined[atom].x, 100 * (means[atom] - *low) / (*high - *low), 1e-2);
    EXPECT_NEAR(joined[atom].importance, (logarithms[atom] - mean) / std::sqrt(variance), 1e-4);
  }
}

TEST(TensorSpace, ImportanceFollowsTheSizeOfTheWeights) {
  std::vector<float> m = {1, 1, 10, 10, 100, 100, 0, 0};
  const std::vector<atom_position> positions = positions_of(m, {4, 2, 2});
  // Logs are evenly spaced, so standardised they are -sqrt(3/2), 0, sqrt(3/2).
  EXPECT_NEAR(positions[0].importance, -std::sqrt(1.5), 1e-5);
  EXPECT_NEAR(positions[1].importance, 0.0, 1e-5);
  EXPECT_NEAR(positions[2].importance, std::sqrt(1.5), 1e-5);
  EXPECT_EQ(positions[3].importance, -10.0f);  // all zero: the least
}

TEST(TensorSpace, ImportanceHoldsBeyondTheRangeOfFloatSquares) {
  std::vector<float> m = {1e-30f, 1e-30f, 1.0f, 1.0f, 1e30f, 1e30f};
  const std::vector<atom_position> positions = positions_of(m, {3, 2, 2});
  EXPECT_NEAR(positions[0].importance, -std::sqrt(1.5), 1e-5);
  EXPECT_NEAR(positions[1].importance, 0.0, 1e-5);
  EXPECT_NEAR(positions[2].importance, std::sqrt(1.5), 1e-5);
}

TEST(TensorSpace, ConstantTensorsLieInTheMiddle) {
  for (const atom_position& p : positions_of(std::vector<float>(12, 2.0f), {4, 3, 3})) {
    EXPECT_EQ(p.x, 50.0f);
    EXPECT_EQ(p.y, 50.0f);
    EXPECT_EQ(p.importance, 0.0f);
  }
}

TEST(TensorSpace, WeightsThatAreNotFiniteDoNotSpoilTheOthers) {
  std::vector<float> m = {1, 2, 3, 4, std::numeric_limits<float>::quiet_NaN(), 1, 5, 1};
  const std::vector<atom_position> positions = positions_of(m, {4, 2, 2});
  EXPECT_EQ(positions[2].x, 50.0f);
  EXPECT_EQ(positions[2].importance, 10.0f);
  for (const atom_position& p : positions)
    EXPECT_TRUE(std::isfinite(p.x) && std::isfinite(p.y) && std::isfinite(p.importance));
}

TEST(TensorSpace, IsTheSameEveryTime) {
  const std::vector<float> m = random_matrix(64, 48, 9);
  const std::vector<atom_position> a = positions_of(m, {64, 48, 48}), b = positions_of(m, {64, 48, 48});
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].x, b[i].x);
}

TEST(PlaceAtoms, AtomsThatAreMissingSpanNothing) {
  // All rows lie far from zero on one side of it, so that a row of zeros would be the end of the span.
  const std::size_t rows = 20, columns = 12;
  std::vector<float> m = random_matrix(rows, columns, 8);
  for (float& w : m) w += 9;
  std::vector<float> fewer(m.begin() + static_cast<std::ptrdiff_t>(3 * columns), m.end());
  std::fill_n(m.begin(), 3 * columns, 0.0f);
  const std::vector<atom_position> some = positions_of(m, {rows, columns, 12}, {0, 1, 2}),
                                   all = positions_of(fewer, {rows - 3, columns, 12});
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_NEAR(some[i + 3].x, all[i].x, 1e-2);
    EXPECT_NEAR(some[i + 3].y, all[i].y, 1e-2);
    EXPECT_EQ(some[i + 3].importance, all[i].importance);
  }
}

}  // namespace
}  // namespace hartonomous
