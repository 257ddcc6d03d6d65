// Repairs of blocks before gaps, compared with networks that are run as they are.
#include "hartonomous/span_repair.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "countdown.hpp"
#include "gguf_tensors.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

using network_test::gguf_tensors;

const std::string golden = std::string(HARTONOMOUS_TEST_DIR) + "/golden/";
constexpr std::uint64_t enough = std::uint64_t{1} << 30;
constexpr std::size_t length = 200, width = 16;
constexpr std::uint32_t n_ctx = 16;

std::vector<token_id> some_tokens() {
  std::vector<token_id> tokens;
  std::uint32_t state = 7;
  for (std::size_t i = 0; i < length; ++i) {
    state = state * 1664525U + 1013904223U;
    tokens.push_back(static_cast<token_id>((state >> 16) % 32));
  }
  return tokens;
}

// A model of two blocks, which it has three times.
class deep_model {
 public:
  explicit deep_model(const std::string& file)
      : tensors(golden + file), config(read_hyperparameters(tensors.metadata())), file_(golden + file) {
    const std::map<std::string, gguf_tensors::matrix> two = tensors.matrices();
    for (const auto& [name, matrix] : two) {
      if (name.rfind("blk.", 0) != 0) continue;
      for (const int more : {2, 4}) {
        const std::string number = std::to_string(name[4] - '0' + more);
        gguf_tensors::matrix copy = matrix;
        // Not quite the same, so that there is something to make up for.
        for (std::size_t i = 0; i < copy.values.size(); ++i) {
          copy.values[i] *= 1.0F + 0.1F * static_cast<float>(static_cast<int>((i + number[0]) % 7) - 3);
        }
        tensors.matrices()["blk." + number + name.substr(5)] = copy;
      }
    }
    config.blocks = 6;
  }
  explicit deep_model(deep_model& other) : tensors(other.file_), config(other.config), file_(other.file_) {
    tensors.matrices() = other.tensors.matrices();
  }
  void add_bias(int block) {
    gguf_tensors::matrix bias;
    bias.shape = {1, width};
    for (std::size_t i = 0; i < width; ++i) bias.values.push_back(0.1F * static_cast<float>(i % 5) - 0.15F);
    tensors.matrices()["blk." + std::to_string(block) + ".ffn_down.bias"] = bias;
  }

  gguf_tensors tensors;
  hyperparameters config;

 private:
  std::string file_;
};

// The stream after some blocks.
std::vector<float> stream_of(deep_model& model, const std::vector<std::uint32_t>& blocks) {
  no_interrupts none;
  transformer network(model.config, model.tensors, 1, 1 << 20, none);
  const std::vector<token_id> tokens = some_tokens();
  std::vector<float> states(length * width);
  const token_sequence whole = {tokens};
  network.embed({&whole, 1}, states.data());
  std::vector<token_sequence> windows;
  for (std::size_t at = 0; at < length; at += n_ctx) {
    windows.push_back({{tokens.data() + at, std::min<std::size_t>(n_ctx, length - at)}, nullptr});
  }
  for (const std::uint32_t block : blocks) network.run_block(block, windows, states.data());
  return states;
}

struct request {
  std::vector<std::int32_t> kept;
  std::uint32_t before = 1;
  double damping = 0.01;
  std::size_t tokens = length;
  unsigned threads = 1;
  std::uint64_t memory = enough;
  int cancel_at = 0;
};

span_repair repair_of(deep_model& model, const request& r) {
  countdown interrupts(r.cancel_at);
  transformer network(model.config, model.tensors, r.threads, 1 << 20, interrupts);
  const std::vector<token_id> tokens = some_tokens();
  return repair_span(network, model.tensors, {{tokens.data(), r.tokens}, n_ctx, std::nullopt}, r.kept, r.before,
                     r.damping, r.memory);
}

void put_into(deep_model& model, const span_repair& repair) {
  no_interrupts none;
  thread_pool pool;
  gguf_tensors::matrix& matrix = model.tensors.matrices().at(repair.matrix);
  for (std::size_t row = 0; row < matrix.shape.rows; row += width) {
    apply_repair(repair, matrix.values.data() + row * matrix.shape.columns, matrix.shape.columns, pool, none);
  }
}

double relative_error(const std::vector<float>& whole, const std::vector<float>& part) {
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    difference += (double{whole[i]} - part[i]) * (double{whole[i]} - part[i]);
    size += double{whole[i]} * whole[i];
  }
  return std::sqrt(difference / size);
}

// What the feed-forward network of block 1 adds without its bias: the difference that its last matrix makes.
std::vector<float> added_by(deep_model& model, const std::vector<float>& after) {
  deep_model without(model);
  for (auto& [name, matrix] : without.tensors.matrices()) {
    if (name.rfind("blk.1.ffn_down", 0) == 0 && name.find("weight") != std::string::npos) {
      std::fill(matrix.values.begin(), matrix.values.end(), 0.0F);
    }
  }
  std::vector<float> added = stream_of(without, {0, 1});
  for (std::size_t i = 0; i < added.size(); ++i) added[i] = after[i] - added[i];
  return added;
}

// At the minimum the sum of (l - y - T m) mᵀ is alpha (T - I).
void expect_minimum(deep_model& model, const span_repair& repair, double damping) {
  const std::vector<float> after = stream_of(model, {0, 1}), goal = stream_of(model, {0, 1, 2, 3});
  const std::vector<float> m = added_by(model, after);
  double energy = 0.0;
  for (const float v : m) energy += double{v} * v;
  for (std::size_t i = 0; i < width; ++i) {
    for (std::size_t j = 0; j < width; ++j) {
      double sum = 0.0;
      for (std::size_t t = 0; t < length; ++t) {
        double left = double{goal[t * width + i]} - after[t * width + i];
        for (std::size_t k = 0; k < width; ++k) left -= double{repair.change[i * width + k]} * m[t * width + k];
        sum += left * m[t * width + j];
      }
      EXPECT_NEAR(sum, damping * energy / width * repair.change[i * width + j], 1e-3 * energy / width);
    }
  }
}

TEST(SpanRepair, IsLeastSquares) {
  deep_model model("random-llama.gguf");
  for (const double damping : {0.01, 1.0}) {
    const span_repair repair = repair_of(model, {{0, 1, 4, 5}, 1, damping});
    EXPECT_EQ(repair.matrix, "blk.1.ffn_down.weight");
    expect_minimum(model, repair, damping);
  }
}

TEST(SpanRepair, BiasesStayAsTheyAre) {
  deep_model model("random-llama.gguf");
  const span_repair without = repair_of(model, {{0, 1, 4, 5}});
  model.add_bias(1);
  const span_repair repair = repair_of(model, {{0, 1, 4, 5}});
  EXPECT_NE(repair.change, without.change);
  expect_minimum(model, repair, 0.01);
}

TEST(SpanRepair, TheErrorsAreThoseOfTheNetworks) {
  for (const char* file : {"random-llama.gguf", "random-qwen3moe.gguf"}) {
    deep_model model(file);
    const std::vector<float> whole = stream_of(model, {0, 1, 2, 3});
    const span_repair repair = repair_of(model, {{0, 1, 4, 5}});
    EXPECT_NEAR(repair.error_before, relative_error(whole, stream_of(model, {0, 1})), 1e-6) << file;
    put_into(model, repair);
    EXPECT_NEAR(repair.error_after, relative_error(whole, stream_of(model, {0, 1})), 1e-5) << file;
    EXPECT_LT(repair.error_after, repair.error_before) << file;
  }
}

TEST(SpanRepair, LaterGapsAreBehindRepairedOnes) {
  deep_model model("random-llama.gguf");
  const std::vector<float> whole = stream_of(model, {0, 1, 2, 3, 4, 5});
  const span_repair first = repair_of(model, {{0, 1, 3, 4}, 1}), second = repair_of(model, {{0, 1, 3, 4}, 4});
  EXPECT_EQ(second.matrix, "blk.4.ffn_down.weight");
  put_into(model, first);
  EXPECT_NEAR(second.error_before, relative_error(whole, stream_of(model, {0, 1, 3, 4})), 1e-5);
  put_into(model, second);
  EXPECT_NEAR(second.error_after, relative_error(whole, stream_of(model, {0, 1, 3, 4})), 1e-5);
}

TEST(SpanRepair, AGapAtTheBeginningStaysOne) {
  deep_model model("random-llama.gguf");
  const span_repair repair = repair_of(model, {{1, 2, 5}, 2});
  EXPECT_NEAR(repair.error_before, relative_error(stream_of(model, {0, 1, 2, 3, 4}), stream_of(model, {1, 2})), 1e-6);
}

TEST(SpanRepair, BlocksThatDoNothingNeedNoRepair) {
  deep_model model("random-llama.gguf");
  for (auto& [name, matrix] : model.tensors.matrices()) {
    if (name == "blk.2.attn_output.weight" || name == "blk.2.ffn_down.weight") {
      std::fill(matrix.values.begin(), matrix.values.end(), 0.0F);
    }
  }
  const span_repair repair = repair_of(model, {{0, 1, 3, 4, 5}});
  EXPECT_EQ(repair.error_before, 0.0);
  EXPECT_EQ(repair.error_after, 0.0);
  EXPECT_EQ(std::count(repair.change.begin(), repair.change.end(), 0.0F), width * width);
}

TEST(SpanRepair, ABlockThatAddsNothingIsNotChanged) {
  deep_model model("random-llama.gguf");
  std::vector<float>& down = model.tensors.matrices().at("blk.1.ffn_down.weight").values;
  std::fill(down.begin(), down.end(), 0.0F);
  const span_repair repair = repair_of(model, {{0, 1, 4, 5}});
  EXPECT_EQ(std::count(repair.change.begin(), repair.change.end(), 0.0F), width * width);
  EXPECT_EQ(repair.error_after, repair.error_before);
}

TEST(SpanRepair, MuchDampingLeavesTheBlockAsItIs) {
  deep_model model("random-llama.gguf");
  const span_repair repair = repair_of(model, {{0, 1, 4, 5}, 1, 1e9});
  for (const float change : repair.change) EXPECT_LT(std::abs(change), 1e-6F);
}

TEST(SpanRepair, ThreadsChangeNoBit) {
  deep_model model("random-qwen3moe.gguf");
  const span_repair one = repair_of(model, {{0, 1, 4, 5}}),
                    three = repair_of(model, {{0, 1, 4, 5}, 1, 0.01, length, 3});
  EXPECT_EQ(one.change, three.change);
  EXPECT_EQ(one.error_after, three.error_after);
}

TEST(SpanRepair, ItsCostIsKnown) {
  deep_model model("random-llama.gguf");
  no_interrupts none;
  transformer network(model.config, model.tensors, 1, 1 << 20, none);
  double multiplications = 0.0;
  network.watch([&](double m) { multiplications += m; });
  const std::vector<token_id> tokens = some_tokens();
  const std::vector<std::pair<std::vector<std::int32_t>, std::uint32_t>> requests = {
      {{0, 1, 4, 5}, 1}, {{0, 1, 3, 4}, 1}, {{0, 1, 3, 4}, 4}, {{1, 2, 5}, 2}, {{0}, 0}};
  for (const auto& [kept, before] : requests) {
    multiplications = 0.0;
    repair_span(network, model.tensors, {tokens, n_ctx, std::nullopt}, kept, before, 0.01, enough);
    EXPECT_DOUBLE_EQ(repair_multiplications(network, length, kept, before), multiplications);
  }
}

std::string state_of(deep_model& model, const request& r) {
  try {
    repair_of(model, r);
  } catch (const error& e) {
    return e.state();
  }
  return "no error";
}

TEST(SpanRepair, WhatMakesNoSenseIsRefused) {
  deep_model model("random-llama.gguf");
  EXPECT_EQ(state_of(model, {{0, 1, 4, 5}}), "no error");
  EXPECT_EQ(state_of(model, {{0, 1, 4, 5}, 0}), "22023");  // block 1 is there
  EXPECT_EQ(state_of(model, {{0, 1, 4, 5}, 2}), "22023");  // not kept
  EXPECT_EQ(state_of(model, {{0, 1, 4, 5}, 5}), "22023");  // the last one
  EXPECT_EQ(state_of(model, {{}, 1}), "22023");
  EXPECT_EQ(state_of(model, {{1, 0, 4}}), "22023");
  EXPECT_EQ(state_of(model, {{0, 1, 6}}), "22023");
  EXPECT_EQ(state_of(model, {{-1, 1, 4}}), "22023");
  EXPECT_EQ(state_of(model, {{0, 1, 4, 5}, 1, 0.0}), "22023");
  EXPECT_EQ(state_of(model, {{0, 1, 4, 5}, 1, std::nan("")}), "22023");
  EXPECT_EQ(state_of(model, {{0, 1, 4, 5}, 1, 0.01, 1}), "22023");
  EXPECT_EQ(state_of(model, {{0, 1, 4, 5}, 1, 0.01, width - 1}), "22023");
  EXPECT_EQ(state_of(model, {{0, 1, 4, 5}, 1, 0.01, width}), "no error");
  EXPECT_EQ(state_of(model, {{0, 1, 4, 5}, 1, 0.01, length, 1, 1000}), "53200");
  model.tensors.matrices().at("blk.2.ffn_up.weight").values[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(state_of(model, {{0, 1, 4, 5}}), "55000");
}

// All tokens are the same, and so is what is added for each.
TEST(SpanRepair, DependentOutputsNeedDamping) {
  deep_model model("random-llama.gguf");
  no_interrupts none;
  transformer network(model.config, model.tensors, 1, 1 << 20, none);
  const std::vector<token_id> tokens(64, 3);
  const std::vector<std::int32_t> kept = {0, 1, 4, 5};
  const repair_text text = {tokens, n_ctx, std::nullopt};
  const span_repair repair = repair_span(network, model.tensors, text, kept, 1, 0.01, enough);
  EXPECT_LT(repair.error_after, 0.1 * repair.error_before);
  for (const float change : repair.change) EXPECT_LT(std::abs(change), 100.0F);
  try {
    repair_span(network, model.tensors, text, kept, 1, 1e-300, enough);
  } catch (const error& e) {
    EXPECT_STREQ(e.state(), "22003");  // where rounding leaves a pivot that is not positive
  }
}

TEST(SpanRepair, CanBeCancelled) {
  deep_model model("random-llama.gguf");
  countdown all;
  {
    transformer network(model.config, model.tensors, 1, 1 << 20, all);
    const std::vector<token_id> tokens = some_tokens();
    const std::vector<std::int32_t> kept = {0, 1, 4, 5};
    repair_span(network, model.tensors, {tokens, n_ctx, std::nullopt}, kept, 1, 0.01, enough);
  }
  ASSERT_GT(all.checks(), 20);
  for (const int at : {1, all.checks() / 2, all.checks()}) {
    EXPECT_THROW(repair_of(model, {{0, 1, 4, 5}, 1, 0.01, length, 1, enough, at}), std::domain_error);
  }
}

}  // namespace
}  // namespace hartonomous
