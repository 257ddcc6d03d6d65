// Vector codecs against the scalar ones, to the bit, on every instruction set this processor has: numbers and blocks
// of all kinds, the ugly ones above all.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "hartonomous/codec.hpp"
#include "hartonomous/half.hpp"
#include "targets.hpp"

namespace hartonomous {
namespace {

constexpr std::size_t super = 256;
// Not a multiple of any number of lanes: the last group is never full.
constexpr std::size_t blocks = 37;

std::string name_of(const testing::TestParamInfo<format>& info) { return traits_of(info.param).name; }

class VectorCodec : public testing::TestWithParam<format> {};
INSTANTIATE_TEST_SUITE_P(AllFormats, VectorCodec, testing::ValuesIn(readable_formats()), name_of);

using generator = std::mt19937_64;
using half_detail::float_of;

float normal(generator& g) { return std::normal_distribution<float>(0.0f, 0.02f)(g); }

// A multiple of a half below `most` halves, or one of its neighbours.
float near_half(generator& g, std::uint64_t most) {
  const float tie = static_cast<float>(g() % (2 * most - 1)) * 0.5f - static_cast<float>(most - 1) * 0.5f;
  return g() % 3 == 0 ? tie : std::nextafter(tie, g() % 2 != 0 ? 1e3f : -1e3f);
}

// One kind of numbers for a block each, by turns.
struct kind {
  const char* name;
  std::function<float(generator&, std::size_t)> draw;
};

const std::vector<kind>& kinds() {
  static const auto* const all = new std::vector<kind>{
      {"normal", [](generator& g, std::size_t) { return normal(g); }},
      {"zero", [](generator&, std::size_t) { return 0.0f; }},
      {"negative zero", [](generator& g, std::size_t) { return g() % 2 != 0 ? -0.0f : 0.0f; }},
      {"constant", [](generator&, std::size_t) { return -0.75f; }},
      {"positive", [](generator& g, std::size_t) { return std::fabs(normal(g)) + 0.1f; }},
      {"negative", [](generator& g, std::size_t) { return -std::fabs(normal(g)); }},
      {"sparse", [](generator& g, std::size_t) { return g() % 7 == 0 ? normal(g) : 0.0f; }},
      {"one number", [](generator&, std::size_t i) { return i % 32 == 13 ? -3.0f : 0.0f; }},
      {"heavy tails", [](generator& g, std::size_t) { return normal(g) / (normal(g) + 1e-3f); }},
      {"ties", [](generator& g, std::size_t) { return static_cast<float>(g() % 31) * 0.5f - 7.0f; }},
      {"equal magnitudes", [](generator& g, std::size_t) { return g() % 2 != 0 ? 1.5f : -1.5f; }},
      {"ramp", [](generator&, std::size_t i) { return static_cast<float>(i % super) / 255.0f; }},
      {"positive and zeros of either sign",
       [](generator& g, std::size_t) {
         const float magnitude = g() % 4 == 0 ? 0.0f : std::fabs(normal(g));
         return magnitude == 0.0f && g() % 2 != 0 ? -magnitude : magnitude;
       }},
      {"halves of 127", [](generator& g, std::size_t i) { return i % 32 == 0 ? 127.0f : near_half(g, 254); }},
      {"halves of 8", [](generator& g, std::size_t i) { return i % 32 == 5 ? -8.0f : near_half(g, 16); }},
      {"halves of 16", [](generator& g, std::size_t i) { return i % 32 == 31 ? 16.0f : near_half(g, 32); }},
      {"large", [](generator& g, std::size_t) { return normal(g) * 1e5f; }},
      {"tiny", [](generator& g, std::size_t) { return normal(g) * 1e-13f; }},
      {"tinier", [](generator& g, std::size_t) { return normal(g) * 1e-30f; }},
      {"subnormal scale", [](generator& g, std::size_t) { return normal(g) * 5e-36f; }},
      {"scale without a reciprocal", [](generator& g, std::size_t) { return normal(g) * 1e-36f; }},
      {"subnormal", [](generator& g, std::size_t) { return normal(g) * 1e-38f; }},
      {"least", [](generator& g, std::size_t) { return std::numeric_limits<float>::denorm_min() * (g() % 3); }},
      {"mixed magnitudes",
       [](generator& g, std::size_t i) { return normal(g) * std::pow(10.0f, -static_cast<float>(i / 32 % 8) * 3); }},
      {"two clusters", [](generator& g, std::size_t) { return (g() % 2 != 0 ? 1.0f : -1.0f) + 1e-6f * normal(g); }},
      {"any bits", [](generator& g, std::size_t) {
         const float value = float_of(static_cast<std::uint32_t>(g()));
         return std::fabs(value) < 60000.0f ? value : 1.0f;
       }}};
  return *all;
}

// Blocks of one kind after another, then blocks that mix kinds.
std::vector<float> numbers(generator& g) {
  std::vector<float> values;
  for (std::size_t block = 0; block < blocks; ++block) {
    for (std::size_t i = 0; i < super; ++i) {
      const std::size_t k = block < kinds().size() ? block : (block * 5 + i / 16) % kinds().size();
      values.push_back(kinds()[k].draw(g, i));
    }
  }
  return values;
}

struct weighing {
  const char* name;
  std::function<float(generator&, std::size_t)> draw;  // by position
};

const std::vector<weighing>& weighings() {
  static const auto* const all = new std::vector<weighing>{
      {"uneven", [](generator& g, std::size_t) { return std::fabs(normal(g)) * 50.0f; }},
      {"ones", [](generator&, std::size_t) { return 1.0f; }},
      {"often zero", [](generator& g, std::size_t) { return g() % 3 == 0 ? 1.0f + normal(g) : 0.0f; }},
      {"blocks of zero", [](generator& g, std::size_t i) { return i / super % 3 == 1 ? 0.0f : std::fabs(normal(g)); }},
      {"short blocks of zero",
       [](generator& g, std::size_t i) { return i / 32 % 3 == 1 ? 0.0f : std::fabs(normal(g)); }},
      {"huge and tiny", [](generator& g, std::size_t) { return g() % 2 != 0 ? 1e12f : 1e-12f; }},
      {"subnormal", [](generator& g, std::size_t) { return std::fabs(normal(g)) * 1e-37f; }}};
  return *all;
}

using encoded = std::vector<std::byte>;

encoded quantized(const codec& with, const std::vector<float>& x, const float* importance, float row_mean_square) {
  const format_traits& traits = traits_of(with.id);
  encoded bytes(bytes_of(with.id, x.size()));
  with.quantize_blocks(x.data(), importance, row_mean_square, bytes.data(), x.size() / traits.block_weights);
  return bytes;
}

// The first blocks that differ, by number, so that a failure says something.
std::string differences(format f, const encoded& a, const encoded& b) {
  const std::size_t size = traits_of(f).block_bytes;
  std::string list;
  for (std::size_t at = 0; at < a.size() && list.size() < 80; at += size) {
    if (std::memcmp(a.data() + at, b.data() + at, size) != 0) list += " " + std::to_string(at / size);
  }
  return list;
}

TEST_P(VectorCodec, QuantizesAsTheScalarCodec) {
  const codec& scalar = *find_scalar_codec(GetParam());
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    generator g(seed);
    const std::vector<float> x = numbers(g);
    const encoded expected = quantized(scalar, x, nullptr, 0.0f);
    for_each_target([&] {
      EXPECT_EQ(differences(GetParam(), quantized(*find_codec(GetParam()), x, nullptr, 0.0f), expected), "");
    });
  }
}

TEST_P(VectorCodec, QuantizesByImportanceAsTheScalarCodec) {
  const codec& scalar = *find_scalar_codec(GetParam());
  generator g(11);
  for (const weighing& w : weighings()) {
    const std::vector<float> x = numbers(g);
    std::vector<float> importance(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) importance[i] = w.draw(g, i);
    const encoded expected = quantized(scalar, x, importance.data(), 4e-4f);
    for_each_target([&] {
      const encoded bytes = quantized(*find_codec(GetParam()), x, importance.data(), 4e-4f);
      EXPECT_EQ(differences(GetParam(), bytes, expected), "") << w.name;
    });
  }
}

// By importance of all magnitudes, the fit to a few large numbers among tiny ones may put the minimum just below the
// largest: what follows is out of the range in which vectors round as the scalar code does.
TEST_P(VectorCodec, QuantizesWhereFitsStray) {
  const codec& scalar = *find_scalar_codec(GetParam());
  generator g(12);
  std::vector<float> x(200 * super), importance(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = -std::fabs(normal(g)) * (i % 32 < 3 ? 50.0f : 5e-5f);
    importance[i] = g() % 4 == 0 ? 0.0f : std::pow(10.0f, static_cast<float>(g() % 200) * 0.1f - 10.0f);
  }
  const encoded expected = quantized(scalar, x, importance.data(), 4e-4f);
  for_each_target([&] {
    EXPECT_EQ(differences(GetParam(), quantized(*find_codec(GetParam()), x, importance.data(), 4e-4f), expected), "");
  });
}

TEST_P(VectorCodec, TakesAnyNumberOfBlocks) {
  const codec& scalar = *find_scalar_codec(GetParam());
  generator g(5);
  for (std::size_t count = 0; count <= 35; ++count) {
    std::vector<float> x(count * traits_of(GetParam()).block_weights);
    for (float& value : x) value = normal(g);
    const encoded expected = quantized(scalar, x, nullptr, 0.0f);
    for_each_target([&] { EXPECT_EQ(quantized(*find_codec(GetParam()), x, nullptr, 0.0f), expected) << count; });
  }
}

// Every sign and exponent, with mantissas about the ties of both 16-bit formats; NaN with many payloads among them.
std::vector<float> floats_of_all_exponents() {
  std::vector<float> values;
  for (std::uint32_t upper = 0; upper < 512; ++upper) {
    for (const std::uint32_t tie :
         {0x0000u, 0x0FFFu, 0x1000u, 0x1001u, 0x2FFFu, 0x3000u, 0x3001u, 0x7FFFu, 0x8000u, 0x8001u, 0x17FFFu, 0x18000u,
          0x18001u, 0x200000u, 0x400000u, 0x7FEFFFu, 0x7FF000u, 0x7F8000u, 0x7FFFFFu}) {
      for (std::uint32_t low = 0; low < 3; ++low) values.push_back(float_of(upper << 23 | ((tie + low) & 0x7FFFFFu)));
    }
  }
  generator g(3);
  for (int i = 0; i < 2000000; ++i) values.push_back(float_of(static_cast<std::uint32_t>(g())));
  return values;
}

TEST(VectorCodec, NarrowsEveryKindOfFloat) {
  const std::vector<float> values = floats_of_all_exponents();
  for (const format f : {format::F16, format::BF16}) {
    const encoded expected = quantized(*find_scalar_codec(f), values, nullptr, 0.0f);
    for_each_target([&] { EXPECT_EQ(differences(f, quantized(*find_codec(f), values, nullptr, 0.0f), expected), ""); });
  }
}

std::vector<float> dequantized(const codec& with, const encoded& bytes, std::size_t count) {
  std::vector<float> values(count * traits_of(with.id).block_weights);
  with.dequantize_blocks(bytes.data(), values.data(), count);
  return values;
}

// Any bytes at all, scales that are NaN, infinite and subnormal among them.
TEST_P(VectorCodec, DequantizesAsTheScalarCodec) {
  const codec& scalar = *find_scalar_codec(GetParam());
  const format_traits& traits = traits_of(GetParam());
  for (const std::size_t count :
       {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{70001} / traits.block_weights}) {
    generator g(count);
    encoded bytes(count * traits.block_bytes);
    for (std::byte& b : bytes) b = static_cast<std::byte>(g());
    const std::vector<float> expected = dequantized(scalar, bytes, count);
    for_each_target([&] {
      const std::vector<float> values = dequantized(*find_codec(GetParam()), bytes, count);
      ASSERT_EQ(values.size(), expected.size());
      EXPECT_EQ(std::memcmp(values.data(), expected.data(), values.size() * sizeof(float)), 0) << count;
    });
  }
}

TEST(VectorCodec, WidensEveryHalf) {
  constexpr std::size_t count = 65536;
  encoded bytes(2 * count);
  for (std::size_t i = 0; i < count; ++i) {
    bytes[2 * i] = static_cast<std::byte>(i);
    bytes[2 * i + 1] = static_cast<std::byte>(i >> 8);
  }
  for (const format f : {format::F16, format::BF16}) {
    const std::vector<float> expected = dequantized(*find_scalar_codec(f), bytes, count);
    for_each_target([&] {
      const std::vector<float> values = dequantized(*find_codec(f), bytes, count);
      EXPECT_EQ(std::memcmp(values.data(), expected.data(), count * sizeof(float)), 0);
    });
  }
}

}  // namespace
}  // namespace hartonomous
