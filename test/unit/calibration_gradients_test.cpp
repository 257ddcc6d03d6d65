// Gram matrices of gradients: sums over tokens of the backward pass (backward_test.cpp), whatever the threads, the
// memory, and the steps that are skipped.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "countdown.hpp"
#include "gguf_tensors.hpp"
#include "hartonomous/calibration.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

using network_test::gguf_tensors;

const std::string golden = std::string(HARTONOMOUS_TEST_DIR) + "/golden/";
const std::string example = std::string(HARTONOMOUS_TEST_DIR) + "/../../examples/tiny-stories.gguf";
constexpr std::uint64_t enough = std::uint64_t{1} << 30;

std::vector<token_id> tokens_below(std::size_t vocabulary, std::size_t count) {
  std::vector<token_id> tokens(count);
  for (std::size_t i = 0; i < count; ++i) tokens[i] = static_cast<token_id>((i * i + 7 * i) % vocabulary);
  return tokens;
}

struct collected final : calibration_sink {
  void sums(span<const input_sums>) override {}
  void panel(const gram_panel&) override { ++inputs; }
  void gradient_panel(const gram_panel& p) override {
    std::vector<float>& whole = grams[p.tensor];
    whole.insert(whole.end(), p.values.begin(), p.values.end());
  }
  std::map<std::string, std::vector<float>> grams;
  std::size_t inputs = 0;
};

struct setting {
  unsigned threads = 1;
  std::uint64_t memory = enough;
  std::uint32_t skipped = 0;  // steps
};

void collect(tensor_source& tensors, const hyperparameters& config, const std::vector<token_id>& tokens,
             std::uint32_t n_ctx, const setting& s, interrupt_checker& interrupts, collected& to) {
  transformer network(config, tensors, s.threads, 1 << 16, interrupts);
  calibration run(tokens, n_ctx, std::nullopt, true);
  EXPECT_EQ(run.steps(network), 2 * config.blocks + 1);
  double planned = 0.0, told = 0.0;
  run.watch([&](double multiplications) { told += multiplications; });
  while (run.next_step() < run.steps(network)) {
    const auto kind =
        run.next_step() < s.skipped ? std::nullopt : std::optional<statistics_kind>(statistics_kind::fisher);
    planned += run.multiplications(network, run.next_step(), kind, s.memory);
    run.run_step(network, kind, s.memory, to);
  }
  EXPECT_NEAR(told / planned, 1.0, 1e-6);
}

// The example model, on 300 tokens.
struct example_gradients {
  explicit example_gradients(const setting& s) {
    gguf_tensors tensors(example);
    no_interrupts none;
    collect(tensors, read_hyperparameters(tensors.metadata()), tokens_below(700, 300), 128, s, none, found);
  }
  collected found;
};

// SplitMix64, as its authors give it.
std::vector<double> draws_of(std::size_t count) {
  std::vector<double> draws;
  std::uint64_t state = 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    draws.push_back(static_cast<double>((z ^ (z >> 31)) >> 11) / 9007199254740992.0);
  }
  return draws;
}

TEST(CalibrationGradients, AreSumsOverTheTokensOfAllWindows) {
  gguf_tensors tensors(golden + "random-qwen3.gguf");
  const hyperparameters config = read_hyperparameters(tensors.metadata());
  const std::vector<token_id> tokens = tokens_below(32, 40);
  no_interrupts none;
  transformer network(config, tensors, 1, 1 << 16, none);
  const std::vector<token_sequence> windows = {
      {{tokens.data(), 16}}, {{tokens.data() + 16, 16}}, {{tokens.data() + 32, 8}}};
  std::vector<std::vector<float>> streams(1, std::vector<float>(tokens.size() * config.width));
  network.embed(windows, streams.front().data());
  for (std::uint32_t b = 0; b < config.blocks; ++b) {
    streams.push_back(streams.back());
    network.run_block(b, windows, streams.back().data());
  }
  std::vector<float> gradients(tokens.size() * config.width);
  network.sampled_loss_gradient(streams.back().data(), draws_of(tokens.size()), gradients.data());
  std::map<std::string, std::vector<double>> expected;
  for (std::uint32_t b = config.blocks; b-- > 0;) {
    network.run_block_backward(
        b, windows, streams[b].data(),
        [&](const std::string& matrix, const float* y, std::size_t count, std::size_t rows) {
          for (std::size_t i = 0; i < rows; ++i) {
            for (std::size_t j = i; j < rows; ++j) {
              double sum = 0.0;
              for (std::size_t t = 0; t < count; ++t) sum += double{y[t * rows + i]} * double{y[t * rows + j]};
              expected[matrix].push_back(sum);
            }
          }
        },
        gradients.data());
  }
  collected found;
  collect(tensors, config, tokens, 16, {}, none, found);
  ASSERT_EQ(found.grams.size(), expected.size());
  for (const auto& [matrix, sums] : expected) {
    ASSERT_EQ(found.grams[matrix].size(), sums.size()) << matrix;
    const double largest = *std::max_element(sums.begin(), sums.end());
    for (std::size_t i = 0; i < sums.size(); ++i) {
      ASSERT_NEAR(found.grams[matrix][i], sums[i], 1e-5 * largest) << matrix << " " << i;
    }
  }
}

TEST(CalibrationGradients, DependOnNeitherThreadsNorMemoryNorSkippedSteps) {
  const example_gradients example_whole({});
  const auto& whole = example_whole.found.grams;
  EXPECT_GT(example_whole.found.inputs, 0U);
  EXPECT_EQ(whole, example_gradients({3}).found.grams);
  // So little that Gram matrices take several passes, and states are computed again.
  gguf_tensors tensors(example);
  no_interrupts none;
  const hyperparameters config = read_hyperparameters(tensors.metadata());
  transformer network(config, tensors, 1, 1 << 16, none);
  const std::vector<token_id> tokens = tokens_below(700, 300);
  const calibration planned(tokens, 128, std::nullopt, true);
  std::uint64_t little = enough;
  const auto fits = [&](std::uint64_t memory) {
    calibration run(tokens, 128, std::nullopt, true);
    collected sink;
    try {
      while (run.next_step() < run.steps(network)) {
        static_cast<void>(run.multiplications(network, run.next_step(), statistics_kind::fisher, memory));
        run.run_step(network, std::nullopt, memory, sink);
      }
    } catch (const error& e) {
      EXPECT_EQ(std::string(e.state()), "53200");
      return false;
    }
    return true;
  };
  for (std::uint64_t memory = enough; memory > 0 && fits(memory); memory = memory * 15 / 16) little = memory;
  EXPECT_GT(planned.multiplications(network, config.blocks + 1, statistics_kind::fisher, little),
            planned.multiplications(network, config.blocks + 1, statistics_kind::fisher, enough));
  EXPECT_EQ(whole, example_gradients({2, little}).found.grams);
  const example_gradients rest({1, enough, config.blocks + 3});
  EXPECT_EQ(rest.found.inputs, 0U);
  EXPECT_EQ(rest.found.grams.size(), 7U * (config.blocks - 2));
  for (const auto& [matrix, gram] : rest.found.grams) EXPECT_EQ(gram, whole.at(matrix)) << matrix;
}

TEST(CalibrationGradients, RefuseExpertsAndNumbersThatAreNotFinite) {
  no_interrupts none;
  const auto state_of = [&](gguf_tensors& tensors) {
    collected found;
    try {
      collect(tensors, read_hyperparameters(tensors.metadata()), {1, 2, 3}, 3, {1, enough, 3}, none, found);
    } catch (const error& e) {
      return std::string(e.state());
    }
    return std::string("00000");
  };
  gguf_tensors experts(golden + "random-qwen3moe.gguf"), broken(golden + "random-llama.gguf");
  EXPECT_EQ(state_of(experts), "0A000");
  broken.matrices().at("output.weight").values[7] = NAN;
  EXPECT_EQ(state_of(broken), "55000");
}

TEST(CalibrationGradients, StopAtAnyCheckForInterrupts) {
  gguf_tensors tensors(golden + "random-llama.gguf");
  const hyperparameters config = read_hyperparameters(tensors.metadata());
  countdown counted;
  collected found;
  collect(tensors, config, tokens_below(32, 20), 10, {}, counted, found);
  for (int at = 1; at < counted.checks(); at += 11) {
    countdown stop(at);
    EXPECT_THROW(collect(tensors, config, tokens_below(32, 20), 10, {}, stop, found), std::domain_error) << at;
  }
}

}  // namespace
}  // namespace hartonomous
