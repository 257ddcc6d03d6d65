// Rows that share their errors: the loss under both matrices is computed here in double, as it is defined.
#include <gtest/gtest.h>

#include <cmath>

#include "countdown.hpp"
#include "hartonomous/codec.hpp"
#include "hartonomous/error.hpp"
#include "hessian_data.hpp"

namespace hartonomous {
namespace {

constexpr std::size_t rows = 72, columns = 256;

struct problem {
  std::vector<float> weights = normal_numbers(rows * columns, 3, 0.05f);
  std::vector<double> inputs = correlated_gram(columns, 5), outputs = correlated_gram(rows, 11);
};

std::vector<std::byte> one_sided(format f, const std::vector<float>& weights, const input_hessian& hessian,
                                 const hessian_options& options = {}) {
  std::vector<std::byte> blocks(rows * bytes_of(f, columns));
  thread_pool pool;
  no_interrupts none;
  quantize_rows(f, weights, rows, hessian, options, blocks.data(), pool, none);
  return blocks;
}

std::vector<std::byte> two_sided(format f, const std::vector<float>& weights, const input_hessian& hessian,
                                 const input_hessian& outputs, unsigned sweeps = 2, unsigned threads = 1,
                                 const hessian_options& options = {}) {
  std::vector<std::byte> blocks(rows * bytes_of(f, columns));
  thread_pool pool(threads);
  no_interrupts none;
  quantize_rows_two_sided(f, weights, hessian, outputs, options, {sweeps, 32}, blocks.data(), pool, none);
  return blocks;
}

std::vector<float> values_of(format f, const std::vector<std::byte>& blocks) {
  std::vector<float> values(rows * columns);
  no_interrupts none;
  dequantize(f, blocks, values.size(), values.data(), none);
  return values;
}

// tr(A E H Eᵀ), with both matrices damped.
double loss(const problem& of, format f, const std::vector<std::byte>& blocks) {
  const std::vector<float> values = values_of(f, blocks);
  const auto damped = [](std::vector<double> m, std::size_t n) {
    double mean = 0.0;
    for (std::size_t i = 0; i < n; ++i) mean += m[i * n + i] / n;
    for (std::size_t i = 0; i < n; ++i) m[i * n + i] += 0.01 * mean;
    return m;
  };
  const std::vector<double> h = damped(of.inputs, columns), a = damped(of.outputs, rows);
  std::vector<double> e(rows * columns), eh(rows * columns);
  for (std::size_t i = 0; i < e.size(); ++i) e[i] = double{of.weights[i]} - double{values[i]};
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      for (std::size_t k = 0; k < columns; ++k) eh[i * columns + k] += e[i * columns + j] * h[j * columns + k];
    }
  }
  double sum = 0.0;
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t k = 0; k < rows; ++k) {
      for (std::size_t j = 0; j < columns; ++j) sum += a[i * rows + k] * eh[i * columns + j] * e[k * columns + j];
    }
  }
  return sum;
}

class TwoSided : public testing::TestWithParam<format> {};

TEST_P(TwoSided, LosesLessThanRowsOnTheirOwn) {
  const problem p;
  const format f = GetParam();
  const input_hessian hessian = hessian_of(p.inputs, columns), outputs = hessian_of(p.outputs, rows);
  const double alone = loss(p, f, one_sided(f, p.weights, hessian));
  const double fed = loss(p, f, two_sided(f, p.weights, hessian, outputs, 0));
  const double once = loss(p, f, two_sided(f, p.weights, hessian, outputs, 1));
  const double twice = loss(p, f, two_sided(f, p.weights, hessian, outputs, 2));
  RecordProperty(
      "ratios", std::to_string(fed / alone) + " " + std::to_string(once / alone) + " " + std::to_string(twice / alone));
  EXPECT_LT(fed, 0.9 * alone);
  EXPECT_LT(once, 0.9 * fed);
  EXPECT_LE(twice, once);
}

INSTANTIATE_TEST_SUITE_P(Formats, TwoSided, testing::Values(format::Q2_K, format::Q4_K, format::IQ4_NL),
                         [](const auto& info) { return std::string(traits_of(info.param).name); });

TEST(TwoSidedRows, AreOnTheirOwnWithoutCoupling) {
  const problem p;
  const input_hessian hessian = hessian_of(p.inputs, columns);
  std::vector<double> identity(rows * rows, 0.0);
  for (std::size_t i = 0; i < rows; ++i) identity[i * rows + i] = 1.0 + static_cast<double>(i);
  EXPECT_EQ(two_sided(format::Q4_K, p.weights, hessian, hessian_of(identity, rows)),
            one_sided(format::Q4_K, p.weights, hessian));
  EXPECT_EQ(two_sided(format::Q4_K, p.weights, hessian, hessian_of(std::vector<double>(rows * rows, 0.0), rows)),
            one_sided(format::Q4_K, p.weights, hessian));
}

TEST(TwoSidedRows, OfOutputsThatAreNeverActiveAreOnTheirOwn) {
  const problem p;  // output 7 is one
  const input_hessian hessian = hessian_of(p.inputs, columns), outputs = hessian_of(p.outputs, rows);
  const std::size_t bytes = bytes_of(format::Q4_K, columns);
  const std::vector<std::byte> alone = one_sided(format::Q4_K, p.weights, hessian);
  const std::vector<std::byte> together = two_sided(format::Q4_K, p.weights, hessian, outputs);
  const auto row = [&](const std::vector<std::byte>& of, std::size_t i) {
    return std::vector<std::byte>(of.begin() + i * bytes, of.begin() + (i + 1) * bytes);
  };
  EXPECT_EQ(row(together, 7), row(alone, 7));
  EXPECT_NE(row(together, 8), row(alone, 8));
}

TEST(TwoSidedRows, DoNotDependOnThreads) {
  const problem p;
  const input_hessian hessian = hessian_of(p.inputs, columns), outputs = hessian_of(p.outputs, rows);
  EXPECT_EQ(two_sided(format::Q3_K, p.weights, hessian, outputs, 2, 1),
            two_sided(format::Q3_K, p.weights, hessian, outputs, 2, 3));
}

TEST(TwoSidedRows, LeaveMissingBlocksEmpty) {
  problem p;
  const input_hessian hessian = hessian_of(p.inputs, columns), outputs = hessian_of(p.outputs, rows);
  std::vector<std::uint8_t> missing(rows * columns / 32, 0);
  for (std::size_t b = 0; b < missing.size(); b += 5) {
    missing[b] = 1;
    std::fill_n(p.weights.begin() + b * 32, 32, 0.0f);
  }
  const std::vector<float> values =
      values_of(format::Q4_0, two_sided(format::Q4_0, p.weights, hessian, outputs, 2, 1, {5, missing, 0}));
  for (std::size_t b = 0; b < missing.size(); ++b) {
    double energy = 0.0;
    for (std::size_t k = b * 32; k < (b + 1) * 32; ++k) energy += std::fabs(values[k]);
    EXPECT_EQ(energy == 0.0, missing[b] != 0) << b;
  }
}

TEST(TwoSidedRows, RoundWhatHasNoChoiceToTheNearest) {
  const problem p;
  const input_hessian hessian = hessian_of(p.inputs, columns), outputs = hessian_of(p.outputs, rows);
  EXPECT_EQ(two_sided(format::F16, p.weights, hessian, outputs), one_sided(format::F16, p.weights, hessian));
}

TEST(TwoSidedRows, RefuseOtherSizes) {
  const problem p;
  const input_hessian hessian = hessian_of(p.inputs, columns), outputs = hessian_of(p.outputs, rows);
  const auto state = [&](const input_hessian& of_outputs, std::size_t at_once) -> std::string {
    std::vector<std::byte> blocks(rows * bytes_of(format::Q4_K, columns));
    thread_pool pool;
    no_interrupts none;
    try {
      quantize_rows_two_sided(format::Q4_K, p.weights, hessian, of_outputs, {}, {1, at_once}, blocks.data(), pool,
                              none);
    } catch (const error& e) {
      return e.state();
    }
    return "00000";
  };
  EXPECT_EQ(state(outputs, 64), "00000");
  EXPECT_EQ(state(hessian, 64), "22023");
  EXPECT_EQ(state(outputs, 0), "22023");
  EXPECT_EQ(state(outputs, 48), "22023");
}

TEST(TwoSidedRows, StopAtAnyCheckForInterrupts) {
  const problem p;
  const input_hessian hessian = hessian_of(p.inputs, columns), outputs = hessian_of(p.outputs, rows);
  std::vector<std::byte> blocks(rows * bytes_of(format::Q2_K, columns));
  thread_pool pool;
  countdown counted;
  quantize_rows_two_sided(format::Q2_K, p.weights, hessian, outputs, {}, {1, 32}, blocks.data(), pool, counted);
  for (int at = 1; at < counted.checks(); at += counted.checks() / 12 + 1) {
    countdown stop(at);
    EXPECT_THROW(
        quantize_rows_two_sided(format::Q2_K, p.weights, hessian, outputs, {}, {1, 32}, blocks.data(), pool, stop),
        std::domain_error);
  }
}

}  // namespace
}  // namespace hartonomous
