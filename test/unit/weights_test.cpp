// The text and the binary form of `weights`: what is read, what is written, what is refused and in which words.
#include "hartonomous/weights.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

using bytes = std::vector<std::byte>;

bytes bytes_from(std::initializer_list<int> values) {
  bytes result;
  for (const int value : values) result.push_back(static_cast<std::byte>(value));
  return result;
}

struct refusal {
  std::string state, message, detail;
};

template <class F>
refusal refusal_of(F&& f) {
  try {
    f();
  } catch (const error& e) {
    return {e.state(), e.what(), e.detail()};
  }
  return {"none", "", ""};
}

bytes decoded(std::string_view digits) {
  no_interrupts none;
  bytes result(digits.size() / 2);
  decode_blocks(digits, result.data(), none);
  return result;
}

std::string encoded(const bytes& blocks) {
  no_interrupts none;
  std::string digits(2 * blocks.size(), '?');
  encode_blocks(blocks, digits.data(), none);
  return digits;
}

// ---- text ------------------------------------------------------------------------------------------------------

TEST(WeightsText, HasFormatCountAndDigits) {
  const weights_text one = parse_weights_text("F32[1]:0000803f");
  EXPECT_EQ(one.id, format::F32);
  EXPECT_EQ(one.count, 1u);
  EXPECT_EQ(one.digits, "0000803f");
  const weights_text none = parse_weights_text("q4_k[0000000000]:");
  EXPECT_EQ(none.id, format::Q4_K);
  EXPECT_EQ(none.count, 0u);
  EXPECT_EQ(none.digits, "");
  // A last block that is not full is there all the same.
  EXPECT_EQ(parse_weights_text("Q8_0[33]:" + std::string(4 * 34, '0')).count, 33u);
}

TEST(WeightsText, WhatIsNotItIsRefused) {
  const auto detail_of = [](std::string_view text) {
    const refusal r = refusal_of([&] { parse_weights_text(text); });
    EXPECT_EQ(r.state, "22P02") << text;
    EXPECT_EQ(r.message, "invalid input syntax for type weights");
    return r.detail;
  };
  for (const char* text : {"", "F32", "F32[1]", "F32 1]:", "F32]:[0", "[", "]:"}) EXPECT_EQ(detail_of(text), "");
  for (const char* text : {"F33[0]:", "[0]:", " F32[0]:", "F32 [0]:"}) {
    EXPECT_EQ(detail_of(text), "The format is not one of ggml's.");
  }
  for (const char* text : {"F32[]:", "F32[00000000000]:", "F32[18446744073709551616]:"}) {
    EXPECT_EQ(detail_of(text), "The count is not a number a value can hold.");
  }
  for (const char* text : {"F32[-1]:", "F32[+0]:", "F32[ 0]:", "F32[0 ]:", "F32[0x1]:", "F32[[0]:", "F32[1.0]:"}) {
    EXPECT_EQ(detail_of(text), "The count is not a number.");
  }
  for (const char* text : {"F32[1]:", "F32[1]:0000803", "F32[1]:0000803f00", "F32[2]:0000803f",
                           "F32[0]: ", "F32[0]:[0]:", "F32[9999999999]:", "Q4_K[256]:00"}) {
    EXPECT_EQ(detail_of(text), "The number of hexadecimal digits does not fit the format and the count.");
  }
  // Not read as a string of C: a zero byte is a character like any other.
  EXPECT_EQ(detail_of(std::string_view("F32\0[0]:", 8)), "The format is not one of ggml's.");
}

TEST(WeightsText, DigitsOfEitherCaseAreRead) {
  EXPECT_EQ(decoded("0123456789abcdefABCDEF"),
            bytes_from({0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, 0xAB, 0xCD, 0xEF}));
  EXPECT_EQ(encoded(bytes_from({0x00, 0x9A, 0xBC, 0xDE, 0xFF})), "009abcdeff");
}

// In any place of a run of any length: the loops take many digits at once.
TEST(WeightsText, EveryOtherCharacterIsRefused) {
  constexpr std::string_view digits = "0123456789abcdefABCDEF";
  for (int value = 0; value < 256; ++value) {
    const auto c = static_cast<char>(value);
    const bool digit = c != '\0' && digits.find(c) != std::string_view::npos;
    for (const std::size_t size : {2, 34, 1000}) {
      for (const std::size_t at : {std::size_t{0}, std::size_t{1}, size / 2, size - 1}) {
        std::string text(size, '7');
        text[at] = c;
        const refusal r = refusal_of([&] { decoded(text); });
        EXPECT_EQ(r.state, digit ? "none" : "22P02") << value;
        EXPECT_EQ(r.detail, digit ? "" : "The blocks hold a character that is not a hexadecimal digit.");
      }
    }
  }
}

TEST(WeightsText, EveryByteComesBack) {
  bytes blocks(257 * 256 + 5);
  for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i] = static_cast<std::byte>(i + i / 256);
  EXPECT_EQ(decoded(encoded(blocks)), blocks);
  EXPECT_EQ(encoded({}), "");
  EXPECT_EQ(weights_text_head(format::IQ2_XXS, 4294967295u), "IQ2_XXS[4294967295]:");
  EXPECT_EQ(weights_text_head(format::F32, 0), "F32[0]:");
}

struct stopped {};

class stopping final : public interrupt_checker {
 public:
  void check() override {
    if (++checks_ == 3) throw stopped();
  }

 private:
  int checks_ = 0;
};

TEST(WeightsText, LongRunsCheckForInterrupts) {
  bytes blocks(3 << 20);
  std::string digits(2 * blocks.size(), '0');
  stopping reading, writing;
  EXPECT_THROW(decode_blocks(digits, blocks.data(), reading), stopped);
  EXPECT_THROW(encode_blocks(blocks, digits.data(), writing), stopped);
}

// ---- binary ----------------------------------------------------------------------------------------------------

TEST(WeightsMessage, HasFormatCountAndBlocks) {
  const bytes message = bytes_from({0, 0, 0, 1, 0, 0, 0, 2, 0x00, 0x3C, 0x00, 0xC0});
  const weights_message two = parse_weights_message(message);
  EXPECT_EQ(two.id, format::F16);
  EXPECT_EQ(two.count, 2u);
  EXPECT_EQ(two.blocks.data(), message.data() + 8);
  EXPECT_EQ(two.blocks.size(), 4u);
  const auto head = weights_message_head(format::F16, 2);
  EXPECT_EQ(std::memcmp(head.data(), message.data(), head.size()), 0);
  const auto largest = weights_message_head(format::MXFP4, 0xFEDCBA98u);
  EXPECT_EQ(bytes(largest.begin(), largest.end()), bytes_from({0, 0, 0, 39, 0xFE, 0xDC, 0xBA, 0x98}));
}

TEST(WeightsMessage, WhatIsNotItIsRefused) {
  const auto message_of = [](const bytes& message) {
    const refusal r = refusal_of([&] { parse_weights_message(message); });
    EXPECT_EQ(r.state, "22P03");
    return r.message + (r.detail.empty() ? "" : ": " + r.detail);
  };
  for (std::size_t size = 0; size < 8; ++size) {
    EXPECT_EQ(message_of(bytes(size)), "invalid weights: header cut short");
  }
  EXPECT_EQ(message_of(bytes_from({0, 0, 0, 5, 0, 0, 0, 0})), "invalid weights: unknown format 5");
  EXPECT_EQ(message_of(bytes_from({255, 255, 255, 255, 0, 0, 0, 0})), "invalid weights: unknown format 4294967295");
  EXPECT_EQ(message_of(bytes_from({0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0})),
            "invalid weights: wrong number of bytes: Expected 4 bytes of blocks, found 3.");
  EXPECT_EQ(message_of(bytes_from({0, 0, 0, 0, 0, 0, 0, 0, 0})),
            "invalid weights: wrong number of bytes: Expected 0 bytes of blocks, found 1.");
  EXPECT_EQ(message_of(bytes_from({0, 0, 0, 27, 255, 255, 255, 255})),
            "invalid weights: wrong number of bytes: Expected 34359738360 bytes of blocks, found 0.");
}

}  // namespace
}  // namespace hartonomous
