// The coordinate codecs: bytes, bounds, odd lengths, and what is refused.
#include "hartonomous/coordinates.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float largest = std::numeric_limits<float>::max();

template <class F>
std::string state_of(F&& f, std::string* message = nullptr) {
  try {
    f();
  } catch (const error& e) {
    if (message != nullptr) *message = e.what();
    return e.state();
  }
  return "none";
}

std::vector<int> numbers(const std::vector<std::byte>& bytes) {
  std::vector<int> all;
  for (const std::byte b : bytes) all.push_back(std::to_integer<int>(b));
  return all;
}

std::vector<std::byte> encode(const std::vector<float>& values, std::int64_t block_size = q4k_default_block) {
  no_interrupts none;
  return quantize_q4k(values, block_size, none);
}

std::vector<float> decode(const std::vector<std::byte>& bytes, std::int64_t length,
                          std::int64_t block_size = q4k_default_block) {
  no_interrupts none;
  check_q4k_length(bytes, length, block_size);
  std::vector<float> values(static_cast<std::size_t>(length));
  dequantize_q4k(bytes, length, block_size, values.data(), none);
  return values;
}

// ---- points ----------------------------------------------------------------------------------------------------

void expect_q8(float x, float y, float z, int qx, int qy, int qz) {
  const point_q8 bytes = quantize_q8(x, y, z);
  EXPECT_EQ(std::to_integer<int>(bytes[0]), qx) << x;
  EXPECT_EQ(std::to_integer<int>(bytes[1]), qy) << y;
  EXPECT_EQ(std::to_integer<int>(bytes[2]), qz) << z;
}

TEST(PointQ8, MapsTheRangesOntoBytes) {
  expect_q8(0, 0, -10, 0, 0, 0);
  expect_q8(100, 100, 10, 255, 255, 255);
  expect_q8(25.5f, 75.25f, 3.5f, 65, 192, 172);
  expect_q8(20, 40, -6, 51, 102, 51);
  expect_q8(50, 50, 0, 128, 128, 128);  // 127.5: half to even
  expect_q8(10, 30, 5, 26, 76, 191);    // 25.5, 76.5, 191.25
}

TEST(PointQ8, EveryByteComesBack) {
  for (int q = 0; q < 256; ++q) {
    const auto b = static_cast<std::byte>(q);
    const point p = dequantize_q8({b, b, b});
    expect_q8(p.x, p.y, p.z, q, q, q);
  }
}

TEST(PointQ8, IsOffByHalfAStepAtMost) {
  for (int i = 0; i <= 10000; ++i) {
    const float x = static_cast<float>(i) / 100.0f;
    const float z = static_cast<float>(i) / 500.0f - 10.0f;
    const point p = dequantize_q8(quantize_q8(x, 100.0f - x, z));
    ASSERT_NEAR(p.x, x, 50.0 / 255 + 1e-4);
    ASSERT_NEAR(p.y, 100.0f - x, 50.0 / 255 + 1e-4);
    ASSERT_NEAR(p.z, z, 10.0 / 255 + 1e-5);
  }
}

TEST(PointQ8, OutOfRangeNamesTheCoordinateAndItsValue) {
  std::string message;
  EXPECT_EQ(state_of([] { quantize_q8(100.5f, 0, 0); }, &message), "22003");
  EXPECT_EQ(message, "x coordinate 100.5 is out of range");
  EXPECT_EQ(state_of([] { quantize_q8(0, -0.1f, 0); }, &message), "22003");
  EXPECT_EQ(message, "y coordinate -0.1 is out of range");
  EXPECT_EQ(state_of([] { quantize_q8(0, 0, nan_value); }, &message), "22003");
  EXPECT_EQ(message, "z coordinate NaN is out of range");
  EXPECT_EQ(state_of([] { quantize_q8(0, 0, -infinity); }, &message), "22003");
  EXPECT_EQ(message, "z coordinate -Infinity is out of range");
  EXPECT_EQ(state_of([] { quantize_q8(std::nextafter(100.0f, 200.0f), 0, 0); }), "22003");
  EXPECT_EQ(state_of([] { quantize_q8(0, 0, 10.000001f); }), "22003");
}

TEST(PointF16, RoundTripsAndRefuses) {
  const point p = decode_point_f16(encode_point_f16({1.5f, -65504.0f, 0.1f}));
  EXPECT_EQ(p.x, 1.5f);
  EXPECT_EQ(p.y, -65504.0f);
  EXPECT_NEAR(p.z, 0.1f, 1e-4);
  EXPECT_EQ(std::to_integer<int>(encode_point_f16({1.0f, 0, 0})[1]), 0x3C);  // little-endian
  for (const float bad : {nan_value, infinity, -infinity, 65520.0f}) {
    EXPECT_EQ(state_of([bad] { encode_point_f16({0, bad, 0}); }), "22003");
  }
}

TEST(PointF32, RoundTripsAndRefuses) {
  const point p = decode_point_f32(encode_point_f32({1.0f / 3, -largest, -0.0f}));
  EXPECT_EQ(p.x, 1.0f / 3);
  EXPECT_EQ(p.y, -largest);
  EXPECT_TRUE(std::signbit(p.z));
  EXPECT_EQ(std::to_integer<int>(encode_point_f32({1.0f, 0, 0})[3]), 0x3F);
  for (const float bad : {nan_value, infinity}) {
    EXPECT_EQ(state_of([bad] { encode_point_f32({0, 0, bad}); }), "22003");
  }
}

// ---- runs ------------------------------------------------------------------------------------------------------

TEST(Q4k, HasTheSeedsLayout) {
  // scale 1.0, minimum 0.0, then 0 1, 2 15, 7 (0)
  EXPECT_EQ(numbers(encode({0, 1, 2, 15, 7})), (std::vector<int>{0, 0, 0x80, 0x3F, 0, 0, 0, 0, 0x01, 0x2F, 0x70}));
}

TEST(Q4k, RoundsHalfToEven) {
  // Scale 1: 0.5 -> 0, 1.5 -> 2, 2.5 -> 2.
  const std::vector<std::byte> bytes = encode({0, 15, 0.5f, 1.5f, 2.5f, 3.5f});
  EXPECT_EQ(numbers({bytes.begin() + 8, bytes.end()}), (std::vector<int>{0x0F, 0x02, 0x24}));
}

TEST(Q4k, EveryBlockStartsOnAByte) {
  for (const std::int64_t block : {1, 2, 3, 5, 7, 256}) {
    for (std::int64_t length = 0; length < 40; ++length) {
      std::vector<float> values;
      for (std::int64_t i = 0; i < length; ++i) values.push_back(std::sin(static_cast<float>(i)) * 40.0f);
      const std::vector<std::byte> bytes = encode(values, block);
      ASSERT_EQ(static_cast<std::int64_t>(bytes.size()), q4k_bytes(length, block));
      const std::vector<float> back = decode(bytes, length, block);
      for (std::size_t i = 0; i < values.size(); ++i) ASSERT_NEAR(back[i], values[i], 80.0 / 30 + 1e-4);
    }
  }
}

TEST(Q4k, BlocksOfOneAndConstantBlocksAreExact) {
  const std::vector<float> values = {0.1f, -largest, 1e-45f, 3.25f};
  EXPECT_EQ(decode(encode(values, 1), 4, 1), values);
  EXPECT_EQ(decode(encode(std::vector<float>(300, 0.1f)), 300), std::vector<float>(300, 0.1f));
  EXPECT_TRUE(std::signbit(decode(encode({-0.0f, -0.0f}), 2)[1]));
}

TEST(Q4k, EmptyIsEmpty) {
  EXPECT_TRUE(encode({}).empty());
  EXPECT_TRUE(decode({}, 0).empty());
  EXPECT_EQ(q4k_bytes(0, 256), 0);
}

TEST(Q4k, TheWholeRangeOfFloatStaysFinite) {
  const std::vector<float> values = {-largest, largest, 0.0f, largest / 2};
  const std::vector<float> back = decode(encode(values), 4);
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_TRUE(std::isfinite(back[i]));
    ASSERT_NEAR(double{back[i]} / largest, double{values[i]} / largest, 1.0 / 15 + 1e-6);
  }
}

TEST(Q4k, SubnormalRangesKeepTheirBounds) {
  std::vector<float> values;
  for (int i = 0; i < 23; ++i) values.push_back(static_cast<float>(i) * 1e-45f);
  for (const float back : decode(encode(values), 23)) {
    EXPECT_GE(back, 0.0f);
    EXPECT_LE(back, 3.2e-44f);
  }
}

TEST(Q4k, TheEncoderOneByOneGivesTheSameBytes) {
  std::vector<float> values(1000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * i % 97);
  q4k_encoder encoder(33);
  for (int round = 0; round < 2; ++round) {  // reusable after finish()
    for (const float value : values) encoder.append(value);
    EXPECT_EQ(encoder.finish(), encode(values, 33));
  }
}

// Straight from the definition; whatever encode() does in lanes and pieces, these are its bytes.
std::vector<std::byte> defined_block(const std::vector<float>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const float minimum = *low, scale = (*high - *low) / 15.0f;
  std::vector<std::byte> bytes(8 + (values.size() + 1) / 2);
  std::memcpy(bytes.data(), &scale, 4);
  std::memcpy(bytes.data() + 4, &minimum, 4);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float level = scale == 0.0f ? 0.0f : std::nearbyint((values[i] - minimum) / scale);
    bytes[8 + i / 2] |= static_cast<std::byte>(static_cast<int>(std::fmin(level, 15.0f)) << (i % 2 == 0 ? 4 : 0));
  }
  return bytes;
}

TEST(Q4k, BlocksOfEveryLengthAreAsDefined) {
  std::mt19937 generator(5);
  std::normal_distribution<float> normal;
  for (const float size : {1.0f, 1e-37f, 3e-42f, 1e37f}) {
    for (std::size_t length = 1; length < 300; ++length) {
      std::vector<float> values(length);
      for (float& value : values) value = normal(generator) * size;
      ASSERT_EQ(encode(values, 300), defined_block(values)) << size << ", " << length;
    }
  }
}

TEST(Q4k, TheSignOfZeroIsThatOfTheFirst) {
  std::mt19937 generator(6);
  for (int round = 0; round < 200; ++round) {
    std::vector<float> values(40);
    for (float& value : values) value = generator() % 2 == 0 ? 0.0f : -0.0f;
    if (round % 2 == 0) values[generator() % 40] = round % 4 == 0 ? 1.0f : -1.0f;
    ASSERT_EQ(encode(values), defined_block(values)) << round;
  }
}

TEST(Q4k, NanAndInfinityAreRefusedByPosition) {
  std::string message;
  EXPECT_EQ(state_of([] { encode({1, 2, nan_value}, 2); }, &message), "22003");
  EXPECT_EQ(message, "value at position 3 is NaN");
  EXPECT_EQ(state_of([] { encode({-infinity}); }, &message), "22003");
  EXPECT_EQ(message, "value at position 1 is infinite");
}

TEST(Q4k, BlockSizesAndLengthsAreChecked) {
  for (const std::int64_t bad : {std::int64_t{0}, std::int64_t{-1}, q4k_largest_block + 1}) {
    EXPECT_EQ(state_of([bad] { encode({1}, bad); }), "22023");
    EXPECT_EQ(state_of([bad] { decode({}, 0, bad); }), "22023");
  }
  EXPECT_EQ(state_of([] { encode({1}, q4k_largest_block); }), "none");
  EXPECT_EQ(state_of([] { decode({}, -1); }), "22023");
  const std::vector<std::byte> bytes = encode({1, 2, 3});
  EXPECT_EQ(state_of([&] { decode(bytes, 3); }), "none");
  EXPECT_EQ(state_of([&] { decode(bytes, 2); }), "22P03");
  EXPECT_EQ(state_of([&] { decode(bytes, 5); }), "22P03");
  EXPECT_EQ(state_of([&] { decode(bytes, 3, 2); }), "22P03");
  EXPECT_EQ(state_of([&] { check_q4k_length(bytes, std::numeric_limits<std::int64_t>::max(), 1); }), "54000");
  EXPECT_EQ(state_of([&] { check_q4k_length(bytes, std::numeric_limits<std::int64_t>::max(), 256); }), "22P03");
}

TEST(Q4k, DamagedScalesAreRefused) {
  std::vector<std::byte> bytes = encode({1, 2, 3});
  bytes[2] = std::byte{0x80};
  bytes[3] = std::byte{0x7F};  // infinity
  EXPECT_EQ(state_of([&] { decode(bytes, 3); }), "22P03");
}

}  // namespace
}  // namespace hartonomous
