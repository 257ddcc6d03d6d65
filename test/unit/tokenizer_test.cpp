// Tokenizers: small vocabularies worked out by hand, slow references on random text, the example model, and metadata
// that is wrong.
#include "hartonomous/tokenizer.hpp"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <random>
#include <sstream>

#include "gtest/gtest.h"
#include "hartonomous/error.hpp"
#include "vocabulary_builder.hpp"

namespace hartonomous {
namespace {

using namespace vocabulary_builder;

std::string creation_error(const gguf_metadata& metadata, const char* state) {
  try {
    make(metadata);
  } catch (const error& e) {
    EXPECT_STREQ(e.state(), state) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "the metadata was accepted";
  return {};
}

// ---- SentencePiece ----

TEST(SpmTokenizer, MergesTheHighestScoreFirstAndThenTheLeftmost) {
  const auto t = make(spm_metadata({"a", "b", "c", "bc", "ab", "aa"}));
  std::int32_t const a = first_piece, b = a + 1, c = a + 2, bc = a + 3, ab = a + 4, aa = a + 5;
  const ids lead = {byte_token(0xe2), byte_token(0x96), byte_token(0x81)};  // no token for the space
  const auto after_lead = [&](std::string_view text) {
    ids tokens = encode(*t, text);
    EXPECT_EQ(ids(tokens.begin(), tokens.begin() + 3), lead);
    return ids(tokens.begin() + 3, tokens.end());
  };
  EXPECT_EQ(after_lead("abc"), (ids{a, bc}));
  EXPECT_EQ(after_lead("aaa"), (ids{aa, a}));
  EXPECT_EQ(after_lead("abab"), (ids{ab, ab}));
  EXPECT_EQ(after_lead("cba"), (ids{c, b, a}));
}

TEST(SpmTokenizer, PutsASpaceBeforeTextAndTakesItAway) {
  gguf_metadata metadata = spm_metadata({space, "h", "i", std::string(space) + "h", std::string(space) + "hi"});
  const auto t = make(metadata);
  std::int32_t const hi = first_piece + 4;
  EXPECT_EQ(encode(*t, "hi"), (ids{hi}));
  EXPECT_EQ(encode(*t, " hi"), (ids{first_piece, hi}));
  EXPECT_EQ(encode(*t, "hi hi", true), (ids{1, hi, hi}));
  EXPECT_EQ(decode(*t, {1, hi, hi}), "hi hi");
  EXPECT_EQ(decode(*t, {1, hi, 2, hi}, true), "<s>hi</s>hi");
  EXPECT_EQ(encode(*t, "hi</s>hi", true, true), (ids{1, hi, 2, hi}));
  std::string piece;
  t->append_piece(piece, hi, false);
  EXPECT_EQ(piece, " hi");
  metadata.set_bool("tokenizer.ggml.add_space_prefix", false);
  metadata.set_bool("tokenizer.ggml.add_bos_token", false);
  metadata.set_bool("tokenizer.ggml.add_eos_token", true);
  const auto plain = make(metadata);
  EXPECT_EQ(encode(*plain, "hi", true), (ids{first_piece + 1, first_piece + 2, 2}));
  EXPECT_EQ(decode(*plain, {hi}), " hi");
}

TEST(SpmTokenizer, WhatHasNoTokenIsItsBytes) {
  const auto t = make(spm_metadata({space}));
  EXPECT_EQ(encode(*t, "\xc3\xa9"), (ids{first_piece, byte_token(0xc3), byte_token(0xa9)}));
  EXPECT_EQ(decode(*t, {byte_token(0xc3), byte_token(0xa9)}), "\xc3\xa9");
  EXPECT_EQ(encode(*t, ""), ids{});
  EXPECT_EQ(encode(*t, "", true), ids{1});
}

TEST(SpmTokenizer, WithoutByteTokensTheUnknownOneOrAnError) {
  gguf_metadata metadata;
  metadata.set_string("tokenizer.ggml.model", "llama");
  metadata.set_strings("tokenizer.ggml.tokens", {"<unk>", "<s>", "x"});
  metadata.set_bool("tokenizer.ggml.add_space_prefix", false);
  EXPECT_EQ(encode(*make(metadata), "x?"), (ids{2, 0}));
  metadata.set_string("tokenizer.ggml.model", "gpt2");
  metadata.set_string("tokenizer.ggml.pre", "gpt-2");
  metadata.set_strings("tokenizer.ggml.merges", {});
  const auto t = make(metadata);
  EXPECT_EQ(encode(*t, "x"), ids{2});
  try {
    encode(*t, "x?");
    ADD_FAILURE();
  } catch (const error& e) {
    EXPECT_STREQ(e.state(), "22021");
  }
}

TEST(SpmTokenizer, TextThatSpellsASpecialTokenIsTextUnlessAskedFor) {
  const auto t = make(spm_metadata({"<", "s", ">"}));
  EXPECT_EQ(encode(*t, "<s>").size(), 6U);
  EXPECT_EQ(encode(*t, "<s>", false, true), ids{1});
  EXPECT_EQ(encode(*t, "<unk></s>", false, true), (ids{0, 2}));
}

// What merging means, the slow way: over the whole text, without stretches or a heap.
ids slow_spm(const gguf_metadata& metadata, std::string text) {
  const strings tokens = *metadata.get_strings("tokenizer.ggml.tokens");
  const auto scores = *metadata.get_floats("tokenizer.ggml.scores");
  const auto find = [&](const std::string& s) {
    return static_cast<std::int32_t>(std::find(tokens.begin(), tokens.end(), s) - tokens.begin());
  };
  const auto none = static_cast<std::int32_t>(tokens.size());
  strings symbols = {space};
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    std::size_t const n = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    symbols.push_back(text[i] == ' ' ? std::string(space) : text.substr(i, n));
    i += n;
  }
  for (;;) {
    std::size_t best = symbols.size();
    float score = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      std::int32_t const token = find(symbols[i] + symbols[i + 1]);
      if (token == none || (best < symbols.size() && scores[token] <= score)) continue;
      best = i;
      score = scores[token];
    }
    if (best == symbols.size()) break;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  ids out;
  for (const std::string& s : symbols) {
    if (find(s) != none) {
      out.push_back(find(s));
    } else {
      for (const char c : s) out.push_back(byte_token(static_cast<unsigned char>(c)));
    }
  }
  return out;
}

TEST(SpmTokenizer, AgreesWithASlowReference) {
  std::mt19937 random(5);
  const strings characters = {"a", "b", "c", " ", "\xc3\xa9", "\xf0\x9f\x8e\x89", "d"};
  const auto text = [&](std::size_t n) {
    std::string out;
    for (std::size_t i = 0; i < n; ++i) out += characters[random() % characters.size()];
    return out;
  };
  for (int round = 0; round < 60; ++round) {
    strings pieces = {space, "a", "b", "\xc3\xa9"};
    for (int i = 0; i < 40; ++i) {
      std::string piece;
      for (const char c : text(2 + random() % 4)) piece += c == ' ' ? std::string(space) : std::string(1, c);
      if (std::find(pieces.begin(), pieces.end(), piece) == pieces.end()) pieces.push_back(piece);
    }
    const gguf_metadata metadata = spm_metadata(pieces);
    const auto t = make(metadata);
    for (int i = 0; i < 20; ++i) {
      std::string const sample = text(1 + random() % 40);
      const ids tokens = encode(*t, sample);
      EXPECT_EQ(tokens, slow_spm(metadata, sample)) << sample;
      EXPECT_EQ(decode(*t, tokens), sample);
    }
  }
}

// ---- byte-level BPE ----

TEST(BpeTokenizer, MergesByRankAndThenTheLeftmost) {
  const auto t = make(bpe_metadata("gpt-2", {{"b", "c"}, {"a", "b"}, {" ", "a"}, {"ab", "ab"}, {"a", "a"}}));
  EXPECT_EQ(encode(*t, "abc"), (ids{'a', 256}));
  EXPECT_EQ(encode(*t, "abab"), ids{259});
  EXPECT_EQ(encode(*t, "aaa"), (ids{260, 'a'}));
  EXPECT_EQ(encode(*t, "x ab"), (ids{'x', ' ', 257}));
  EXPECT_EQ(decode(*t, {'x', ' ', 257, 256}), "x abbc");
  EXPECT_EQ(encode(*t, ""), ids{});
}

TEST(BpeTokenizer, AWordThatIsATokenIsTakenWholeByLlama3) {
  const std::vector<std::pair<std::string, std::string>> merges = {{"b", "c"}, {"ab", "c"}};
  EXPECT_EQ(encode(*make(bpe_metadata("llama-bpe", merges)), "abc"), ids{257});
  EXPECT_EQ(encode(*make(bpe_metadata("qwen2", merges)), "abc"), (ids{'a', 256}));
}

TEST(BpeTokenizer, MergesOfWhatIsNoTokenGoBackToBytes) {
  gguf_metadata metadata = bpe_metadata("gpt-2", {});
  metadata.set_strings("tokenizer.ggml.merges", {"a b", "a c"});
  EXPECT_EQ(encode(*make(metadata), "abac"), (ids{'a', 'b', 'a', 'c'}));
}

TEST(BpeTokenizer, SpecialTokens) {
  const auto t = make(bpe_metadata("qwen2", {}, {"<|im_start|>", "<|im_end|>"}, {"<think>", "<think>>"}));
  EXPECT_EQ(encode(*t, "a<think>b"), (ids{'a', 258, 'b'}));
  EXPECT_EQ(encode(*t, "<think>><think>"), (ids{259, 258}));  // the longest first
  EXPECT_EQ(encode(*t, "<|im_end|>", false, true), ids{257});
  EXPECT_EQ(encode(*t, "<|im_end|>").size(), 10U);
  EXPECT_EQ(decode(*t, {256, 'a', 258, 257}), "a<think>");
  EXPECT_EQ(decode(*t, {256, 'a', 258, 257}, true), "<|im_start|>a<think><|im_end|>");
  EXPECT_TRUE(t->ends_text(257));
  EXPECT_FALSE(t->ends_text(256));
  EXPECT_EQ(t->bos(), 11);
}

TEST(BpeTokenizer, AddsBosWhereTheVariantOrTheMetadataSays) {
  gguf_metadata metadata = bpe_metadata("llama-bpe", {}, {"<|begin_of_text|>"});
  metadata.set_uint32("tokenizer.ggml.bos_token_id", 256);
  EXPECT_EQ(encode(*make(metadata), "a", true), ids{'a'});
  metadata.set_bool("tokenizer.ggml.add_bos_token", true);
  EXPECT_EQ(encode(*make(metadata), "a", true), (ids{256, 'a'}));
  metadata.kv.pop_back();
  metadata.kv.erase(std::remove_if(metadata.kv.begin(), metadata.kv.end(),
                                   [](const gguf_kv& kv) { return kv.key == "tokenizer.ggml.add_bos_token"; }),
                    metadata.kv.end());
  metadata.set_uint32("tokenizer.ggml.bos_token_id", 256);
  EXPECT_EQ(encode(*make(metadata), "a", true), (ids{256, 'a'}));
}

TEST(BpeTokenizer, EveryByteGoesThereAndBack) {
  std::string all;
  for (int i = 0; i < 4096; ++i) all += static_cast<char>((i * 193) ^ (i >> 5));
  for (const char* pre : {"gpt-2", "llama-bpe", "qwen2", "smollm"}) {
    const auto t = make(bpe_metadata(pre, {{"a", "b"}, {" ", "a"}}));
    EXPECT_EQ(decode(*t, encode(*t, all)), all) << pre;
  }
  const auto t = make(spm_metadata({"ab", space}));
  EXPECT_EQ(decode(*t, encode(*t, all)), all);
}

// ---- the example model ----

std::string file(const char* name) {
  std::ifstream in(std::string(HARTONOMOUS_TEST_DIR) + "/../../examples/" + name, std::ios::binary);
  std::stringstream bytes;
  bytes << in.rdbuf();
  return bytes.str();
}

std::unique_ptr<const tokenizer> example() {
  std::string const bytes = file("tiny-stories.gguf");
  memory_source source(bytes.data(), bytes.size());
  no_interrupts interrupts;
  return tokenizer::create(read_gguf_header(source, interrupts), interrupts);
}

// The ids are llama.cpp's.
TEST(Tokenizer, AgreesWithLlamaCppOnTheExampleModel) {
  const auto t = example();
  std::string const text =
      "Once upon a time, there was a little girl named Zo\xc3\xab. <s>She'd said: \"10 + 2 = 12!\"\n\n  The end.\t"
      "\xf0\x9f\x8e\x89";
  const ids as_text = {1,   423, 345, 449, 277, 260, 595, 711, 404, 286, 260, 500, 446, 295, 298, 265, 689, 755, 198,
                       174, 712, 767, 63,  759, 65,  733, 259, 710, 744, 380, 713, 276, 52,  51,  767, 46,  767, 53,
                       767, 64,  767, 52,  53,  708, 709, 13,  13,  767, 338, 343, 266, 712, 12,  243, 162, 145, 140};
  EXPECT_EQ(encode(*t, text, true), as_text);
  EXPECT_EQ(decode(*t, as_text), text);
  const ids parsed = {1,   423, 345, 449, 277, 260, 595, 711, 404, 286, 260, 500, 446, 295, 298, 265, 689, 755,
                      198, 174, 712, 767, 1,   406, 710, 744, 380, 713, 276, 52,  51,  767, 46,  767, 53,  767,
                      64,  767, 52,  53,  708, 709, 13,  13,  767, 338, 343, 266, 712, 12,  243, 162, 145, 140};
  EXPECT_EQ(encode(*t, text, true, true), parsed);
  EXPECT_EQ(t->size(), 768U);
  EXPECT_EQ(t->bos(), 1);
  EXPECT_EQ(t->eos(), 2);
  EXPECT_TRUE(t->adds_bos());
  EXPECT_FALSE(t->adds_eos());
  EXPECT_TRUE(t->ends_text(2));
}

TEST(Tokenizer, HeldOutTextGoesThereAndBack) {
  const auto t = example();
  std::string const text = file("heldout.txt");
  const ids tokens = encode(*t, text, true);
  EXPECT_EQ(tokens.size(), 58646U);  // llama.cpp's count
  EXPECT_EQ(decode(*t, tokens), text);
}

// ---- work that can be interrupted, in time and memory that stay in bounds ----

class counting_interrupt final : public interrupt_checker {
 public:
  void check() override {
    if (++checks == limit) throw error("57014", "enough");
  }
  int checks = 0;
  int limit = -1;
};

TEST(Tokenizer, ChecksForInterruptsInOneLongWord) {
  std::string const word(1000000, 'a');
  const gguf_metadata metadata[] = {spm_metadata({"a", "aa", "aaaa"}),
                                    bpe_metadata("gpt-2", {{"a", "a"}, {"aa", "aa"}})};
  for (const gguf_metadata& m : metadata) {
    const auto t = make(m);
    counting_interrupt interrupts;
    EXPECT_NEAR(static_cast<double>(t->encode(word, false, false, interrupts).size()), 250000, 10);
    EXPECT_GT(interrupts.checks, 500);
    interrupts.limit = interrupts.checks / 2;
    interrupts.checks = 0;
    EXPECT_THROW(t->encode(word, false, false, interrupts), error);
  }
}

TEST(Tokenizer, MemoryGoesToTheLongestWord) {
  EXPECT_EQ(tokenizer::encode_memory(""), 0U);
  EXPECT_EQ(tokenizer::encode_memory("ab cde f"), 8U * 8 + 64 * 3);
  EXPECT_EQ(tokenizer::encode_memory("a \n\t b"), 8U * 6 + 64 * 4);
  EXPECT_EQ(tokenizer::encode_memory(std::string(1000, 'x')), 72000U);
}

TEST(Tokenizer, MakingOneChecksForInterrupts) {
  strings pieces;
  for (int i = 0; i < 50000; ++i) pieces.push_back("word" + std::to_string(i));
  counting_interrupt interrupts;
  EXPECT_GT(tokenizer::create(spm_metadata(pieces), interrupts)->memory(), 500000U);
  EXPECT_GT(interrupts.checks, 50);
}

// ---- metadata that is wrong ----

TEST(Tokenizer, MetadataWithoutATokenizer) {
  gguf_metadata metadata;
  creation_error(metadata, "22023");
  metadata.set_string("tokenizer.ggml.model", "no_vocab");
  creation_error(metadata, "22023");
  metadata.set_string("tokenizer.ggml.model", "bert");
  EXPECT_EQ(creation_error(metadata, "0A000"), "unknown tokenizer \"bert\"");
  metadata.set_bool("tokenizer.ggml.model", true);
  creation_error(metadata, "22P03");
}

TEST(Tokenizer, MissingAndIllTypedKeys) {
  gguf_metadata metadata;
  metadata.set_string("tokenizer.ggml.model", "gpt2");
  EXPECT_EQ(creation_error(metadata, "22P03"), "metadata key \"tokenizer.ggml.pre\" is missing");
  metadata.set_string("tokenizer.ggml.pre", "mine");
  EXPECT_EQ(creation_error(metadata, "0A000"), "unknown pre-tokenizer \"mine\"");
  metadata.set_string("tokenizer.ggml.pre", "qwen2");
  EXPECT_EQ(creation_error(metadata, "22P03"), "metadata key \"tokenizer.ggml.tokens\" is missing");
  metadata.set_ints("tokenizer.ggml.tokens", {1});
  creation_error(metadata, "22P03");
  metadata.set_strings("tokenizer.ggml.tokens", {});
  EXPECT_EQ(creation_error(metadata, "22P03"), "the vocabulary has 0 tokens");
  metadata.set_strings("tokenizer.ggml.tokens", {"a", "b"});
  EXPECT_EQ(creation_error(metadata, "22P03"), "metadata key \"tokenizer.ggml.merges\" is missing");
  metadata.set_strings("tokenizer.ggml.merges", {"ab"});
  creation_error(metadata, "22P03");
  metadata.set_strings("tokenizer.ggml.merges", {"a b", " c"});
  creation_error(metadata, "22P03");
  metadata.set_strings("tokenizer.ggml.merges", {"a b"});
  EXPECT_EQ(make(metadata)->size(), 2U);
}

// What an import asks of a vocabulary: less than what a text does.
TEST(Tokenizer, TokensThatAreThereTwiceAreFoundWithoutMakingATokenizer) {
  no_interrupts interrupts;
  gguf_metadata m;
  m.set_strings("tokenizer.ggml.tokens", {"a", "b", "a"});
  EXPECT_NO_THROW(check_tokens(m, interrupts));  // of no kind
  m.set_string("tokenizer.ggml.model", "bert");
  EXPECT_NO_THROW(check_tokens(m, interrupts));  // of a kind that is not known here
  for (const char* kind : {"llama", "gpt2"}) {
    m.set_string("tokenizer.ggml.model", kind);
    m.set_strings("tokenizer.ggml.tokens", {"a", "b", "a"});
    EXPECT_THROW(check_tokens(m, interrupts), error) << kind;
    m.set_strings("tokenizer.ggml.tokens", {"a", "b", "", ""});
    EXPECT_NO_THROW(check_tokens(m, interrupts));  // empty ones are told apart
    m.set_strings("tokenizer.ggml.tokens", {});
    EXPECT_NO_THROW(check_tokens(m, interrupts));
    m.set_ints("tokenizer.ggml.tokens", {1, 1});
    EXPECT_NO_THROW(check_tokens(m, interrupts));  // an error of its own, once there is a text
  }
}

TEST(Tokenizer, MalformedVocabularies) {
  const gguf_metadata good = spm_metadata({"a"});
  const auto with = [&](auto change) {
    gguf_metadata metadata = good;
    change(metadata);
    return creation_error(metadata, "22P03");
  };
  EXPECT_EQ(with([](gguf_metadata& m) {
              m.set_strings("tokenizer.ggml.tokens", {"a", "b", "a"});
            }),
            "the vocabulary has the token \"a\" twice");
  with([](gguf_metadata& m) { m.set_floats("tokenizer.ggml.scores", {0, 1}); });
  with([](gguf_metadata& m) { m.set_floats("tokenizer.ggml.scores", std::vector<float>(260, std::nanf(""))); });
  with([](gguf_metadata& m) { m.set_ints("tokenizer.ggml.token_type", {1}); });
  with([](gguf_metadata& m) { m.set_uint32("tokenizer.ggml.bos_token_id", 260); });
  with([](gguf_metadata& m) { m.set_uint32("tokenizer.ggml.eot_token_id", 0xfffffffe); });
  with([](gguf_metadata& m) { m.set_string("tokenizer.ggml.add_bos_token", "yes"); });
  gguf_metadata without = good;
  without.set_uint32("tokenizer.ggml.eos_token_id", 0xffffffff);  // -1, for none
  EXPECT_EQ(make(without)->eos(), 2);
  gguf_metadata one;
  one.set_string("tokenizer.ggml.model", "llama");
  one.set_strings("tokenizer.ggml.tokens", {"a"});
  EXPECT_EQ(creation_error(one, "22P03"), "metadata key \"tokenizer.ggml.bos_token_id\" is missing");
  one.set_strings("tokenizer.ggml.tokens", {"", "<s>", ""});  // two empty ones are not the same
  EXPECT_EQ(make(one)->size(), 3U);
}

TEST(Tokenizer, TokensBeyondTheVocabulary) {
  const auto t = make(spm_metadata({"a"}));
  for (std::int32_t const token : {-1, 260, INT32_MAX}) {
    try {
      decode(*t, {token});
      ADD_FAILURE();
    } catch (const error& e) {
      EXPECT_STREQ(e.state(), "22003");
    }
    EXPECT_THROW(t->ends_text(token), error);
  }
}

}  // namespace
}  // namespace hartonomous
