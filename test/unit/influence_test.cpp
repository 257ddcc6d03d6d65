// Block Influence, compared with runs of single blocks.
#include "hartonomous/influence.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "gguf_tensors.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

using network_test::gguf_tensors;

const std::string example = std::string(HARTONOMOUS_TEST_DIR) + "/../../examples/tiny-stories.gguf";
constexpr std::uint64_t enough = std::uint64_t{1} << 30;

std::vector<token_id> some_tokens(std::size_t count) {
  std::vector<token_id> tokens(count);
  for (std::size_t i = 0; i < count; ++i) tokens[i] = static_cast<token_id>((i * i + 7 * i) % 700);
  return tokens;
}

class Influence : public testing::Test {
 protected:
  std::vector<double> of(const std::vector<token_id>& tokens, std::uint32_t n_ctx,
                         const std::vector<std::int32_t>& blocks, std::uint64_t memory = enough,
                         std::optional<token_id> begin = std::nullopt) {
    return block_influences(network_, tokens, n_ctx, begin, blocks, memory);
  }
  std::string state_of(const std::vector<token_id>& tokens, std::uint32_t n_ctx,
                       const std::vector<std::int32_t>& blocks) {
    try {
      of(tokens, n_ctx, blocks);
    } catch (const error& e) {
      return e.state();
    }
    return "no error";
  }

  no_interrupts none_;
  gguf_tensors tensors_{example};
  transformer network_{read_hyperparameters(tensors_.metadata()), tensors_, 1, 1 << 20, none_};
};

TEST_F(Influence, IsTheMeanOfOneMinusTheCosine) {
  const std::vector<token_id> tokens = some_tokens(12);
  const std::size_t width = network_.config().width;
  std::vector<float> before(12 * width);
  const token_sequence sequence[] = {{tokens, nullptr}};
  network_.embed(sequence, before.data());
  std::vector<float> after = before;
  network_.run_block(1, sequence, after.data());
  double sum = 0.0;
  for (std::size_t t = 0; t < 12; ++t) {
    double product = 0.0, a = 0.0, b = 0.0;
    for (std::size_t j = t * width; j < (t + 1) * width; ++j) {
      product += double{before[j]} * after[j];
      a += double{before[j]} * before[j];
      b += double{after[j]} * after[j];
    }
    sum += 1.0 - product / std::sqrt(a * b);
  }
  EXPECT_NEAR(of(tokens, 64, {1})[0], sum / 12, 1e-12);
}

TEST_F(Influence, OnlyTheGivenBlocksAreRun) {
  const std::vector<token_id> tokens = some_tokens(20);
  const std::vector<double> all = of(tokens, 64, {0, 1, 2}), some = of(tokens, 64, {0, 2});
  EXPECT_EQ(some[0], all[0]);
  EXPECT_NE(some[1], all[2]);
}

TEST_F(Influence, MemoryChangesNothingMuch) {
  const std::vector<token_id> tokens = some_tokens(100);
  const std::vector<double> at_once = of(tokens, 16, {0, 1, 2}), by_window = of(tokens, 16, {0, 1, 2}, 0);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(by_window[i], at_once[i], 1e-6);
}

TEST_F(Influence, WindowsBeginWithTheirToken) {
  const std::vector<token_id> tokens = some_tokens(32);
  std::vector<token_id> replaced = tokens;
  replaced[0] = replaced[16] = 1;
  EXPECT_EQ(of(tokens, 16, {0}, enough, 1), of(replaced, 16, {0}));
  EXPECT_NE(of(tokens, 16, {0}, enough, 1), of(tokens, 16, {0}));
}

TEST_F(Influence, WhatMakesNoSenseIsRefused) {
  EXPECT_EQ(state_of({}, 16, {0}), "22023");
  EXPECT_EQ(state_of({1}, 0, {0}), "22023");
  EXPECT_EQ(state_of({1}, 16, {3}), "22023");
  EXPECT_EQ(state_of({1}, 16, {-1}), "22023");
  EXPECT_EQ(state_of({1}, 16, {}), "no error");
}

}  // namespace
}  // namespace hartonomous
