// The table of formats: ids, sizes, names.
#include "hartonomous/format.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <string>

#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

struct expected_format {
  std::uint32_t id;
  const char* name;
  std::uint32_t weights, bytes;
};

// ggml's numbers, written down a second time on purpose: files depend on them.
constexpr expected_format all[] = {
    {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},      {3, "Q4_1", 32, 20},
    {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},      {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},
    {10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},
    {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},   {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},   {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
    {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},        {29, "IQ1_M", 256, 56},
    {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},   {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},
    {40, "NVFP4", 64, 36},    {41, "Q1_0", 128, 18},    {42, "Q2_0", 64, 18},
};

TEST(Format, IdsNamesAndSizesAreThoseOfGgml) {
  for (const expected_format& e : all) {
    const format_traits* traits = find_format(e.id);
    ASSERT_NE(traits, nullptr) << e.name;
    EXPECT_EQ(static_cast<std::uint32_t>(traits->id), e.id);
    EXPECT_STREQ(traits->name, e.name);
    EXPECT_EQ(traits->block_weights, e.weights) << e.name;
    EXPECT_EQ(traits->block_bytes, e.bytes) << e.name;
    EXPECT_EQ(&traits_of(traits->id), traits);
    EXPECT_EQ(find_format(e.name, std::strlen(e.name)), traits);
  }
}

TEST(Format, UnknownIdsAndNamesAreNotFound) {
  for (const std::uint32_t id : {4u, 5u, 31u, 33u, 36u, 38u, 43u, 4294967295u})
    EXPECT_EQ(find_format(id), nullptr) << id;
  for (const char* name : {"", "Q4", "Q4_K_M", "Q4_KK", "F 16"})
    EXPECT_EQ(find_format(name, std::strlen(name)), nullptr);
  EXPECT_FALSE(traits_of(static_cast<format>(5)).readable);
}

TEST(Format, NamesIgnoreCaseAndAreBoundedByTheirLength) {
  EXPECT_EQ(find_format("q4_k", 4)->id, format::Q4_K);
  EXPECT_EQ(find_format("iq2_Xxs", 7)->id, format::IQ2_XXS);
  EXPECT_EQ(find_format("F16garbage", 3)->id, format::F16);
  EXPECT_EQ(find_format("Q4_K\0", 5), nullptr);
}

TEST(Format, BytesCountAPaddedLastBlock) {
  EXPECT_EQ(bytes_of(format::Q4_K, 0), 0u);
  EXPECT_EQ(bytes_of(format::Q4_K, 1), 144u);
  EXPECT_EQ(bytes_of(format::Q4_K, 256), 144u);
  EXPECT_EQ(bytes_of(format::Q4_K, 257), 288u);
  EXPECT_EQ(bytes_of(format::F32, 3), 12u);
}

TEST(Format, BytesThatDoNotFit63BitsAreRefused) {
  constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(bytes_of(format::I8, most), most);
  EXPECT_EQ(bytes_of(format::F32, most / 4), most / 4 * 4);
  for (const std::uint64_t count : {most / 4 + 1, std::numeric_limits<std::uint64_t>::max()}) {
    try {
      bytes_of(format::F32, count);
      FAIL() << count;
    } catch (const error& e) {
      EXPECT_STREQ(e.state(), "54000");
    }
  }
  // The padded block must not wrap around.
  EXPECT_EQ(bytes_of(format::TQ1_0, std::numeric_limits<std::uint64_t>::max()), ((std::uint64_t{1} << 56) * 54));
}

}  // namespace
}  // namespace hartonomous
