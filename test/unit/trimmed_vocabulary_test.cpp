// Smaller vocabularies that give the same tokens for a text.
#include <algorithm>
#include <cstdint>
#include <random>

#include "gtest/gtest.h"
#include "vocabulary_builder.hpp"

namespace hartonomous {
namespace {

using namespace vocabulary_builder;

// Whether the text has the same tokens after trimming to what it needs, and other texts still go there and back.
void expect_same_after_trimming(const gguf_metadata& metadata, const std::string& text, const std::string& other) {
  no_interrupts none;
  const auto whole = make(metadata);
  const ids seen = encode(*whole, text, true);
  const ids kept = tokens_to_keep(*whole, metadata, seen, none);
  const auto trimmed = make(trimmed_vocabulary(metadata, kept, none));
  EXPECT_EQ(trimmed->size(), kept.size());
  ids back = encode(*trimmed, text, true);
  for (std::int32_t& token : back) token = kept.at(static_cast<std::size_t>(token));
  EXPECT_EQ(back, seen) << text;
  EXPECT_EQ(decode(*trimmed, encode(*trimmed, other)), other);
}

std::string random_text(std::mt19937& random, std::size_t length) {
  std::string text;
  for (std::size_t i = 0; i < length; ++i) text += "abcd "[random() % 5];
  return text;
}

TEST(TrimmedVocabulary, GivesTheSameTokensOfSentencePiece) {
  std::mt19937 random(11);
  for (int round = 0; round < 40; ++round) {
    strings pieces = {space, "a", "b", "c"};
    for (int i = 0; i < 40; ++i) {
      std::string piece;
      for (const char c : random_text(random, 2 + random() % 5))
        piece += c == ' ' ? std::string(space) : std::string(1, c);
      if (std::find(pieces.begin(), pieces.end(), piece) == pieces.end()) pieces.push_back(piece);
    }
    expect_same_after_trimming(spm_metadata(pieces), random_text(random, 30), random_text(random, 30));
  }
}

TEST(TrimmedVocabulary, GivesTheSameTokensOfByteLevelMerges) {
  std::mt19937 random(12);
  for (int round = 0; round < 40; ++round) {
    std::vector<std::pair<std::string, std::string>> merges;
    strings made = {"a", "b", "c", "d", " "};
    for (int i = 0; i < 60; ++i) {
      const std::string left = made[random() % made.size()], right = made[random() % made.size()];
      if (std::find(made.begin(), made.end(), left + right) != made.end()) continue;
      merges.emplace_back(left, right);
      made.push_back(left + right);
    }
    for (const char* pre : {"gpt-2", "llama-bpe"}) {
      expect_same_after_trimming(bpe_metadata(pre, merges, {"<end>"}, {"<mine>"}), random_text(random, 40),
                                 random_text(random, 40));
    }
  }
}

TEST(TrimmedVocabulary, ListsMergesAndNumbersFollow) {
  no_interrupts none;
  gguf_metadata metadata = bpe_metadata("gpt-2", {{"a", "b"}, {"ab", "c"}, {"c", "d"}}, {"<end>"});
  metadata.set_uint32("tokenizer.ggml.eos_token_id", 259);
  metadata.set_uint32("tokenizer.ggml.padding_token_id", 0xffffffff);
  metadata.set_ints("tokenizer.ggml.stop_token_ids", {259, 258});
  metadata.set_string("tokenizer.huggingface.json", "{}");
  metadata.set_string("general.architecture", "llama");
  metadata.set_uint32("llama.vocab_size", 260);
  const auto whole = make(metadata);
  const ids kept = tokens_to_keep(*whole, metadata, encode(*whole, "ab"), none);
  ids expected(256);
  for (std::size_t i = 0; i < 256; ++i) expected[i] = static_cast<std::int32_t>(i);
  expected.insert(expected.end(), {256, 258, 259});
  EXPECT_EQ(kept, expected);
  const gguf_metadata trimmed = trimmed_vocabulary(metadata, kept, none);
  EXPECT_EQ(trimmed.get_strings("tokenizer.ggml.tokens")->size(), 259U);
  EXPECT_EQ(trimmed.get_strings("tokenizer.ggml.tokens")->at(257), "cd");
  EXPECT_EQ(*trimmed.get_strings("tokenizer.ggml.merges"), (strings{"a b", "c d"}));
  EXPECT_EQ(trimmed.get_ints("tokenizer.ggml.token_type")->at(258), 3);
  EXPECT_EQ(*trimmed.get_uint("tokenizer.ggml.eos_token_id"), 258U);
  EXPECT_EQ(*trimmed.get_uint("tokenizer.ggml.padding_token_id"), 0xffffffffU);
  EXPECT_EQ(*trimmed.get_ints("tokenizer.ggml.stop_token_ids"), (std::vector<std::int64_t>{258, 257}));
  EXPECT_EQ(*trimmed.get_uint("llama.vocab_size"), 259U);
  EXPECT_EQ(trimmed.find("tokenizer.huggingface.json"), nullptr);
}

}  // namespace
}  // namespace hartonomous
