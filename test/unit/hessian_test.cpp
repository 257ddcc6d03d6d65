// Quantizing against a Hessian: that it is better than without, that it is what the blocks say, and that it gives the
// same bytes on every instruction set and with any number of threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "countdown.hpp"
#include "hartonomous/codec.hpp"
#include "hartonomous/error.hpp"
#include "hessian/run.hpp"
#include "hessian_data.hpp"
#include "targets.hpp"

namespace hartonomous {
namespace {

using encoded = std::vector<std::byte>;

std::vector<format> formats_with_a_grid() {
  std::vector<format> found;
  for (const format_traits& one : all_formats()) {
    if (one.writable && hessian_detail::find_grid(one.id) != nullptr) found.push_back(one.id);
  }
  return found;
}

std::string name_of(const testing::TestParamInfo<format>& info) { return traits_of(info.param).name; }

class Hessian : public testing::TestWithParam<format> {};
INSTANTIATE_TEST_SUITE_P(AllFormats, Hessian, testing::ValuesIn(formats_with_a_grid()), name_of);

struct result {
  encoded bytes;
  double loss;
};

result quantized(format f, const std::vector<float>& weights, const input_hessian& h, unsigned sweeps = 5,
                 unsigned threads = 1, span<const std::uint8_t> missing = {}) {
  const std::size_t rows = weights.size() / h.columns();
  thread_pool pool(threads);
  no_interrupts none;
  result r = {encoded(rows * bytes_of(f, h.columns())), 0.0};
  r.loss = quantize_rows(f, weights, rows, h, {sweeps, missing, 0}, r.bytes.data(), pool, none);
  return r;
}

std::vector<float> decoded(format f, const encoded& bytes, std::size_t count) {
  std::vector<float> values(count);
  no_interrupts none;
  dequantize(f, bytes, count, values.data(), none);
  return values;
}

// Of blocks, computed from scratch.
double loss_of(format f, const encoded& bytes, std::vector<float> weights, const input_hessian& h) {
  const std::vector<float> values = decoded(f, bytes, weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] -= values[i];
  thread_pool pool;
  no_interrupts none;
  return hessian_energy(weights, weights.size() / h.columns(), h, pool, none);
}

encoded without_hessian(format f, const std::vector<float>& weights, const input_hessian& h, bool by_importance) {
  const std::size_t columns = h.columns(), rows = weights.size() / columns, bytes = bytes_of(f, columns);
  std::vector<float> importance;
  for (std::size_t k = 0; k < columns && by_importance; ++k) {
    const std::size_t panel = k / input_hessian::panel_columns, width = h.panel_width(panel);
    importance.push_back(h.hessian_panel(panel)[k * width + k % input_hessian::panel_columns]);
  }
  encoded out(rows * bytes);
  no_interrupts none;
  for (std::size_t row = 0; row < rows; ++row) {
    quantize(f, span<const float>(weights.data() + row * columns, columns), importance, out.data() + row * bytes, none);
  }
  return out;
}

std::string state_of(format f, const std::vector<float>& weights, std::size_t rows, const input_hessian& h) {
  encoded out(rows * bytes_of(f, h.columns() + 512));
  thread_pool pool;
  no_interrupts none;
  try {
    quantize_rows(f, weights, rows, h, {}, out.data(), pool, none);
  } catch (const error& e) {
    return e.state();
  }
  return "no error";
}

// ---- quality ---------------------------------------------------------------------------------------------------

TEST_P(Hessian, LosesLessThanImportance) {
  const input_hessian h = correlated_hessian(512, 1);
  const std::vector<float> weights = normal_numbers(40 * 512, 2, 0.02f);
  const double loss = quantized(GetParam(), weights, h).loss;
  const double by_importance = loss_of(GetParam(), without_hessian(GetParam(), weights, h, true), weights, h);
  EXPECT_LT(loss, 0.7 * by_importance);
}

TEST_P(Hessian, SweepsNeverRaiseTheLoss) {
  const input_hessian h = correlated_hessian(512, 3);
  const std::vector<float> weights = normal_numbers(20 * 512, 4, 0.02f);
  std::vector<double> losses;
  for (unsigned sweeps = 0; sweeps <= 6; ++sweeps) losses.push_back(quantized(GetParam(), weights, h, sweeps).loss);
  for (std::size_t i = 1; i < losses.size(); ++i) EXPECT_LE(losses[i], losses[i - 1] * (1.0 + 1e-5)) << i;
  EXPECT_LT(losses.back(), 0.98 * losses.front());
}

TEST_P(Hessian, TellsTheLossOfItsBlocks) {
  const input_hessian h = correlated_hessian(512, 5);
  const std::vector<float> weights = normal_numbers(9 * 512, 6, 0.02f);
  const result r = quantized(GetParam(), weights, h);
  EXPECT_NEAR(r.loss, loss_of(GetParam(), r.bytes, weights, h), 1e-3 * r.loss);
}

// The reversed matrix has no reversed one itself, so that quantizing by it shows what one order gives alone.
TEST_P(Hessian, TakesTheBetterOrderForEachRow) {
  constexpr std::size_t columns = 256, rows = 40;
  const input_hessian h = correlated_hessian(columns, 31);
  const std::vector<float> weights = normal_numbers(rows * columns, 32, 0.02f);
  const std::vector<float> mirrored(weights.rbegin(), weights.rend());  // the last row first
  ASSERT_NE(h.reversed(), nullptr);
  ASSERT_EQ(h.reversed()->reversed(), nullptr);
  const std::vector<float> both = decoded(GetParam(), quantized(GetParam(), weights, h).bytes, weights.size());
  std::vector<float> one = decoded(GetParam(), quantized(GetParam(), mirrored, *h.reversed()).bytes, weights.size());
  std::reverse(one.begin(), one.end());
  thread_pool pool;
  no_interrupts none;
  std::size_t better = 0, equal = 0;
  for (std::size_t row = 0; row < rows; ++row) {
    std::vector<float> of_both(columns), of_one(columns);
    for (std::size_t k = 0; k < columns; ++k) {
      const std::size_t at = row * columns + k;
      of_both[k] = weights[at] - both[at];
      of_one[k] = weights[at] - one[at];
    }
    const double least = hessian_energy(of_both, 1, h, pool, none), other = hessian_energy(of_one, 1, h, pool, none);
    EXPECT_LE(least, other * (1.0 + 1e-4)) << row;
    ++(of_both == of_one ? equal : better);
  }
  EXPECT_GT(better, rows / 5);
  EXPECT_GT(equal, rows / 5);
}

TEST(HessianOfLongRows, HasOneOrder) {
  EXPECT_NE(correlated_hessian(1024, 33).reversed(), nullptr);
  EXPECT_EQ(correlated_hessian(1280, 33).reversed(), nullptr);
}

// ---- blocks ----------------------------------------------------------------------------------------------------

// `rows` rows through the steps of one instruction set.
result run_with(const hessian_detail::kernels& steps, format f, const std::vector<float>& weights,
                const input_hessian& h, std::vector<float>* values = nullptr) {
  const std::size_t rows = weights.size() / h.columns();
  thread_pool pool;
  no_interrupts none;
  result r = {encoded(rows * bytes_of(f, h.columns())), 0.0};
  if (values != nullptr) values->resize(weights.size());
  r.loss = hessian_detail::run(steps, *hessian_detail::find_grid(f), h, weights, rows, {2, {}, 0}, r.bytes.data(),
                               values != nullptr ? values->data() : nullptr, pool, none);
  return r;
}

// Rows of many kinds.
std::vector<float> assorted_rows(std::size_t columns) {
  std::vector<float> weights = normal_numbers(14 * columns, 8, 0.02f);
  const auto row = [&](std::size_t i) { return weights.data() + i * columns; };
  for (std::size_t k = 0; k < columns; ++k) {
    row(1)[k] = 0.0f;
    row(2)[k] = 0.75f;
    row(3)[k] = -0.75f;
    row(4)[k] = k % 2 == 0 ? 1.0f : -1.0f;
    row(5)[k] = std::fabs(row(5)[k]);
    row(6)[k] = -std::fabs(row(6)[k]);
    row(7)[k] *= 2e5f;
    row(8)[k] *= 1e-6f;
    row(9)[k] *= 1e-30f;
    row(10)[k] = k == columns / 2 ? 3.0f : 0.0f;
    row(11)[k] = k < columns / 2 ? 0.0f : row(11)[k];
    row(12)[k] = k % 40 == 0 ? row(12)[k] * 100.0f : row(12)[k];
    row(13)[k] = 1e-38f * static_cast<float>(k % 3);
  }
  return weights;
}

TEST_P(Hessian, BlocksMeanWhatItTookThemToMean) {
  const input_hessian h = correlated_hessian(512, 7);
  const std::vector<float> weights = assorted_rows(512);
  std::vector<float> values;
  const result r = run_with(hessian_detail::best_kernels(), GetParam(), weights, h, &values);
  const std::vector<float> meant = decoded(GetParam(), r.bytes, weights.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::memcmp(&values[i], &meant[i], sizeof(float)) == 0) continue;
    ASSERT_TRUE(values[i] == 0.0f && meant[i] == 0.0f) << i << ' ' << values[i] << ' ' << meant[i];
  }
}

TEST_P(Hessian, GivesTheBytesOfPortableCodeOnEveryTarget) {
  const input_hessian h = correlated_hessian(512, 9);
  const std::vector<float> weights = assorted_rows(512);
  const result portable = run_with(hessian_detail::portable_kernels(), GetParam(), weights, h);
  for_each_target([&] {
    const result r = run_with(hessian_detail::best_kernels(), GetParam(), weights, h);
    EXPECT_EQ(r.bytes, portable.bytes);
    EXPECT_DOUBLE_EQ(r.loss, portable.loss);
  });
}

TEST_P(Hessian, RowsDoNotInfluenceEachOther) {
  constexpr std::size_t columns = 256;
  const input_hessian h = correlated_hessian(columns, 10);
  const std::vector<float> weights = assorted_rows(columns);
  const encoded all = quantized(GetParam(), weights, h).bytes;
  const std::size_t bytes = bytes_of(GetParam(), columns);
  for (std::size_t row = 0; row < weights.size() / columns; ++row) {
    const std::vector<float> one(weights.begin() + static_cast<std::ptrdiff_t>(row * columns),
                                 weights.begin() + static_cast<std::ptrdiff_t>((row + 1) * columns));
    EXPECT_EQ(std::memcmp(quantized(GetParam(), one, h).bytes.data(), all.data() + row * bytes, bytes), 0) << row;
  }
}

TEST_P(Hessian, ThreadsDoNotMatter) {
  const input_hessian h = correlated_hessian(256, 11);
  const std::vector<float> weights = normal_numbers(150 * 256, 12, 0.02f);
  const result one = quantized(GetParam(), weights, h, 2, 1);
  for (const unsigned threads : {2u, 5u}) {
    const result many = quantized(GetParam(), weights, h, 2, threads);
    EXPECT_EQ(many.bytes, one.bytes);
    EXPECT_EQ(many.loss, one.loss);
  }
}

// ---- unusual rows ----------------------------------------------------------------------------------------------

TEST_P(Hessian, KeepsZeroRows) {
  const input_hessian h = correlated_hessian(256, 13);
  const std::vector<float> weights(2 * 256, 0.0f);
  const result r = quantized(GetParam(), weights, h);
  EXPECT_EQ(r.loss, 0.0);
  for (const float value : decoded(GetParam(), r.bytes, weights.size())) EXPECT_EQ(value, 0.0f);
}

TEST_P(Hessian, KeepsNumbersFiniteWhateverTheRow) {
  const input_hessian h = correlated_hessian(512, 14);
  const std::vector<float> weights = assorted_rows(512);
  const result r = quantized(GetParam(), weights, h);
  EXPECT_TRUE(std::isfinite(r.loss));
  for (const float value : decoded(GetParam(), r.bytes, weights.size())) ASSERT_TRUE(std::isfinite(value));
}

TEST_P(Hessian, RoundsWithoutCorrelationsAboutAsWellAsImportance) {
  const input_hessian h = hessian_of(std::vector<double>(256 * 256, 0.0), 256);
  const std::vector<float> weights = normal_numbers(30 * 256, 15, 0.02f);
  const double alone = loss_of(GetParam(), without_hessian(GetParam(), weights, h, false), weights, h);
  EXPECT_LT(quantized(GetParam(), weights, h).loss, 1.02 * alone);
}

TEST_P(Hessian, RefusesWhatTheFormatCannotHold) {
  const input_hessian h = correlated_hessian(256, 16);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity(), 1e9f}) {
    std::vector<float> weights = normal_numbers(3 * 256, 17, 0.02f);
    weights[2 * 256 + 5] = bad;
    EXPECT_EQ(state_of(GetParam(), weights, 3, h), "22003") << bad;
  }
  if (GetParam() == format::Q6_K || GetParam() == format::IQ4_XS) return;  // scales of sub-blocks hold all the rest
  std::vector<float> huge = normal_numbers(256, 17, 0.02f);
  for (float& one : huge) one *= 4e9f;
  EXPECT_EQ(state_of(GetParam(), huge, 1, h), "22003");
}

TEST_P(Hessian, RefusesRowsThatAreNotWholeBlocks) {
  const input_hessian h = correlated_hessian(300, 18);
  EXPECT_EQ(state_of(GetParam(), normal_numbers(300, 19, 0.02f), 1, h), "22023");
}

TEST(HessianArguments, AreChecked) {
  const input_hessian h = correlated_hessian(256, 20);
  const std::vector<float> weights = normal_numbers(2 * 256, 21, 0.02f);
  EXPECT_EQ(state_of(format::Q4_K, weights, 3, h), "22023");
  EXPECT_EQ(state_of(format::Q8_1, weights, 2, h), "0A000");
  std::vector<float> bad = weights;
  bad[256 + 5] = std::numeric_limits<float>::quiet_NaN();
  try {
    quantized(format::Q4_K, bad, h);
    ADD_FAILURE();
  } catch (const error& e) {
    EXPECT_STREQ(e.what(), "weight in row 2, column 6 is NaN for format Q4_K");
  }
}

TEST(HessianOfNoRows, IsNothing) {
  const input_hessian h = correlated_hessian(256, 22);
  EXPECT_EQ(quantized(format::Q4_K, {}, h).loss, 0.0);
}

// ---- missing blocks --------------------------------------------------------------------------------------------

TEST_P(Hessian, MissingBlocksStayZeroAndOthersMakeUpForThem) {
  constexpr std::size_t columns = 512, rows = 20;
  const input_hessian h = correlated_hessian(columns, 27);
  std::vector<float> weights = normal_numbers(rows * columns, 28, 0.02f);
  const std::size_t block = traits_of(GetParam()).block_weights, blocks = columns / block;
  std::vector<std::uint8_t> missing(rows * blocks);
  for (std::size_t b = 0; b < missing.size(); b += 3) {
    missing[b] = 1;
    std::fill_n(weights.begin() + static_cast<std::ptrdiff_t>(b * block), block, 0.0f);
  }
  const result r = quantized(GetParam(), weights, h, 5, 1, missing);
  const std::vector<float> values = decoded(GetParam(), r.bytes, weights.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (missing[i / block] != 0) {
      ASSERT_EQ(values[i], 0.0f) << i;
    }
  }
  EXPECT_NEAR(r.loss, loss_of(GetParam(), r.bytes, weights, h), 1e-3 * r.loss);
  EXPECT_LT(r.loss, 0.8 * loss_of(GetParam(), without_hessian(GetParam(), weights, h, true), weights, h));
}

TEST(HessianMissingBlocks, AreOneForEachBlock) {
  const input_hessian h = correlated_hessian(256, 29);
  const std::vector<std::uint8_t> missing(3);
  EXPECT_THROW(quantized(format::Q4_K, normal_numbers(2 * 256, 30, 0.02f), h, 1, 1, missing), error);
}

// ---- formats without a choice ----------------------------------------------------------------------------------

TEST(HessianOfFormatsWithoutChoice, IsQuantize) {
  const input_hessian h = correlated_hessian(256, 23);
  const std::vector<float> weights = normal_numbers(5 * 256, 24, 0.02f);
  for (const format f : {format::F16, format::BF16, format::F32}) {
    const result r = quantized(f, weights, h);
    EXPECT_EQ(r.bytes, without_hessian(f, weights, h, false)) << traits_of(f).name;
    EXPECT_NEAR(r.loss, loss_of(f, r.bytes, weights, h), 1e-12);
  }
}

// ---- interrupts ------------------------------------------------------------------------------------------------

TEST(HessianInterrupts, AreCheckedInEveryPhase) {
  const input_hessian h = correlated_hessian(512, 25);
  const std::vector<float> weights = normal_numbers(40 * 512, 26, 0.02f);
  encoded out(40 * bytes_of(format::Q4_K, 512));
  for (const unsigned threads : {1u, 3u}) {
    thread_pool pool(threads);
    countdown all;
    quantize_rows(format::Q4_K, weights, 40, h, {}, out.data(), pool, all);
    EXPECT_GT(all.checks(), 20);
    for (const int stop : {1, all.checks() / 4, all.checks() / 2, 10}) {
      countdown stopping(stop);
      EXPECT_THROW(quantize_rows(format::Q4_K, weights, 40, h, {}, out.data(), pool, stopping), std::domain_error);
    }
  }
}

TEST(HessianMemory, IsEstimated) {
  EXPECT_EQ(input_hessian::bytes(4096), 4u * (4096u * 4096u + 4096u * (4096u + 256u) / 2u));
  EXPECT_EQ(input_hessian::bytes(512), 2u * 4u * (512u * 512u + 512u * (512u + 256u) / 2u));
  EXPECT_GT(input_hessian::work_bytes(4096), 8u * 4096u * 4096u);
  EXPECT_GT(quantize_rows_work_bytes(4096, 4096), std::size_t{1} << 25);
  EXPECT_LT(quantize_rows_work_bytes(4096, 4096), std::size_t{1} << 27);
}

}  // namespace
}  // namespace hartonomous
