// Copying rows with only some of their columns, and the refit of what is kept.
#include "hartonomous/structures.hpp"

#include "hartonomous/codec.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/thread_pool.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <random>

namespace hartonomous {
namespace {

no_interrupts none;

std::vector<float> random_row(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> row(count);
  for (float& w : row) w = normal(random);
  return row;
}

std::vector<std::byte> encoded(format f, span<const float> values) {
  std::vector<std::byte> blocks(bytes_of(f, values.size()));
  quantize(f, values, {}, blocks.data(), none);
  return blocks;
}

std::vector<float> decoded(format f, span<const std::byte> blocks, std::size_t count) {
  std::vector<float> values(count);
  dequantize(f, blocks, count, values.data(), none);
  return values;
}

std::vector<std::uint32_t> range(std::uint32_t first, std::uint32_t count) {
  std::vector<std::uint32_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

std::vector<std::byte> copied(column_copier& copier, span<const std::uint32_t> columns, format f) {
  std::vector<std::byte> out(bytes_of(f, columns.size()));
  copier.copy(columns, f, out.data(), none);
  return out;
}

std::string state_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const error& e) {
    return e.state();
  }
  return "no error";
}

TEST(Structures, PlainNumbersAreCopiedBitForBit) {
  std::vector<float> row = random_row(10, 1);
  row[3] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::byte> blocks = encoded(format::F32, row);
  const stored_run runs[] = {{format::F32, 0, 10, blocks}};
  column_copier copier(runs, 10);
  const std::vector<std::byte> out = copied(copier, std::vector<std::uint32_t>{0, 3, 9}, format::F32);
  const float expected[] = {row[0], row[3], row[9]};
  EXPECT_EQ(std::memcmp(out.data(), expected, sizeof expected), 0);
}

TEST(Structures, WholeBlocksAreCopiedAsTheyAre) {
  for (const format f : {format::Q8_0, format::Q4_K, format::Q6_K}) {
    const std::vector<std::byte> blocks = encoded(f, random_row(768, 2));
    const stored_run runs[] = {{f, 0, 768, blocks}};
    column_copier copier(runs, 768);
    std::vector<std::uint32_t> columns = range(0, 256);
    const std::vector<std::uint32_t> last = range(512, 256);
    columns.insert(columns.end(), last.begin(), last.end());
    const std::size_t block = blocks.size() / 3;
    std::vector<std::byte> expected(blocks.begin(), blocks.begin() + static_cast<std::ptrdiff_t>(block));
    expected.insert(expected.end(), blocks.end() - static_cast<std::ptrdiff_t>(block), blocks.end());
    EXPECT_EQ(copied(copier, columns, f), expected) << traits_of(f).name;
  }
}

// The last block of the target is one of the source, the first is not.
TEST(Structures, BlocksThatAreCutAreEncodedAgain) {
  const std::vector<std::byte> blocks = encoded(format::Q8_0, random_row(96, 3));
  const std::vector<float> values = decoded(format::Q8_0, blocks, 96);
  const stored_run runs[] = {{format::Q8_0, 0, 96, blocks}};
  column_copier copier(runs, 96);
  std::vector<std::uint32_t> columns = range(16, 32);
  const std::vector<std::uint32_t> last = range(64, 32);
  columns.insert(columns.end(), last.begin(), last.end());
  const std::vector<std::byte> out = copied(copier, columns, format::Q8_0);
  EXPECT_EQ(std::memcmp(out.data() + 34, blocks.data() + 68, 34), 0);
  const std::vector<float> first(values.begin() + 16, values.begin() + 48);
  const std::vector<std::byte> expected = encoded(format::Q8_0, first);
  EXPECT_EQ(std::memcmp(out.data(), expected.data(), 34), 0);
}

TEST(Structures, ColumnsOfMissingRunsAreZeros) {
  const std::vector<float> row = random_row(4, 4);
  const std::vector<std::byte> blocks = encoded(format::F32, row);
  const stored_run runs[] = {{format::F32, 4, 4, blocks}};
  column_copier copier(runs, 12);
  const std::vector<std::uint32_t> missing = {0, 3, 8, 11}, mixed = {1, 5, 9};
  EXPECT_EQ(copier.source_of(missing), nullptr);
  EXPECT_EQ(copier.source_of(mixed), &runs[0]);
  EXPECT_EQ(decoded(format::F32, copied(copier, mixed, format::F32), 3), (std::vector<float>{0, row[1], 0}));
}

TEST(Structures, RunsOfOtherFormatsAreConverted) {
  const std::vector<float> row = random_row(64, 5);
  const std::vector<std::byte> plain = encoded(format::F32, {row.data(), 32}),
                               blocks = encoded(format::Q8_0, {row.data() + 32, 32});
  const stored_run runs[] = {{format::F32, 0, 32, plain}, {format::Q8_0, 32, 32, blocks}};
  column_copier copier(runs, 64);
  const std::vector<std::byte> out = copied(copier, range(0, 64), format::Q8_0);
  EXPECT_EQ(std::memcmp(out.data(), encoded(format::Q8_0, {row.data(), 32}).data(), 34), 0);
  EXPECT_EQ(std::memcmp(out.data() + 34, blocks.data(), 34), 0);
}

TEST(Structures, CarriedFormatsAreCopiedByWholeBlocksOnly) {
  const std::vector<std::byte> blocks(2 * traits_of(format::Q8_1).block_bytes, std::byte{7});
  const stored_run runs[] = {{format::Q8_1, 0, 64, blocks}};
  column_copier copier(runs, 64);
  EXPECT_EQ(copied(copier, range(32, 32), format::Q8_1).size(), blocks.size() / 2);
  EXPECT_EQ(state_of([&] { copied(copier, range(31, 32), format::Q8_1); }), "0A000");
}

TEST(Structures, KeptNumbersAreChecked) {
  const auto state = [](const std::vector<std::int32_t>& kept) {
    return state_of([&] { check_kept(kept, 5, "rows"); });
  };
  EXPECT_EQ(state({0, 2, 4}), "no error");
  EXPECT_EQ(state({}), "22023");
  EXPECT_EQ(state({0, 5}), "22023");
  EXPECT_EQ(state({-1, 2}), "22023");
  EXPECT_EQ(state({1, 1}), "22023");
  EXPECT_EQ(state({2, 1}), "22023");
}

// ---- refit -------------------------------------------------------------------------------------------------------

// The upper triangle of the Gram matrix of tokens x n inputs.
std::vector<float> gram_of(const std::vector<float>& x, std::size_t tokens, std::size_t n) {
  std::vector<float> gram;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = i; j < n; ++j) {
      double sum = 0.0;
      for (std::size_t t = 0; t < tokens; ++t) sum += double{x[t * n + i]} * x[t * n + j];
      gram.push_back(static_cast<float>(sum));
    }
  }
  return gram;
}

constexpr std::size_t n = 6, tokens = 40;

// Column 5 of the inputs is the sum of columns 0 and 1, so that it can be dropped without any loss.
std::vector<float> dependent_inputs() {
  std::vector<float> x = random_row(tokens * n, 6);
  for (std::size_t t = 0; t < tokens; ++t) x[t * n + 5] = x[t * n] + x[t * n + 1];
  return x;
}

TEST(Structures, TheRefitMakesUpForColumnsThatOthersReplace) {
  thread_pool pool;
  const std::vector<std::uint32_t> kept = {0, 1, 2, 3, 4};
  const column_refit refit(gram_of(dependent_inputs(), tokens, n), n, kept, 1e-9, pool, none);
  const std::vector<float> w = random_row(3 * n, 7);
  std::vector<float> out(3 * kept.size());
  refit.apply(w.data(), 3, out.data());
  for (std::size_t r = 0; r < 3; ++r) {
    for (std::size_t k = 0; k < 5; ++k) {
      EXPECT_NEAR(out[r * 5 + k], w[r * n + k] + (k < 2 ? w[r * n + 5] : 0.0F), 1e-5);
    }
  }
}

double output_error(const std::vector<float>& x, const std::vector<float>& w, const std::vector<float>& part,
                    const std::vector<std::uint32_t>& kept) {
  double sum = 0.0;
  for (std::size_t t = 0; t < tokens; ++t) {
    double y = 0.0;
    for (std::size_t j = 0; j < n; ++j) y += double{w[j]} * x[t * n + j];
    for (std::size_t k = 0; k < kept.size(); ++k) y -= double{part[k]} * x[t * n + kept[k]];
    sum += y * y;
  }
  return sum;
}

TEST(Structures, NoOtherWeightsOfTheKeptColumnsAreBetter) {
  thread_pool pool;
  const std::vector<float> x = random_row(tokens * n, 8), w = random_row(n, 9);
  const std::vector<std::uint32_t> kept = {1, 2, 4};
  const column_refit refit(gram_of(x, tokens, n), n, kept, 1e-12, pool, none);
  std::vector<float> best(3);
  refit.apply(w.data(), 1, best.data());
  const double least = output_error(x, w, best, kept);
  for (std::size_t k = 0; k < 3; ++k) {
    for (const float step : {0.01F, -0.01F}) {
      std::vector<float> other = best;
      other[k] += step;
      EXPECT_GT(output_error(x, w, other, kept), least);
    }
  }
}

TEST(Structures, DroppedZerosChangeNothing) {
  thread_pool pool;
  const std::vector<std::uint32_t> kept = {0, 2, 3};
  std::vector<float> w = random_row(2 * n, 10);
  for (std::size_t r = 0; r < 2; ++r) {
    for (const std::size_t j : {1, 4, 5}) w[r * n + j] = 0.0F;
  }
  const column_refit refit(gram_of(random_row(tokens * n, 11), tokens, n), n, kept, 0.01, pool, none);
  std::vector<float> out(6);
  refit.apply(w.data(), 2, out.data());
  EXPECT_EQ(out, (std::vector<float>{w[0], w[2], w[3], w[n], w[n + 2], w[n + 3]}));
}

TEST(Structures, InputsWithoutEnergyChangeNothing) {
  thread_pool pool;
  const std::vector<float> w = random_row(n, 12);
  const std::vector<std::uint32_t> kept = {0, 5};
  const column_refit refit(std::vector<float>(n * (n + 1) / 2), n, kept, 0.01, pool, none);
  std::vector<float> out(2);
  refit.apply(w.data(), 1, out.data());
  EXPECT_EQ(out, (std::vector<float>{w[0], w[5]}));
}

TEST(Structures, ThreadsChangeNoBitOfTheRefit) {
  constexpr std::size_t width = 300;
  const std::vector<float> gram = gram_of(random_row(400 * width, 13), 400, width);
  std::vector<std::uint32_t> kept;
  for (std::uint32_t i = 0; i < width; ++i) {
    if (i % 4 != 1) kept.push_back(i);
  }
  const std::vector<float> w = random_row(5 * width, 14);
  std::vector<float> one(5 * kept.size()), four(5 * kept.size());
  {
    thread_pool pool;
    column_refit(gram, width, kept, 0.01, pool, none).apply(w.data(), 5, one.data());
  }
  {
    thread_pool pool(4);
    column_refit(gram, width, kept, 0.01, pool, none).apply(w.data(), 5, four.data());
  }
  EXPECT_EQ(one, four);
}

TEST(Structures, GramMatricesAreChecked) {
  thread_pool pool;
  const std::vector<std::uint32_t> kept = {0, 1};
  const auto state = [&](const std::vector<float>& gram, double damping) {
    return state_of([&] { column_refit(gram, 3, kept, damping, pool, none); });
  };
  EXPECT_EQ(state({1, 0, 0, 1, 0, 1}, 0.01), "no error");
  EXPECT_EQ(state({1, 0, 0, 1, 0, std::nanf("")}, 0.01), "22003");
  EXPECT_EQ(state({1, 9, 0, 1, 0, 1}, 0.01), "22003");
  EXPECT_EQ(state({1, 0, 0, 1, 0, 1}, 0.0), "22023");
  EXPECT_EQ(state({1, 0, 0, 1, 0, 1}, std::nan("")), "22023");
}

}  // namespace
}  // namespace hartonomous
