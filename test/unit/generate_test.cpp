// Choosing tokens, and texts that go on.
#include "hartonomous/generate.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>

#include "gguf_tensors.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

constexpr float nan_logit = std::numeric_limits<float>::quiet_NaN();

sampling how(double temperature, std::uint32_t top_k = 0, double top_p = 1.0, std::uint64_t seed = 0) {
  return {temperature, top_k, top_p, seed};
}

std::map<token_id, int> histogram(const sampling& s, const std::vector<float>& logits, int draws) {
  token_sampler sampler(s);
  std::map<token_id, int> counts;
  for (int i = 0; i < draws; ++i) ++counts[sampler.choose(logits).token];
  return counts;
}

template <class F>
std::string state_of(F&& f) {
  try {
    f();
  } catch (const error& e) {
    return e.state();
  }
  return "00000";
}

TEST(Sampler, GreedyTakesTheLikeliestAndOfTiesTheFirst) {
  token_sampler sampler(how(0.0));
  EXPECT_EQ(sampler.choose(std::vector<float>{0, 3, 1, 3}).token, 1);
  EXPECT_EQ(sampler.choose(std::vector<float>{nan_logit, -5, nan_logit}).token, 1);
  EXPECT_EQ(sampler.choose(std::vector<float>{-2}).token, 0);
}

TEST(Sampler, ReportsTheModelsLogProbability) {
  const std::vector<float> logits = {std::log(1.0f), std::log(3.0f)};
  EXPECT_NEAR(token_sampler(how(0.0)).choose(logits).log_probability, std::log(0.75), 1e-6);
  EXPECT_NEAR(token_sampler(how(5.0, 1)).choose(logits).log_probability, std::log(0.75), 1e-6);
}

TEST(Sampler, DrawsByProbability) {
  // 1 : 2 : 5, and at temperature 1/2 their squares.
  const std::vector<float> logits = {std::log(1.0f), std::log(2.0f), std::log(5.0f)};
  const auto plain = histogram(how(1.0), logits, 80000);
  EXPECT_NEAR(plain.at(0), 10000, 500);
  EXPECT_NEAR(plain.at(1), 20000, 700);
  const auto cold = histogram(how(0.5), logits, 30000);
  EXPECT_NEAR(cold.at(0), 1000, 150);
  EXPECT_NEAR(cold.at(1), 4000, 300);
}

TEST(Sampler, TopKAndTopPLeaveTheRestOut) {
  const std::vector<float> logits = {std::log(1.0f), std::log(2.0f), std::log(5.0f), std::log(2.0f)};
  EXPECT_EQ(histogram(how(1.0, 1), logits, 1000).size(), 1u);
  const auto two = histogram(how(1.0, 2), logits, 1000);
  EXPECT_EQ(two.size(), 2u);
  EXPECT_TRUE(two.count(1) == 1 && two.count(2) == 1) << "of ties the first";
  EXPECT_EQ(histogram(how(1.0, 100), logits, 1000).size(), 4u);
  EXPECT_EQ(histogram(how(1.0, 0, 0.5), logits, 1000).size(), 1u) << "5 of 10 is enough";
  EXPECT_EQ(histogram(how(1.0, 0, 0.51), logits, 1000).size(), 2u);
  EXPECT_EQ(histogram(how(1.0, 0, 1e-9), logits, 1000).size(), 1u);
}

TEST(Sampler, SeedsDecide) {
  const std::vector<float> logits(50, 0.0f);
  const auto run = [&](std::uint64_t seed) {
    token_sampler sampler(how(1.0, 0, 1.0, seed));
    std::vector<token_id> tokens;
    for (int i = 0; i < 20; ++i) tokens.push_back(sampler.choose(logits).token);
    return tokens;
  };
  EXPECT_EQ(run(7), run(7));
  EXPECT_NE(run(7), run(8));
}

TEST(Sampler, RefusesWhatMakesNoSense) {
  for (double t : {-1.0, std::nan(""), HUGE_VAL}) EXPECT_EQ(state_of([&] { token_sampler s(how(t)); }), "22023");
  for (double p : {0.0, 1.5, std::nan("")}) EXPECT_EQ(state_of([&] { token_sampler s(how(1, 0, p)); }), "22023");
  EXPECT_EQ(state_of([&] { token_sampler(how(0)).choose(std::vector<float>{nan_logit}); }), "55000");
  EXPECT_EQ(state_of([&] { token_sampler(how(1)).choose({}); }), "55000");
}

TEST(Sampler, InfiniteLogitsWin) {
  const float infinite = std::numeric_limits<float>::infinity();
  for (double t : {0.0, 1.0}) EXPECT_EQ(token_sampler(how(t)).choose(std::vector<float>{1, infinite, 2}).token, 1);
}

TEST(Continuation, GoesOnAsIfTheTextHadBeenRunAtOnce) {
  network_test::gguf_tensors tensors(std::string(HARTONOMOUS_TEST_DIR) + "/golden/random-qwen3.gguf");
  no_interrupts none;
  transformer network(read_hyperparameters(tensors.metadata()), tensors, 1, 1 << 20, none);
  const std::vector<token_id> tokens = {1, 5, 9, 2, 31};
  text_continuation whole(network, 5), parts(network, 6);
  const std::vector<float> expected = whole.append(tokens);
  parts.append({tokens.data(), 3});
  EXPECT_EQ(parts.length(), 3u);
  parts.append({tokens.data() + 3, 1});
  const std::vector<float> logits = parts.append({tokens.data() + 4, 1});
  ASSERT_EQ(logits.size(), 32u);
  for (std::size_t i = 0; i < 32; ++i) EXPECT_NEAR(logits[i], expected[i], 1e-5);
  EXPECT_TRUE(whole.full());
  EXPECT_FALSE(parts.full());
  EXPECT_EQ(state_of([&] { whole.append({tokens.data(), 1}); }), "22023");
  EXPECT_EQ(state_of([&] { parts.append({}); }), "22023");
}

TEST(Generator, StopsWhereItShould) {
  network_test::gguf_tensors tensors(std::string(HARTONOMOUS_TEST_DIR) + "/golden/random-qwen3.gguf");
  no_interrupts none;
  transformer network(read_hyperparameters(tensors.metadata()), tensors, 1, 1 << 20, none);
  const auto generated = [&](std::vector<token_id> prompt, std::uint32_t most, const text_generator::token_test& ends) {
    text_generator generator(network, std::move(prompt), most, how(0), ends);
    std::vector<token_id> tokens;
    while (const std::optional<chosen_token> token = generator.next()) tokens.push_back(token->token);
    EXPECT_FALSE(generator.next().has_value()) << "it stays ended";
    return tokens;
  };
  const auto never = [](token_id) { return false; };
  const std::vector<token_id> ten = generated({1, 5}, 10, never);
  ASSERT_EQ(ten.size(), 10u);
  EXPECT_EQ(generated({1, 5}, 0, never).size(), 0u);
  EXPECT_EQ(generated({1, 5}, 1000, never).size(), 63u) << "the context is 64; the last token is not read";
  EXPECT_EQ(generated(std::vector<token_id>(64, 1), 9, never).size(), 1u);
  std::vector<token_id> before;
  for (token_id token : ten) {
    if (token == ten[5]) break;
    before.push_back(token);
  }
  EXPECT_EQ(generated({1, 5}, 10, [&](token_id token) { return token == ten[5]; }), before);
  EXPECT_EQ(state_of([&] { generated({}, 1, never); }), "22023");
  EXPECT_EQ(state_of([&] { generated(std::vector<token_id>(65, 1), 1, never); }), "22023");
  // Each token is the likeliest after those before.
  text_continuation text(network, 64);
  std::vector<token_id> next = {1, 5};
  for (token_id token : ten) {
    EXPECT_EQ(token_sampler(how(0)).choose(text.append(next)).token, token);
    next = {token};
  }
}

TEST(Utf8StreamDecoder, CharactersWaitForTheirEnd) {
  utf8_stream_decoder text;
  EXPECT_EQ(text.add("a\xE2"), "a");
  EXPECT_EQ(text.add("\x82"), "");
  EXPECT_EQ(text.add("\xAC!"), "\xE2\x82\xAC!");
  EXPECT_EQ(text.add("\xF0\x9F\x98"), "");
  EXPECT_EQ(text.add("\x80"), "\xF0\x9F\x98\x80");
}

TEST(Utf8StreamDecoder, WhatIsNoCharacterIsReplacedByteByByte) {
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(utf8_stream_decoder().add("a\x80z"), "a" + r + "z");
  EXPECT_EQ(utf8_stream_decoder().add("\xE2z"), r + "z");
  EXPECT_EQ(utf8_stream_decoder().add(std::string("\0z", 2)), r + "z");
  EXPECT_EQ(utf8_stream_decoder().add("\xC0\xAF"), r + r) << "overlong";
  EXPECT_EQ(utf8_stream_decoder().add("\xED\xA0\x80z"), r + r + r + "z") << "a surrogate";
  EXPECT_EQ(utf8_stream_decoder().add("\xFF"), r);
}

}  // namespace
}  // namespace hartonomous
