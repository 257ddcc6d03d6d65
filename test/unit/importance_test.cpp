// Tests of energies, saliencies and refitted rows (hartonomous/importance.hpp), compared with dense systems that are
// solved by elimination.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "hartonomous/error.hpp"
#include "hartonomous/importance.hpp"

namespace hartonomous {
namespace {

no_interrupts none;

std::vector<float> random_numbers(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(count);
  std::generate(numbers.begin(), numbers.end(), [&] { return normal(generator); });
  return numbers;
}

// Inputs that are correlated: each is half of the one before it, and the first ones are larger.
std::vector<float> inputs(std::size_t tokens, std::size_t n, unsigned seed) {
  std::vector<float> x = random_numbers(tokens * n, seed);
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t j = 1; j < n; ++j) x[t * n + j] += 0.8F * x[t * n + j - 1];
  }
  return x;
}

std::vector<float> gram_of(const std::vector<float>& x, std::size_t n) {
  std::vector<float> gram;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = i; j < n; ++j) {
      double sum = 0.0;
      for (std::size_t t = 0; t < x.size() / n; ++t) sum += double{x[t * n + i]} * x[t * n + j];
      gram.push_back(static_cast<float>(sum));
    }
  }
  return gram;
}

// A dense matrix of doubles.
using matrix = std::vector<std::vector<double>>;

matrix hessian_of(const std::vector<float>& gram, std::size_t n, double ridge) {
  matrix h(n, std::vector<double>(n));
  std::size_t at = 0;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = i; j < n; ++j) h[i][j] = h[j][i] = double{gram[at++]};
    h[i][i] += ridge;
  }
  return h;
}

matrix part(const matrix& a, const std::vector<std::size_t>& rows, const std::vector<std::size_t>& columns) {
  matrix to;
  for (const std::size_t i : rows) {
    to.emplace_back();
    for (const std::size_t j : columns) to.back().push_back(a[i][j]);
  }
  return to;
}

// Gaussian elimination with pivots.
std::vector<double> solve(matrix a, std::vector<double> b) {
  const std::size_t n = b.size();
  for (std::size_t k = 0; k < n; ++k) {
    std::size_t pivot = k;
    for (std::size_t i = k; i < n; ++i) {
      if (std::fabs(a[i][k]) > std::fabs(a[pivot][k])) pivot = i;
    }
    std::swap(a[k], a[pivot]);
    std::swap(b[k], b[pivot]);
    for (std::size_t i = k + 1; i < n; ++i) {
      const double factor = a[i][k] / a[k][k];
      for (std::size_t j = k; j < n; ++j) a[i][j] -= factor * a[k][j];
      b[i] -= factor * b[k];
    }
  }
  for (std::size_t k = n; k-- > 0;) {
    for (std::size_t j = k + 1; j < n; ++j) b[k] -= a[k][j] * b[j];
    b[k] /= a[k][k];
  }
  return b;
}

// The weights of a row that stay, by the definition: those with which (w - v) H (w - v) is least.
std::vector<double> refitted(const matrix& h, const std::vector<float>& w, const std::vector<std::size_t>& gone) {
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < w.size(); ++i) {
    if (std::find(gone.begin(), gone.end(), i) == gone.end()) kept.push_back(i);
  }
  std::vector<double> side(kept.size());
  for (std::size_t k = 0; k < kept.size(); ++k) {
    for (std::size_t j = 0; j < w.size(); ++j) side[k] += h[kept[k]][j] * double{w[j]};
  }
  const std::vector<double> solved = solve(part(h, kept, kept), side);
  std::vector<double> row(w.size(), 0.0);
  for (std::size_t k = 0; k < kept.size(); ++k) row[kept[k]] = solved[k];
  return row;
}

double loss(const matrix& h, const std::vector<float>& w, const std::vector<double>& v) {
  double sum = 0.0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    for (std::size_t j = 0; j < w.size(); ++j) sum += (w[i] - v[i]) * h[i][j] * (w[j] - v[j]);
  }
  return sum;
}

std::vector<std::size_t> columns_of(const atom_layout& layout, const std::vector<std::uint64_t>& atoms) {
  std::vector<std::size_t> columns;
  for (const std::uint64_t atom : atoms) {
    for (std::size_t i = 0; i < layout.length_of(atom); ++i) columns.push_back(layout.column_of(atom) + i);
  }
  return columns;
}

template <class Work>
std::string state_of(Work work) {
  try {
    work();
  } catch (const error& e) {
    return std::string(e.state());
  }
  return "no error";
}

constexpr std::size_t n = 22, rows = 5;
const atom_layout layout = {rows, n, 4};  // the last atom of a row has two weights

TEST(Importance, TheInverseIsThatOfTheDampedGramMatrix) {
  thread_pool pool;
  const std::vector<float> gram = gram_of(inputs(60, n, 1), n);
  const damped_hessian h(gram, n, 0.5, pool, none);
  const matrix dense = hessian_of(gram, n, 0.5);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double product = 0.0;
      for (std::size_t k = 0; k < n; ++k) product += h.inverse(i, k) * dense[k][j];
      EXPECT_NEAR(product, i == j ? 1.0 : 0.0, 1e-10);
      EXPECT_EQ(h.entry(i, j), dense[i][j]);
    }
  }
}

// More than a tile, and not a whole number of them.
TEST(Importance, LargeMatricesAreInvertedTileByTile) {
  constexpr std::size_t size = 300;
  thread_pool pool(2);
  const std::vector<float> gram = gram_of(inputs(400, size, 2), size);
  const damped_hessian h(gram, size, 1.0, pool, none);
  double worst = 0.0;
  for (std::size_t i = 0; i < size; ++i) {
    for (std::size_t j = 0; j < size; ++j) {
      double product = i == j ? -1.0 : 0.0;
      for (std::size_t k = 0; k < size; ++k) product += h.inverse(i, k) * h.entry(k, j);
      worst = std::max(worst, std::fabs(product));
    }
  }
  EXPECT_LT(worst, 1e-9);
}

TEST(Importance, SaliencyIsWhatTheBestRefitStillLoses) {
  thread_pool pool;
  const std::vector<float> gram = gram_of(inputs(60, n, 3), n), weights = random_numbers(rows * n, 4);
  const damped_hessian h(gram, n, 0.7, pool, none);
  const matrix dense = hessian_of(gram, n, 0.7);
  std::vector<double> found(layout.atoms());
  atom_saliencies(h, layout, pool, none).compute(weights, rows, found.data(), pool, none);
  for (std::uint64_t atom = 0; atom < layout.atoms(); ++atom) {
    const std::size_t row = layout.row_of(atom);
    const std::vector<float> w(&weights[row * n], &weights[row * n] + n);
    const double expected = 0.5 * loss(dense, w, refitted(dense, w, columns_of(layout, {atom})));
    EXPECT_NEAR(found[atom] / expected, 1.0, 1e-4) << atom;
  }
}

TEST(Importance, TheSaliencyOfAWholeRowIsItsEnergy) {
  thread_pool pool;
  const std::vector<float> gram = gram_of(inputs(60, n, 5), n), weights = random_numbers(rows * n, 6);
  const damped_hessian h(gram, n, 0.3, pool, none);
  std::vector<double> found(rows);
  atom_saliencies(h, {rows, n, 100}, pool, none).compute(weights, rows, found.data(), pool, none);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::vector<float> w(&weights[r * n], &weights[r * n] + n);
    const double expected = 0.5 * loss(hessian_of(gram, n, 0.3), w, std::vector<double>(n));
    EXPECT_NEAR(found[r] / expected, 1.0, 1e-4);
  }
}

TEST(Importance, WithoutCorrelationSaliencyIsHalfTheEnergy) {
  thread_pool pool;
  std::vector<float> gram(n * (n + 1) / 2), squares(n);
  for (std::size_t i = 0, at = 0; i < n; at += n - i++) gram[at] = squares[i] = 1.0F + static_cast<float>(i);
  const damped_hessian h(gram, n, 1e-9, pool, none);
  const std::vector<float> w = random_numbers(n, 7);
  std::vector<double> saliencies(layout.atoms_per_row()), energies(layout.atoms_per_row());
  atom_saliencies(h, layout, pool, none).compute(w, 1, saliencies.data(), pool, none);
  add_atom_energies(layout, w, column_energies(squares).data(), energies.data());
  for (std::size_t a = 0; a < energies.size(); ++a) EXPECT_NEAR(saliencies[a] / energies[a], 0.5, 1e-5);
}

TEST(Importance, SaliencyOfAtomsThatAreNotFiniteIsUnknown) {
  thread_pool pool;
  const damped_hessian h(gram_of(inputs(60, n, 8), n), n, 0.5, pool, none);
  std::vector<float> w = random_numbers(2 * n, 9);
  w[5] = std::numeric_limits<float>::quiet_NaN();
  w[9] = std::numeric_limits<float>::infinity();
  std::vector<double> found(2 * layout.atoms_per_row());
  atom_saliencies(h, layout, pool, none).compute(w, 2, found.data(), pool, none);
  for (std::size_t a = 0; a < found.size(); ++a) EXPECT_EQ(std::isfinite(found[a]), a != 1 && a != 2) << a;
}

TEST(Importance, ColumnsThatAreNeverActiveRankByMagnitude) {
  const std::vector<double> columns = column_energies(std::vector<float>{4, 0, 0, 2});
  EXPECT_EQ(columns[0], 4.0);
  EXPECT_GT(columns[1], 0.0);
  EXPECT_LT(columns[1], 1e-5);
  EXPECT_EQ(columns[1], columns[2]);
  EXPECT_EQ(column_energies(std::vector<float>(3, 0.0F)), std::vector<double>(3, 1.0));
}

TEST(Importance, TheRidgeIsAShareOfTheMeanEnergy) {
  EXPECT_DOUBLE_EQ(damped_hessian::ridge(std::vector<float>{2, 9, 6}, 2, 0.01, 100.0), 0.04);
  EXPECT_DOUBLE_EQ(damped_hessian::ridge(std::vector<float>{0, 0, 0}, 2, 0.01, 100.0), 1e-4);
  EXPECT_EQ(damped_hessian::ridge(std::vector<float>{0, 0, 0}, 2, 0.01, 0.0), 1.0);
}

// Few atoms deleted, most of them, all, and none: both ways of solving.
TEST(Importance, RowsAreRefittedAsByTheWholeSystem) {
  thread_pool pool;
  const std::vector<float> gram = gram_of(inputs(60, n, 10), n), weights = random_numbers(rows * n, 11);
  const damped_hessian h(gram, n, 0.4, pool, none);
  const matrix dense = hessian_of(gram, n, 0.4);
  const std::vector<std::vector<std::uint64_t>> deleted = {{1}, {0, 5}, {0, 1, 3, 4}, {0, 1, 2, 3, 4, 5}, {}};
  std::vector<std::uint8_t> gone(layout.atoms());
  for (std::size_t r = 0; r < rows; ++r) {
    for (const std::uint64_t atom : deleted[r]) gone[r * layout.atoms_per_row() + atom] = 1;
  }
  std::vector<float> found = weights;
  const std::vector<std::uint8_t> changed = row_refit(h, layout).apply(found, rows, gone, pool, none);
  EXPECT_EQ(changed, (std::vector<std::uint8_t>{1, 1, 1, 0, 0}));
  for (std::size_t r = 0; r < rows; ++r) {
    const std::vector<float> w(&weights[r * n], &weights[r * n] + n);
    const std::vector<double> expected = refitted(dense, w, columns_of(layout, deleted[r]));
    for (std::size_t i = 0; i < n; ++i) EXPECT_NEAR(found[r * n + i], expected[i], 1e-5) << r << ' ' << i;
  }
  EXPECT_TRUE(std::equal(&weights[4 * n], &weights[4 * n] + n, &found[4 * n]));
}

TEST(Importance, WeightsThatAreNotFiniteKeepARowFromBeingRefitted) {
  thread_pool pool;
  const damped_hessian h(gram_of(inputs(60, n, 12), n), n, 0.4, pool, none);
  std::vector<float> w = random_numbers(2 * n, 13);
  w[1] = std::numeric_limits<float>::quiet_NaN();       // deleted
  w[n + 20] = std::numeric_limits<float>::quiet_NaN();  // kept
  std::vector<std::uint8_t> gone(2 * layout.atoms_per_row());
  gone[0] = gone[layout.atoms_per_row()] = 1;
  std::vector<float> found = w;
  EXPECT_EQ(row_refit(h, layout).apply(found, 2, gone, pool, none), (std::vector<std::uint8_t>{0, 1}));
  EXPECT_TRUE(std::equal(w.begin() + 4, w.begin() + n, found.begin() + 4));
  EXPECT_EQ(found[1], 0.0F);
  for (std::size_t i = 4; i < n; ++i) EXPECT_EQ(std::isfinite(found[n + i]), i != 20) << i;
}

// An atom of inputs that are never active is deleted without any loss, and nothing changes for it.
TEST(Importance, WhatIsNeverActiveIsNotMadeUpFor) {
  thread_pool pool;
  std::vector<float> x = inputs(60, n, 14);
  for (std::size_t t = 0; t < 60; ++t) std::fill_n(&x[t * n + 8], 4, 0.0F);
  const damped_hessian h(gram_of(x, n), n, 0.4, pool, none);
  const std::vector<float> w = random_numbers(n, 15);
  std::vector<std::uint8_t> gone = {0, 0, 1, 0, 0, 0};
  std::vector<float> found = w;
  row_refit(h, layout).apply(found, 1, gone, pool, none);
  for (std::size_t i = 0; i < n; ++i) EXPECT_EQ(found[i], i / 4 == 2 ? 0.0F : w[i]);
}

// With more columns than one thread solves alone, the others help.
TEST(Importance, ThreadsChangeNoBit) {
  constexpr std::size_t width = 1200;
  const atom_layout wide = {4, width, 50};
  std::vector<float> gram(width * (width + 1) / 2);
  const std::vector<float> noise = random_numbers(gram.size(), 16);
  for (std::size_t i = 0, at = 0; i < width; ++i) {
    for (std::size_t j = i; j < width; ++j, ++at) gram[at] = i == j ? 100.0F : noise[at];
  }
  const std::vector<float> w = random_numbers(wide.rows * width, 17);
  std::vector<std::uint8_t> gone(wide.atoms());
  for (std::size_t a = 0; a < gone.size(); ++a) gone[a] = (a % 24 < 11 || (a > 48 && a % 24 < 13)) ? 1 : 0;
  const auto run = [&](unsigned threads) {
    thread_pool pool(threads);
    const damped_hessian h(gram, width, 1.0, pool, none);
    std::vector<double> numbers(wide.atoms());
    atom_saliencies(h, wide, pool, none).compute(w, wide.rows, numbers.data(), pool, none);
    std::vector<float> row = w;
    row_refit(h, wide).apply(row, wide.rows, gone, pool, none);
    numbers.insert(numbers.end(), row.begin(), row.end());
    return numbers;
  };
  EXPECT_EQ(run(1), run(3));
}

// The first columns, of which one thread alone would solve the system, must be the same whoever solves it.
TEST(Importance, SystemsOfManyEquationsAreSolvedAlike) {
  constexpr std::size_t width = 1100;
  thread_pool pool(2);
  std::vector<float> gram(width * (width + 1) / 2);
  const std::vector<float> noise = random_numbers(gram.size(), 18);
  for (std::size_t i = 0, at = 0; i < width; ++i) {
    for (std::size_t j = i; j < width; ++j, ++at) gram[at] = i == j ? 100.0F : noise[at];
  }
  const damped_hessian h(gram, width, 1.0, pool, none);
  const atom_layout wide = {1, width, 10};
  const std::vector<float> w = random_numbers(width, 19);
  for (const std::size_t deleted : {540, 560}) {  // either side is more than 512
    std::vector<std::uint8_t> gone(wide.atoms());
    std::fill_n(gone.begin(), deleted / 10, std::uint8_t{1});
    std::vector<float> found = w;
    row_refit(h, wide).apply(found, 1, gone, pool, none);
    // The gradient of the loss is 0 for every weight that stays.
    for (std::size_t k = deleted; k < width; k += 37) {
      double gradient = 0.0;
      for (std::size_t j = 0; j < width; ++j) gradient += h.entry(k, j) * (double{found[j]} - w[j]);
      EXPECT_NEAR(gradient, 0.0, 1e-3) << deleted << ' ' << k;
    }
  }
}

TEST(Importance, GramMatricesAreChecked) {
  thread_pool pool;
  const auto state = [&](std::vector<float> gram, double ridge) {
    return state_of([&] { damped_hessian(std::move(gram), 2, ridge, pool, none); });
  };
  EXPECT_EQ(state({1, 0, 1}, 0.01), "no error");
  EXPECT_EQ(state({1, 0, std::nanf("")}, 0.01), "22003");
  EXPECT_EQ(state({1, 99, 1}, 0.01), "22003");
  EXPECT_EQ(state({1, 0}, 0.01), "22023");
  EXPECT_EQ(state({1, 0, 1}, 0.0), "22023");
  EXPECT_EQ(state({1, 0, 1}, std::nan("")), "22023");
}

// One that was rounded so that it is not positive definite is damped more.
TEST(Importance, AMatrixThatIsNotQuitePositiveIsDampedMore) {
  thread_pool pool;
  const damped_hessian h({1, 1.05F, 1}, 2, 0.01, pool, none);
  EXPECT_GT(h.ridge(), 0.05);
  EXPECT_LT(h.ridge(), 0.2);
}

TEST(Importance, StandardizedNumbersHaveMeanZeroAndDeviationOne) {
  const float infinite = std::numeric_limits<float>::infinity();
  std::vector<float> numbers = {1, 3, 5, 7, -infinite, infinite, std::nanf("")};
  standardize_importance(numbers);
  const double unit = std::sqrt(5.0);
  const std::vector<double> expected = {-3 / unit, -1 / unit, 1 / unit, 3 / unit, -10, 10, 10};
  for (std::size_t i = 0; i < numbers.size(); ++i) EXPECT_NEAR(numbers[i], expected[i], 1e-6);
  std::vector<float> alike = {2, 2};
  standardize_importance(alike);
  EXPECT_EQ(alike, (std::vector<float>{0, 0}));
}

TEST(Importance, TheLogarithmIsThatOfTheRootMeanSquare) {
  EXPECT_FLOAT_EQ(log_root_mean_square(std::vector<float>{3, -3, 3, -3}, 4), std::log(3.0F));
  EXPECT_FLOAT_EQ(log_root_mean_square(std::vector<float>{1e-30F, 1e-30F}, 2), std::log(1e-30F));
  EXPECT_EQ(log_root_mean_square(std::vector<float>{0, 0}, 2), -std::numeric_limits<float>::infinity());
}

}  // namespace
}  // namespace hartonomous
