// Root mean square, relative error, dot product.
#include "hartonomous/statistics.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "hartonomous/codec.hpp"
#include "hartonomous/error.hpp"
#include "targets.hpp"

namespace hartonomous {
namespace {

using floats = std::vector<float>;

TEST(Statistics, Rms) {
  EXPECT_EQ(rms(floats{}), 0.0);
  EXPECT_EQ(rms(floats{-3.0f}), 3.0);
  EXPECT_DOUBLE_EQ(rms(floats{3.0f, 4.0f}), std::sqrt(12.5));
  EXPECT_EQ(rms(floats(200003, 0.5f)), 0.5);
  // Squares of these overflow float.
  EXPECT_DOUBLE_EQ(rms(floats{1e30f, 1e30f}), double{1e30f});
  EXPECT_TRUE(std::isnan(rms(floats{1.0f, std::numeric_limits<float>::quiet_NaN()})));
}

TEST(Statistics, RelativeError) {
  EXPECT_EQ(relative_error(floats{}, floats{}), 0.0);
  EXPECT_EQ(relative_error(floats{0, 0}, floats{0, 0}), 0.0);
  EXPECT_EQ(relative_error(floats{0, 0}, floats{0, 1}), std::numeric_limits<double>::infinity());
  EXPECT_EQ(relative_error(floats{3, 4}, floats{3, 4}), 0.0);
  EXPECT_DOUBLE_EQ(relative_error(floats{3, 4}, floats{0, 0}), 1.0);
  EXPECT_DOUBLE_EQ(relative_error(floats{3, 4}, floats{3, 5}), 0.2);
}

TEST(Statistics, Dot) {
  EXPECT_EQ(dot(floats{}, floats{}), 0.0);
  EXPECT_EQ(dot(floats{1, 2, 3}, floats{4, -5, 6}), 12.0);
  floats count(100001), ones(100001, 1.0f);
  for (std::size_t i = 0; i < count.size(); ++i) count[i] = static_cast<float>(i);
  EXPECT_EQ(dot(count, ones), 100000.0 * 100001.0 / 2);
}

TEST(Statistics, LengthsMustAgree) {
  using function = double (*)(span<const float>, span<const float>);
  for (const function f : {function{dot}, function{relative_error}}) {
    try {
      f(floats{1, 2}, floats{1});
      FAIL();
    } catch (const error& e) {
      EXPECT_STREQ(e.state(), "2202E");
    }
  }
}

struct stopped {};

class refusing_interrupt final : public interrupt_checker {
 public:
  void check() override { throw stopped(); }
};

TEST(Statistics, CanBeInterrupted) {
  refusing_interrupt at_once;
  const floats one = {1};
  EXPECT_THROW(rms(run_of(one), at_once), stopped);
  float out = 0;
  EXPECT_THROW(matvec(run_of(one), one, &out, at_once), stopped);
}

// ---- every instruction set -------------------------------------------------------------------------------------

floats draw(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  floats values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

// The sum as statistics.hpp defines it.
template <class Term>
double defined_sum(std::size_t count, Term term) {
  double partial[16] = {};
  for (std::size_t i = 0; i < count; ++i) partial[i % 16] += term(i);
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) partial[i] += partial[i + half];
  }
  return partial[0];
}

TEST(Statistics, SumsAreTheSameOnEveryTarget) {
  for (const std::size_t count : {1u, 7u, 15u, 16u, 17u, 64u, 100u, 1039u, 2047u, 2048u, 2049u, 4129u, 70001u}) {
    const floats a = draw(count, 1), b = draw(count, 2);
    const double product = defined_sum(count, [&](std::size_t i) { return double{a[i]} * double{b[i]}; });
    const double squares = defined_sum(count, [&](std::size_t i) { return double{a[i]} * double{a[i]}; });
    const double distance = defined_sum(count, [&](std::size_t i) {
      const double difference = double{a[i]} - double{b[i]};
      return difference * difference;
    });
    for_each_target([&] {
      EXPECT_EQ(dot(a, b), product) << count;
      EXPECT_EQ(rms(a), std::sqrt(squares / static_cast<double>(count))) << count;
      EXPECT_EQ(relative_error(a, b), std::sqrt(distance / squares)) << count;
    });
  }
}

TEST(Statistics, PiecesOfAnyLengthAddUp) {
  const floats a = draw(1000, 3), b = draw(1000, 4);
  const double whole = dot(a, b);
  for (const std::size_t piece : {1u, 3u, 31u, 32u, 33u, 500u}) {
    running_sum sum;
    for (std::size_t at = 0; at < a.size(); at += piece) {
      sum.add_products(a.data() + at, b.data() + at, std::min(piece, a.size() - at));
    }
    EXPECT_EQ(sum.total(), whole) << piece;
    running_error error;
    for (std::size_t at = 0; at < a.size(); at += piece) {
      error.add(a.data() + at, b.data() + at, std::min(piece, a.size() - at));
    }
    EXPECT_EQ(error.relative(), relative_error(a, b)) << piece;
  }
}

// Products whose sum depends on every rounding and on their order, and squares that only a fused operation gets exact.
TEST(Statistics, RoundingIsTheSameOnEveryTarget) {
  std::mt19937 generator(9);
  const auto any_finite = [&] {
    for (;;) {
      const std::uint32_t bits = static_cast<std::uint32_t>(generator());
      float value = 0;
      std::memcpy(&value, &bits, sizeof value);
      if (std::isfinite(value)) return value;
    }
  };
  floats a(4099), b(4099);
  std::generate(a.begin(), a.end(), any_finite);
  std::generate(b.begin(), b.end(), any_finite);
  for (std::size_t i = 0; i < a.size(); i += 3) b[i] = std::nextafter(a[i], 0.0f) / 3.0f;
  const double product = defined_sum(a.size(), [&](std::size_t i) { return double{a[i]} * double{b[i]}; });
  const double size = defined_sum(a.size(), [&](std::size_t i) { return double{a[i]} * double{a[i]}; });
  const double distance = defined_sum(a.size(), [&](std::size_t i) {
    const double difference = double{a[i]} - double{b[i]};
    return difference * difference;
  });
  for_each_target([&] {
    EXPECT_EQ(dot(a, b), product);
    EXPECT_EQ(rms(a), std::sqrt(size / 4099));
    EXPECT_EQ(relative_error(a, b), std::sqrt(distance / size));
  });
}

std::uint64_t bits_of(double value) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// NaN at each place of a round, in either run, of any sign: always the one NaN.
TEST(Statistics, NanAndInfinityCarryThrough) {
  constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const std::uint64_t one_nan = bits_of(std::numeric_limits<double>::quiet_NaN());
  for_each_target([&] {
    for (std::size_t at = 0; at < 37; ++at) {
      const floats ones(37, 1.0f), zeros(37, 0.0f);
      for (const float bad : {nan_value, -nan_value}) {
        floats with = ones;
        with[at] = bad;
        EXPECT_EQ(bits_of(rms(with)), one_nan) << at;
        EXPECT_EQ(bits_of(dot(with, ones)), one_nan) << at;
        EXPECT_EQ(bits_of(dot(ones, with)), one_nan) << at;
        EXPECT_EQ(bits_of(relative_error(with, ones)), one_nan) << at;
        EXPECT_EQ(bits_of(relative_error(ones, with)), one_nan) << at;
        EXPECT_EQ(bits_of(relative_error(zeros, with)), one_nan) << at;
      }
      floats with = ones;
      with[at] = -infinity;
      EXPECT_EQ(rms(with), infinity) << at;
      EXPECT_EQ(dot(with, ones), -infinity) << at;
      EXPECT_EQ(bits_of(dot(with, zeros)), one_nan) << at;
      EXPECT_EQ(relative_error(ones, with), infinity) << at;
      EXPECT_EQ(bits_of(relative_error(with, ones)), one_nan) << at;
      EXPECT_EQ(bits_of(relative_error(with, with)), one_nan) << at;
    }
  });
}

std::vector<std::byte> encode(format f, const floats& values) {
  no_interrupts none;
  std::vector<std::byte> blocks(bytes_of(f, values.size()));
  quantize(f, values, {}, blocks.data(), none);
  return blocks;
}

floats decode(format f, const std::vector<std::byte>& blocks, std::size_t count) {
  no_interrupts none;
  floats values(count);
  dequantize(f, blocks, count, values.data(), none);
  return values;
}

TEST(Statistics, BlocksCountAsTheirFloats) {
  no_interrupts none;
  const floats a = draw(5000, 5), b = draw(5000, 6);
  for (const format f : {format::F16, format::Q8_0, format::Q4_K}) {
    const std::vector<std::byte> blocks = encode(f, a);
    const floats back = decode(f, blocks, a.size());
    const block_run run = {f, blocks, a.size()};
    EXPECT_EQ(rms(run, none), rms(back));
    EXPECT_EQ(dot(run, run_of(b), none), dot(back, b));
    EXPECT_EQ(relative_error(run_of(a), run, none), relative_error(a, back));
  }
  const std::vector<std::byte> unaligned = [&] {
    std::vector<std::byte> bytes(1 + a.size() * sizeof(float));
    std::memcpy(bytes.data() + 1, a.data(), bytes.size() - 1);
    return bytes;
  }();
  const block_run run = {format::F32, span<const std::byte>(unaligned).subspan(1, unaligned.size() - 1), a.size()};
  EXPECT_EQ(rms(run, none), rms(a));
}

// Rows of all lengths: within a piece, longer than one, and no whole number of blocks.
TEST(Statistics, MatrixTimesVector) {
  no_interrupts none;
  for (const auto& [rows, columns] : {std::pair{1u, 1u}, std::pair{3u, 5u}, std::pair{40u, 172u}, std::pair{300u, 32u},
                                      std::pair{7u, 4096u}, std::pair{5u, 2049u}, std::pair{100u, 1u}}) {
    const floats x = draw(columns, 7);
    for (const format f : {format::F32, format::Q8_0, format::Q4_K}) {
      const std::vector<std::byte> blocks = encode(f, draw(rows * columns, 8));
      const floats matrix = decode(f, blocks, rows * columns);
      for_each_target([&] {
        floats product(rows, -1.0f);
        matvec({f, blocks, matrix.size()}, x, product.data(), none);
        for (std::size_t i = 0; i < rows; ++i) {
          const span<const float> row(matrix.data() + i * columns, columns);
          ASSERT_EQ(product[i], static_cast<float>(dot(row, x))) << rows << " x " << columns << ", row " << i;
        }
      });
    }
  }
}

TEST(Statistics, MatrixTimesVectorIsRoundedToFloat) {
  no_interrupts none;
  constexpr float largest = std::numeric_limits<float>::max();
  const floats matrix = {largest, largest, largest, -largest, 1.0f, 0x1p-24f, 1.0f, 0x1.8p-24f};
  float out[4];
  matvec(run_of(matrix), floats{1.0f, 1.0f}, out, none);
  EXPECT_EQ(out[0], std::numeric_limits<float>::infinity());
  EXPECT_EQ(out[1], 0.0f);
  EXPECT_EQ(out[2], 1.0f);  // half way: to even
  EXPECT_EQ(out[3], 1.0f + 0x1p-23f);
}

TEST(Statistics, VectorsThatDoNotFit) {
  no_interrupts none;
  const floats six(6), four(4), nothing;
  float out[6];
  const auto state = [&](const floats& matrix, const floats& x) -> std::string {
    try {
      matvec(run_of(matrix), x, out, none);
    } catch (const error& e) {
      return e.state();
    }
    return "none";
  };
  EXPECT_EQ(state(six, four), "2202E");
  EXPECT_EQ(state(four, six), "2202E");
  EXPECT_EQ(state(six, nothing), "2202E");
  EXPECT_EQ(state(nothing, nothing), "none");
  EXPECT_EQ(state(nothing, six), "none");
}

}  // namespace
}  // namespace hartonomous
