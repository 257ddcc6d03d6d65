// Codecs: the reference's bytes and floats, padding, and what is refused.
//
// golden/ holds 16 rows of 1024 floats of many kinds (normal, uniform, heavy-tailed, zero, constant, one-signed,
// cosine, outliers, tiny, large, half-empty, integer, ramp, log-normal) and what llama.cpp's portable build makes of
// them, without and with an importance for each column.
#include "hartonomous/codec.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "hartonomous/error.hpp"
#include "hartonomous/half.hpp"
#include "targets.hpp"

namespace hartonomous {
namespace {

constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr std::size_t rows = 16;
constexpr std::size_t columns = 1024;
constexpr std::size_t half_empty_row = 12;

format format_of(const std::string& name) { return find_format(name.data(), name.size())->id; }

std::vector<std::byte> read_golden(const std::string& name) {
  std::ifstream file(std::string(HARTONOMOUS_TEST_DIR) + "/golden/" + name, std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  const std::vector<char> text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::vector<std::byte> bytes(text.size());
  if (!text.empty()) std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

std::vector<float> read_floats(const std::string& name) {
  const std::vector<std::byte> bytes = read_golden(name);
  std::vector<float> values(bytes.size() / sizeof(float));
  no_interrupts none;
  dequantize(format::F32, bytes, values.size(), values.data(), none);
  return values;
}

// Where importance is needed and none is given, all weights have the same.
std::vector<std::byte> encode(format f, span<const float> values, span<const float> importance = {}) {
  no_interrupts none;
  std::vector<std::byte> bytes(bytes_of(f, values.size()));
  const std::vector<float> same(needs_importance(f) && importance.empty() ? values.size() : 0, 1.0f);
  if (!same.empty()) importance = same;
  quantize(f, values, importance, bytes.data(), none);
  return bytes;
}

std::vector<float> decode(format f, span<const std::byte> blocks, std::size_t count) {
  no_interrupts none;
  std::vector<float> values(count);
  dequantize(f, blocks, count, values.data(), none);
  return values;
}

// FNV-1a, 64 bits.
std::uint64_t hash_of(span<const std::byte> bytes) {
  std::uint64_t hash = 14695981039346656037u;
  for (const std::byte b : bytes) hash = (hash ^ std::to_integer<std::uint64_t>(b)) * 1099511628211u;
  return hash;
}

std::uint64_t hash_of(span<const float> values) { return hash_of(encode(format::F32, values)); }

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

// ---- golden bytes ----------------------------------------------------------------------------------------------

struct golden {
  const char* name;
  std::uint64_t floats;             // hash of the dequantized floats; 0 where importance is needed
  std::uint64_t importance_floats;  // 0 where importance changes nothing
  std::uint64_t volume;             // hash of the blocks of the numbers of TEST_P(Golden, Volume)
};

// The md5 sums of what `volume` is the hash of are:
//   F16    52926a56ec2c6d8e749ef4f7e5212c71  BF16   f5c2da7026f5b1afd61532f703bf3336
//   Q8_0   ffc84b05f6dad227663c499e7f428055  Q4_0   abbcbea78d335fe57698585dda10a81e
//   Q4_1   39702755bf5164dc47fa226c0eba4c9d  Q5_0   5a31fc299a32517be18b091652881593
//   Q5_1   e49b572ad9c27aeeebfb78ab95a1dfc0  Q2_K   a0d22b663b68e6228fc6c6240a47b74e
//   Q3_K   24c2c4beb5ef7b6e23e6d1cea3270a46  Q4_K   24202e4c8cb495d138d2eac8d75530ef
//   Q5_K   81691acd55c7546e82d57ad607bdd893  Q6_K   05552ff73dce0058879529fea77ea35e
//   TQ1_0  ec1c31af2d1771eac2dc73057b60d733  TQ2_0  32e45530cd601a11902dd41b547fcec4
//   Q1_0   6ef1b6dc43baa977cc805124c34b3ef4  Q2_0   036c0e33089c4ab8b8a370cb227c9bb9
//   MXFP4  f93e3b618f9f27ceb4bf1dcb1ab52790  NVFP4  f627f46d9b45dec4019000a93fb6fe04
//   IQ4_NL 8754a51bac97ae44ba8030bca96a936d  IQ4_XS f5f89bd0e8be5f984cea76d930997d96
constexpr golden all[] = {
    {"F16", 0x3D3E7CF1F3691F4F, 0, 0x842C63F5A1BD292F},
    {"BF16", 0x153724C36ED7D0AF, 0, 0x86661275E6D2213E},
    {"Q8_0", 0x26AFDD6B32253ACE, 0, 0x59861862800D8496},
    {"Q4_0", 0x72BAA1DD8D422AE4, 0x9C8F30A0AD5CA2AD, 0xFF26E9CC552296A8},
    {"Q4_1", 0x7BF89FDFE8A2687D, 0xECF335264B27FBF0, 0x47742AFB8883ED1C},
    {"Q5_0", 0xF9F4FB90C7E0246D, 0xE4B1014A1ED4AF1B, 0x5AD21D427C14E3E4},
    {"Q5_1", 0x4E6D54B3A521BE25, 0x6AA64ABF209D6BB5, 0xE86A1B88528BD07B},
    {"IQ4_NL", 0x53611B45E4295BB6, 0x38AA6BF854BFE425, 0x5D0A301BD057599C},
    {"IQ4_XS", 0xE8DEC366A9D8BD16, 0x2D41ECAF2ED31EC9, 0x6E81C50D420D9D2F},
    {"MXFP4", 0xB2682E3BA4A8B7C3, 0, 0x71AE593ECF52D0F9},
    {"NVFP4", 0x17B0E355883F3042, 0, 0x1C9B20E78B3D6934},
    {"TQ1_0", 0x8F67201C2E41C61D, 0, 0xF81958ED1294EA62},
    {"TQ2_0", 0x8F67201C2E41C61D, 0, 0x7625A58B514A118F},
    {"Q1_0", 0x8B5FBCCC72E3EFA5, 0, 0xF7F832D44285BA92},
    {"Q2_0", 0xF0E2440C689FEB90, 0, 0x3E2D952379864D8E},
    {"Q2_K", 0x6934F506044BD7A8, 0x73C9B5475E2E5F05, 0x6EEDA6436518D9FF},
    {"Q3_K", 0x791ED49D4F5B3945, 0xD6327427D94C4292, 0x93D2C91E77A3D37A},
    {"Q4_K", 0x67C24C3D43EFEEC7, 0x5866E14C9DF0999B, 0xB75C09A29FF2948E},
    {"Q5_K", 0x88912CEAFF91E416, 0x62A9FC1E47D4699B, 0x7FC22B5687ACB30D},
    {"Q6_K", 0xD5CBE3F29B39F399, 0xF519A5321EB0258F, 0x7BC4CBAF9B05CA70},
    {"IQ1_S", 0, 0xBC4C19021F1C7A0C, 0x6E336B3276C38A1A},
    {"IQ1_M", 0x5A6367CFB7C49CC8, 0x26B70310F6441E76, 0x37930AB842D3DCBC},
    {"IQ2_XXS", 0, 0xC74A1231FE4F9376, 0x8F3E6998BEE199F1},
    {"IQ2_XS", 0, 0x23B46FD6B76719DF, 0xA0D230BCF03268FE},
    {"IQ2_S", 0x7C1067028DCC5C99, 0xC1D5591DBA4C328B, 0xA58000625D78E308},
    {"IQ3_XXS", 0x270FDDA824191B9B, 0x657E3B18CF307BE3, 0xDABED586F73FA37F},
    {"IQ3_S", 0x8382D610C2029ED3, 0x391F57FE45BE6597, 0xA5321036B5794967},
};

// Formats whose weights are rounded in groups, and their encoders slow: bench/peers/ggml.cpp made their bytes.
bool has_points(format f) {
  const std::string name = traits_of(f).name;
  return name.compare(0, 2, "IQ") == 0 && name[2] < '4';
}

// Without it gtest prints the bytes of the structure.
void PrintTo(const golden& g, std::ostream* to) { *to << g.name; }

class Golden : public testing::TestWithParam<golden> {};
INSTANTIATE_TEST_SUITE_P(AllFormats, Golden, testing::ValuesIn(all),
                         [](const auto& info) { return std::string(info.param.name); });

// F32 holds the floats as they are.
TEST(Codec, EveryWrittenFormatHasGoldenBytes) {
  for (const format_traits& traits : all_formats()) {
    const bool here = std::any_of(std::begin(all), std::end(all),
                                  [&](const golden& g) { return g.name == std::string(traits.name); });
    EXPECT_EQ(here, traits.writable && traits.id != format::F32) << traits.name;
  }
}

void expect_golden_bytes(format f, const std::string& file, span<const float> importance) {
  const std::vector<float> input = read_floats("input.f32");
  const std::vector<std::byte> expected = read_golden(file);
  ASSERT_EQ(input.size(), rows * columns);
  const std::size_t row_bytes = bytes_of(f, columns);
  ASSERT_EQ(expected.size(), rows * row_bytes);
  for (std::size_t row = 0; row < rows; ++row) {
    if (f == format::IQ3_S && row == half_empty_row) continue;  // see IQ3_S.SubBlocksOfZerosLeaveOthersInPlace
    const std::vector<std::byte> bytes =
        encode(f, span<const float>(input.data() + row * columns, columns), importance);
    EXPECT_EQ(std::memcmp(bytes.data(), expected.data() + row * row_bytes, row_bytes), 0) << file << " row " << row;
  }
}

TEST_P(Golden, QuantizesToTheBytesOfTheReference) {
  const golden& g = GetParam();
  const format f = format_of(g.name);
  EXPECT_EQ(g.floats == 0, needs_importance(f));
  if (g.floats == 0) return;
  for_each_target([&] { expect_golden_bytes(f, std::string(g.name) + ".bin", {}); });
}

TEST_P(Golden, QuantizesByImportanceToTheBytesOfTheReference) {
  const golden& g = GetParam();
  const std::string file = std::string(g.name) + (g.importance_floats != 0 ? ".imatrix.bin" : ".bin");
  const std::vector<float> importance = read_floats("imatrix.f32");
  for_each_target([&] { expect_golden_bytes(format_of(g.name), file, importance); });
}

TEST_P(Golden, DequantizesToTheFloatsOfTheReference) {
  const golden& g = GetParam();
  const format f = format_of(g.name);
  const std::string name = g.name;
  for_each_target([&] {
    if (g.floats != 0) {
      EXPECT_EQ(hash_of(decode(f, read_golden(name + ".bin"), rows * columns)), g.floats);
    }
    if (g.importance_floats == 0) return;
    EXPECT_EQ(hash_of(decode(f, read_golden(name + ".imatrix.bin"), rows * columns)), g.importance_floats);
  });
}

const std::vector<float>& volume() {
  static const std::vector<float>* const values = [] {
    auto* drawn = new std::vector<float>(4194304);
    std::mt19937_64 generator(7);
    std::normal_distribution<float> normal(0.0f, 0.02f);
    for (float& value : *drawn) value = normal(generator);
    return drawn;
  }();
  return *values;
}

// The distribution is libstdc++'s; md5 of the floats 0f50dfa6fae5a06a98bf9f3c1f16b3c1.
TEST_P(Golden, Volume) {
  if (hash_of(volume()) != 0x3FFD4E14CA358A8A) GTEST_SKIP() << "another standard library draws other numbers";
  const format f = format_of(GetParam().name);
  if (!has_points(f)) {
    for_each_target([&] { EXPECT_EQ(hash_of(encode(f, volume())), GetParam().volume); });
    return;
  }
  // The first 64 rows, by importance.
  std::vector<float> importance;
  const std::vector<float> of_columns = read_floats("imatrix.f32");
  while (importance.size() < 64 * columns) importance.insert(importance.end(), of_columns.begin(), of_columns.end());
  const span<const float> values(volume().data(), importance.size());
  for_each_target([&] { EXPECT_EQ(hash_of(encode(f, values, importance)), GetParam().volume); });
}

TEST(Codec, FormatsOfFewLevelsNeedImportance) {
  const std::vector<float> values(256, 1.0f);
  for (const format f : {format::IQ1_S, format::IQ2_XXS, format::IQ2_XS}) {
    std::vector<std::byte> bytes(bytes_of(f, values.size()));
    no_interrupts none;
    std::string message;
    EXPECT_EQ(state_of([&] { quantize(f, values, {}, bytes.data(), none); }, &message), "22023");
    EXPECT_EQ(message, std::string("format ") + traits_of(f).name + " needs importance");
  }
}

// Not so by ggml, which stores the others where they do not belong: the one difference from its bytes.
TEST(IQ3_S, SubBlocksOfZerosLeaveOthersInPlace) {
  std::vector<float> values(1024);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = i / 32 % 3 == 1 ? 0.0f : std::sin(static_cast<float>(i * i % 97));
  }
  for_each_target([&] {
    const std::vector<float> back = decode(format::IQ3_S, encode(format::IQ3_S, values), values.size());
    for (std::size_t i = 0; i < values.size(); ++i) ASSERT_NEAR(back[i], values[i], 0.5f) << i;
  });
}

TEST(IQ1_M, ScalesThatOverflowAreRefused) {
  std::vector<float> values(512, 1.0f);
  values[256] = 2.9e8f;
  std::string message;
  EXPECT_EQ(state_of([&] { encode(format::IQ1_M, values); }, &message), "22003");
  EXPECT_EQ(message, "scale of block 2 overflows half precision");
}

// ---- tolerances of ggml's own test -----------------------------------------------------------------------------

std::vector<float> cosine(float offset) {
  std::vector<float> values(4096);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.1f + 2.0f * std::cos(static_cast<float>(i) + offset);
  return values;
}

struct tolerance {
  const char* name;
  double error, dot_error;
};

tolerance allowed_by(const std::string& name) {
  constexpr tolerance rows[] = {{"Q2_K", 0.0075, 0.04},    {"Q3_K", 0.0040, 0.02},   {"NVFP4", 0.0030, 0.03},
                                {"TQ1_0", 0.01, 0.15},     {"TQ2_0", 0.01, 0.15},    {"Q2_0", 0.01, 0.15},
                                {"Q1_0", 0.025, 0.40},     {"IQ1_S", 0.02, 0.40},    {"IQ1_M", 0.02, 0.40},
                                {"IQ2_XXS", 0.0075, 0.06}, {"IQ2_XS", 0.0075, 0.04}, {"IQ2_S", 0.0075, 0.04},
                                {"IQ3_XXS", 0.0050, 0.04}, {"IQ3_S", 0.0040, 0.04}};
  for (const tolerance& row : rows) {
    if (name == row.name) return row;
  }
  return {"", 0.002, 0.02};
}

TEST_P(Golden, StaysWithinTheTolerancesOfGgml) {
  const std::string name = GetParam().name;
  const format f = format_of(name);
  const std::vector<float> a = cosine(0.0f), b = cosine(1.0f);
  const std::vector<float> a_back = decode(f, encode(f, a), a.size());
  const std::vector<float> b_back = decode(format::Q8_0, encode(format::Q8_0, b), b.size());
  double squares = 0.0, dot = 0.0, dot_back = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    squares += (double{a[i]} - a_back[i]) * (double{a[i]} - a_back[i]);
    dot += double{a[i]} * b[i];
    dot_back += double{a_back[i]} * b_back[i];
  }
  const double count = static_cast<double>(a.size());
  EXPECT_LT(std::sqrt(squares) / count, allowed_by(name).error);
  EXPECT_LT(std::fabs(dot - dot_back) / count, allowed_by(name).dot_error);
}

// Of one or two bits.
bool is_coarse(format f) { return 16 * traits_of(f).block_bytes < 5 * traits_of(f).block_weights; }

// ---- counts, alignment, pieces ---------------------------------------------------------------------------------

TEST_P(Golden, PadsTheLastBlockWithZeros) {
  const format f = format_of(GetParam().name);
  const std::size_t block = traits_of(f).block_weights;
  std::vector<float> values(block + 5);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
  std::vector<float> padded = values;
  padded.resize((values.size() + block - 1) / block * block);
  std::vector<float> importance(needs_importance(f) ? values.size() : 0, 1.0f);
  const std::vector<std::byte> bytes = encode(f, values, importance);
  if (!importance.empty()) importance.resize(padded.size());
  EXPECT_EQ(bytes, encode(f, padded, importance));
  std::vector<float> whole = decode(f, bytes, padded.size());
  whole.resize(values.size());
  EXPECT_EQ(decode(f, bytes, values.size()), whole);
}

TEST_P(Golden, PaddingWithImportanceIsSound) {
  const format f = format_of(GetParam().name);
  const std::vector<float> importance(7, 2.0f);
  const std::vector<float> values = {1.0f, -2.0f, 3.0f, -4.0f, 5.0f, -6.0f, 7.0f};
  const std::vector<float> back = decode(f, encode(f, values, importance), values.size());
  const float limit = is_coarse(f) ? 7.0f : 2.1f;
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(back[i], values[i], limit) << i;
}

TEST_P(Golden, NothingIsNothing) {
  const format f = format_of(GetParam().name);
  no_interrupts none;
  quantize(f, {}, {}, nullptr, none);
  dequantize(f, {}, 0, nullptr, none);
}

TEST_P(Golden, BlocksMayStandAnywhere) {
  const format f = format_of(GetParam().name);
  const std::vector<float> values = cosine(0.5f);
  const std::vector<float> importance(needs_importance(f) ? values.size() : 0, 1.0f);
  const std::vector<std::byte> expected = encode(f, values, importance);
  no_interrupts none;
  for (std::size_t shift = 1; shift < 4; ++shift) {
    std::vector<std::byte> bytes(expected.size() + shift);
    quantize(f, values, importance, bytes.data() + shift, none);
    ASSERT_EQ(std::memcmp(bytes.data() + shift, expected.data(), expected.size()), 0);
    std::vector<float> back(values.size());
    dequantize(f, span<const std::byte>(bytes.data() + shift, expected.size()), back.size(), back.data(), none);
    ASSERT_EQ(back, decode(f, expected, values.size()));
  }
}

struct stopped {};

class counting_interrupt final : public interrupt_checker {
 public:
  explicit counting_interrupt(int allowed) : left_(allowed) {}
  void check() override {
    if (left_-- == 0) throw stopped();
  }

 private:
  int left_;
};

TEST(Codec, LongRunsCheckForInterrupts) {
  const std::vector<float> values(1 << 18, 0.5f);
  std::vector<std::byte> bytes(bytes_of(format::Q4_K, values.size()));
  counting_interrupt three(3);
  EXPECT_THROW(quantize(format::Q4_K, values, {}, bytes.data(), three), stopped);
  no_interrupts none;
  quantize(format::Q4_K, values, {}, bytes.data(), none);
  std::vector<float> back(values.size());
  counting_interrupt two(2);
  EXPECT_THROW(dequantize(format::Q4_K, bytes, back.size(), back.data(), two), stopped);
}

// ---- unusual values --------------------------------------------------------------------------------------------

bool is_plain(format f) { return traits_of(f).block_weights == 1; }

TEST_P(Golden, NanAndInfinityAreRefusedByBlockFormatsOnly) {
  const format f = format_of(GetParam().name);
  for (const float special : {nan_value, infinity, -infinity}) {
    std::vector<float> values(70000, 1.0f);
    values[66666] = special;
    if (is_plain(f)) {
      const float back = decode(f, encode(f, values), values.size())[66666];
      EXPECT_TRUE(std::isnan(special) ? std::isnan(back) : back == special);
      continue;
    }
    std::string message;
    EXPECT_EQ(state_of([&] { encode(f, values); }, &message), "22003");
    EXPECT_EQ(message, std::string("value at position 66667 is ") + (std::isnan(special) ? "NaN" : "infinite"));
  }
}

// Wherever it stands, be it in the last numbers, which fill no vector, or beyond the first piece.
TEST(Codec, EveryPositionIsChecked) {
  const float all_ones = half_detail::float_of(0xFFFFFFFFu), signaling = half_detail::float_of(0x7F800001u);
  for (const std::size_t count : {std::size_t{1}, std::size_t{67}, std::size_t{4099}}) {
    std::vector<float> values(count, -1.0f);
    for (std::size_t at = 0; at < count; at += count < 100 ? 1 : 101) {
      for (const float bad : {nan_value, all_ones, signaling, infinity, -infinity, 3e8f, -3e8f}) {
        values[at] = bad;
        const auto block_format = [&] { encode(format::Q8_0, values); };
        const auto half = [&] { encode(format::F16, values); };
        for_each_target([&] {
          std::string message;
          EXPECT_EQ(state_of(block_format, &message), "22003") << at;
          EXPECT_EQ(message.rfind("value at position " + std::to_string(at + 1) + " is ", 0), 0u) << message;
          EXPECT_EQ(state_of(half), std::fabs(bad) == 3e8f ? "22003" : "none");
        });
      }
      values[at] = -1.0f;
    }
  }
}

TEST(Codec, F32KeepsEveryBit) {
  std::vector<float> values;
  for (const std::uint32_t bits : {0x7F800001u, 0xFFC12345u, 0x80000000u, 0x00000001u, 0x7F7FFFFFu}) {
    values.push_back(half_detail::float_of(bits));
  }
  const std::vector<float> back = decode(format::F32, encode(format::F32, values), values.size());
  EXPECT_EQ(std::memcmp(back.data(), values.data(), values.size() * sizeof(float)), 0);
}

TEST(Codec, FiniteValuesNeverBecomeInfinite) {
  std::string message;
  EXPECT_EQ(state_of([] { encode(format::F16, std::vector<float>{1.0f, -65520.0f}); }, &message), "22003");
  EXPECT_EQ(message, "value at position 2 is too large for format F16");
  EXPECT_EQ(state_of([] { encode(format::BF16, std::vector<float>{3.4e38f}); }), "22003");
  EXPECT_EQ(state_of([] { encode(format::F16, std::vector<float>{65519.0f}); }), "none");
  EXPECT_EQ(state_of([] { encode(format::BF16, std::vector<float>{3.38e38f}); }), "none");
}

TEST_P(Golden, ScalesThatOverflowAreRefused) {
  const format f = format_of(GetParam().name);
  if (find_codec(f)->scale_count == 0) return;
  const std::size_t block = traits_of(f).block_weights;
  std::vector<float> values(3 * block, 1.0f);
  values[block] = 2.9e8f;
  values[block + 1] = -2.9e8f;
  std::string message;
  EXPECT_EQ(state_of([&] { encode(f, values); }, &message), "22003");
  EXPECT_EQ(message, "scale of block 2 overflows half precision");
  const std::vector<float> importance(values.size(), 1.0f);
  EXPECT_EQ(state_of([&] { encode(f, values, importance); }), "22003");
  values[block] = std::numeric_limits<float>::max();
  EXPECT_EQ(state_of([&] { encode(f, values); }, &message), "22003");
  EXPECT_EQ(message, "value at position " + std::to_string(block + 1) + " is too large for format " + GetParam().name);
}

TEST_P(Golden, TinyValuesGiveSoundBlocks) {
  const format f = format_of(GetParam().name);
  for (const float scale : {1e-5f, 1e-10f, 1e-20f, 1e-37f, 1e-40f, 1e-44f}) {
    std::vector<float> values(300);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = scale * std::sin(static_cast<float>(i));
    const std::vector<float> importance(values.size(), 3.0f);
    const float limit = 1.2f * scale + 1e-6f;
    for (const float back : decode(f, encode(f, values), values.size())) ASSERT_LE(std::fabs(back), limit);
    for (const float back : decode(f, encode(f, values, importance), values.size())) {
      ASSERT_LE(std::fabs(back), limit);
    }
  }
}

// ---- importance ------------------------------------------------------------------------------------------------

TEST(Codec, ImportanceIsChecked) {
  const std::vector<float> values(64, 1.0f);
  std::string message;
  EXPECT_EQ(state_of([&] { encode(format::Q4_0, values, std::vector<float>(63, 1.0f)); }), "2202E");
  for (const float bad : {nan_value, infinity, -1.0f}) {
    std::vector<float> importance(64, 1.0f);
    importance[40] = bad;
    EXPECT_EQ(state_of([&] { encode(format::Q4_0, values, importance); }, &message), "22023");
    EXPECT_EQ(message.substr(0, 29), "importance at position 41 is ");
  }
}

TEST(Codec, EveryImportanceIsChecked) {
  for (const std::size_t count : {std::size_t{1}, std::size_t{67}, std::size_t{4099}}) {
    const std::vector<float> values(count, 1.0f);
    std::vector<float> importance(count, 1.0f);
    for (std::size_t at = 0; at < count; at += count < 100 ? 1 : 101) {
      const float least = std::numeric_limits<float>::denorm_min();
      for (const float number :
           {0.0f, -0.0f, least, 3.4e38f, -least, -1.0f, infinity, -infinity, nan_value, -nan_value}) {
        importance[at] = number;
        const bool sound = number >= 0.0f && number < infinity;
        for_each_target([&] {
          std::string message;
          EXPECT_EQ(state_of([&] { encode(format::Q8_0, values, importance); }, &message), sound ? "none" : "22023");
          const std::string position = "importance at position " + std::to_string(at + 1) + " is ";
          EXPECT_EQ(message.rfind(position, 0), sound ? std::string::npos : 0u) << message;
        });
      }
      importance[at] = 1.0f;
    }
  }
}

TEST(Codec, EveryScaleIsChecked) {
  for (const format f : {format::Q8_0, format::Q4_1, format::Q5_1}) {
    std::vector<float> values(131 * 32, 1.0f);
    for (std::size_t block = 0; block < 131; ++block) {
      values[32 * block + 7] = -2.9e8f;
      values[32 * block + 9] = 2.9e8f;
      std::string message;
      EXPECT_EQ(state_of([&] { encode(f, values); }, &message), "22003");
      EXPECT_EQ(message, "scale of block " + std::to_string(block + 1) + " overflows half precision");
      values[32 * block + 7] = values[32 * block + 9] = 1.0f;
    }
    // The minimum alone.
    if (f == format::Q8_0) continue;
    for (float& value : values) value = -65520.0f;
    EXPECT_EQ(state_of([&] { encode(f, values); }), "22003");
    for (float& value : values) value = -65519.0f;
    EXPECT_EQ(state_of([&] { encode(f, values); }), "none");
  }
}

TEST_P(Golden, ImportanceZeroThroughoutIsNoImportance) {
  const format f = format_of(GetParam().name);
  const std::vector<float> values = cosine(0.25f);
  EXPECT_EQ(encode(f, values, std::vector<float>(values.size(), 0.0f)), encode(f, values));
}

float largest_error(format f, const std::vector<float>& values, float importance) {
  const std::vector<std::byte> bytes = encode(f, values, std::vector<float>(values.size(), importance));
  const std::vector<float> back = decode(f, bytes, values.size());
  float largest = 0.0f;
  // Not std::max(), which would take the larger of a NaN and a number for either.
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!(std::fabs(back[i] - values[i]) <= largest)) largest = std::fabs(back[i] - values[i]);
  }
  return largest;
}

TEST_P(Golden, ImportanceOutOfProportionIsRefusedOrSound) {
  const format f = format_of(GetParam().name);
  const std::vector<float> values = cosine(0.25f);
  // Points of a grid may be far off whatever the importance.
  const float limit = has_points(f) ? 1.1f * largest_error(f, values, 1.0f) : is_coarse(f) ? 1.4f : 1.0f;
  for (const float size : {1e-38f, 1e18f, 1e30f, 3e38f}) {
    float largest = 0.0f;
    if (state_of([&] { largest = largest_error(f, values, size); }) != "none") continue;
    EXPECT_LE(largest, limit) << size;
  }
}

// ---- the rest of the contract ----------------------------------------------------------------------------------

TEST(Codec, EveryFormatSaysWhatItCanDo) {
  no_interrupts none;
  std::byte block[512] = {};
  float weights[256];
  for (std::uint32_t id = 0; id < 64; ++id) {
    const format_traits* traits = find_format(id);
    if (traits == nullptr) continue;
    const span<const std::byte> blocks(block, traits->block_bytes);
    const auto read = [&] { dequantize(traits->id, blocks, traits->block_weights, weights, none); };
    const float zero = 0.0f;
    const auto write = [&] { quantize(traits->id, span<const float>(&zero, 1), {}, block, none); };
    EXPECT_EQ(state_of(read), traits->readable ? "none" : "0A000") << traits->name;
    EXPECT_EQ(state_of(write), !traits->writable              ? "0A000"
                               : needs_importance(traits->id) ? "22023"
                                                              : "none")
        << traits->name;
    EXPECT_EQ(find_codec(traits->id) != nullptr, traits->readable) << traits->name;
  }
  EXPECT_EQ(state_of([&] { dequantize(static_cast<format>(77), {}, 0, weights, none); }), "0A000");
}

TEST(Codec, BlocksOfTheWrongSizeAreRefused) {
  const std::vector<std::byte> bytes(36);
  EXPECT_EQ(state_of([&] { decode(format::Q4_0, bytes, 64); }), "none");
  EXPECT_EQ(state_of([&] { decode(format::Q4_0, bytes, 33); }), "none");
  EXPECT_EQ(state_of([&] { decode(format::Q4_0, bytes, 32); }), "22P03");
  EXPECT_EQ(state_of([&] { decode(format::Q4_0, bytes, 65); }), "22P03");
  EXPECT_EQ(state_of([&] { decode(format::Q4_0, span<const std::byte>(bytes.data(), 35), 64); }), "22P03");
}

TEST(Codec, FormatsThatAreOnlyCarriedHaveNone) {
  EXPECT_EQ(find_codec(format::Q8_K), nullptr);
  EXPECT_EQ(find_scalar_codec(format::Q8_K), nullptr);
}

}  // namespace
}  // namespace hartonomous
