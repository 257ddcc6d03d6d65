// Matrices as JSON: what is read, what is refused, and that numbers come back as they were.
#include "hartonomous/matrix_json.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>

#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

json_matrix parse(std::string_view json, std::size_t limit = 1000) {
  no_interrupts none;
  return parse_json_matrix(json, limit, limit, none);
}

std::string state_of(std::string_view json, std::size_t limit = 1000) {
  try {
    parse(json, limit);
  } catch (const error& e) {
    return e.state();
  }
  return "none";
}

TEST(MatrixJson, ReadsFlatArraysAndRows) {
  const json_matrix flat = parse(" [1, -2.5, 3e2] ");
  EXPECT_FALSE(flat.nested);
  EXPECT_EQ(flat.rows, 1u);
  EXPECT_EQ(flat.columns, 3u);
  EXPECT_EQ(flat.values, (std::vector<float>{1.0f, -2.5f, 300.0f}));
  const json_matrix rows = parse("[[1,2],[3,4],[5,6]]");
  EXPECT_TRUE(rows.nested);
  EXPECT_EQ(rows.rows, 3u);
  EXPECT_EQ(rows.columns, 2u);
  EXPECT_EQ(rows.values, (std::vector<float>{1, 2, 3, 4, 5, 6}));
}

TEST(MatrixJson, ReadsNothing) {
  EXPECT_EQ(parse("[]").values.size(), 0u);
  EXPECT_EQ(parse("[]").columns, 0u);
  EXPECT_EQ(parse("[[],[]]").rows, 2u);
  EXPECT_EQ(parse("[[],[]]").columns, 0u);
}

TEST(MatrixJson, RefusesWhatIsNoMatrix) {
  for (const char* bad : {"", "[", "[1,]", "1", "null", "{}", "[null]", "[true]", "[\"1\"]", "[{}]", "[[1],2]",
                          "[1,[2]]", "[[[1]]]", "[1] 2", "[NaN]", "[1e]", "{\"U\":[1]}"}) {
    EXPECT_EQ(state_of(bad), "22P02") << bad;
  }
  EXPECT_EQ(state_of("[[1,2],[3]]"), "22023");
  EXPECT_EQ(state_of("[[],[1]]"), "22023");
  EXPECT_EQ(state_of("[1,2,3]", 2), "54000");
  EXPECT_EQ(state_of("[1,2]", 2), "none");
}

TEST(MatrixJson, RefusesNumbersNoFloatHolds) {
  EXPECT_EQ(state_of("[3.4028235e38]"), "none");
  EXPECT_EQ(state_of("[1e39]"), "22003");
  EXPECT_EQ(state_of("[-1e39]"), "22003");
  EXPECT_EQ(state_of("[1e400]"), "22003");
  EXPECT_EQ(state_of("[123456789012345678901234567890123456789012]"), "22003");
  EXPECT_EQ(parse("[1e-400]").values[0], 0.0f);
}

TEST(MatrixJson, DeepNestingIsNoDeepRecursion) { EXPECT_EQ(state_of(std::string(1000000, '[')), "22P02"); }

TEST(MatrixJson, NumbersComeBackToTheBit) {
  std::mt19937 generator(3);
  std::vector<float> values(4096);
  for (float& value : values) {
    const std::uint32_t bits = generator();
    std::memcpy(&value, &bits, sizeof value);
    if (!(std::abs(value) <= std::numeric_limits<float>::max())) value = -0.0f;
  }
  no_interrupts none;
  std::string text;
  append_json_rows(text, values, 64, 64, none);
  const json_matrix back = parse_json_matrix(text, values.size(), values.size(), none);
  EXPECT_EQ(back.rows, 64u);
  EXPECT_EQ(std::memcmp(back.values.data(), values.data(), values.size() * sizeof(float)), 0);
  std::string flat;
  append_json_numbers(flat, span<const float>(values.data(), 3), none);
  EXPECT_EQ(std::count(flat.begin(), flat.end(), ','), 2);
}

TEST(MatrixJson, SpecialsHaveNoText) {
  no_interrupts none;
  std::string text;
  const std::vector<float> bad = {1.0f, std::numeric_limits<float>::quiet_NaN()};
  EXPECT_THROW(append_json_numbers(text, bad, none), error);
}

}  // namespace
}  // namespace hartonomous
