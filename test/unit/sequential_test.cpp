// Quantizing block by block: both networks run as they would alone, the correction makes up for earlier rounding, and
// neither threads nor a new start between two blocks change anything.
#include "hartonomous/sequential_quantizer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "countdown.hpp"
#include "gguf_tensors.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

using network_test::gguf_tensors;

const std::string golden = std::string(HARTONOMOUS_TEST_DIR) + "/golden/";
const std::string llama = golden + "random-llama.gguf", experts = golden + "random-qwen3moe.gguf";
constexpr std::uint64_t panel = 1 << 20;

std::vector<std::vector<token_id>> texts(std::size_t count, std::size_t length) {
  std::vector<std::vector<token_id>> all(count);
  std::uint32_t state = 1;
  for (std::vector<token_id>& text : all) {
    for (std::size_t i = 0; i < length; ++i) {
      state = state * 1664525u + 1013904223u;
      text.push_back(static_cast<token_id>((state >> 16) % 32));
    }
  }
  return all;
}

// Rounds to multiples of a step and writes the result into a copy of the model.
class step_rounder final : public matrix_rounder {
 public:
  step_rounder(gguf_tensors& into, float step) : into_(into), step_(step) {}
  bool rounds(const std::string& tensor) override {
    return step_ > 0.0f && tensor.find("norm") == std::string::npos && tensor.find("gate_inp") == std::string::npos;
  }
  void round(const std::string& tensor, row_range rows, const input_hessian& hessian,
             std::vector<float>& weights) override {
    EXPECT_EQ(weights.size(), rows.count * hessian.columns()) << tensor;
    for (float& w : weights) w = std::nearbyint(w / step_) * step_;
    std::copy(weights.begin(), weights.end(),
              into_.matrices().at(tensor).values.begin() + static_cast<std::ptrdiff_t>(rows.first * hessian.columns()));
    rounded_rows[tensor] += rows.count;
  }
  std::map<std::string, std::uint64_t> rounded_rows;

 private:
  gguf_tensors& into_;
  float step_;
};

struct outcome {
  std::vector<float> stream, rounded_stream;
  std::map<std::string, std::uint64_t> rounded_rows;
  std::map<std::string, gguf_tensors::matrix> matrices;
};

struct trial {
  std::string model = llama;
  float step = 0.05f;
  correction_shares shares = {1.0, 1.0};
  unsigned threads = 1;
  std::uint32_t stop_after = UINT32_MAX;  // start anew after this block
};

std::vector<float> embedded(transformer& network, const std::vector<std::vector<token_id>>& texts) {
  std::vector<token_id> all;
  for (const auto& text : texts) all.insert(all.end(), text.begin(), text.end());
  std::vector<float> states(all.size() * network.config().width);
  network.embed(all, states.data());
  return states;
}

outcome run(const trial& t) {
  no_interrupts none;
  gguf_tensors original(t.model), rounded(t.model);
  const hyperparameters config = read_hyperparameters(original.metadata());
  const auto tokens = texts(6, 24);
  std::vector<token_sequence> sequences;
  for (const auto& text : tokens) sequences.push_back({text});
  step_rounder rounder(rounded, t.step);
  sequential_options options;
  options.fixed_shares = true;
  options.shares = t.shares;
  transformer exact(config, original, 1, panel, none);
  outcome result;
  result.stream = result.rounded_stream = embedded(exact, tokens);
  auto quantizer = std::make_unique<sequential_quantizer>(config, original, rounder, options, t.threads, panel, none);
  for (std::uint32_t block = 0; block < config.blocks; ++block) {
    quantizer->run_block(sequences, block, result.stream, result.rounded_stream);
    if (block != t.stop_after) continue;
    quantizer = std::make_unique<sequential_quantizer>(config, original, rounder, options, t.threads, panel, none);
    transformer plain(config, rounded, 1, panel, none);
    result.stream = embedded(exact, tokens);
    result.rounded_stream = embedded(plain, tokens);
    for (std::uint32_t done = 0; done <= block; ++done) {
      exact.run_block(done, sequences, result.stream.data());
      plain.run_block(done, sequences, result.rounded_stream.data());
    }
  }
  result.rounded_rows = rounder.rounded_rows;
  result.matrices = rounded.matrices();
  return result;
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double sum = 0.0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    sum += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
  }
  return std::sqrt(sum);
}

std::vector<float> run_alone(const std::string& model, const std::map<std::string, gguf_tensors::matrix>& matrices) {
  no_interrupts none;
  gguf_tensors tensors(model);
  if (!matrices.empty()) tensors.matrices() = matrices;
  const auto tokens = texts(6, 24);
  std::vector<token_sequence> sequences;
  for (const auto& text : tokens) sequences.push_back({text});
  transformer network(read_hyperparameters(tensors.metadata()), tensors, 1, panel, none);
  return network.run(sequences);
}

TEST(Sequential, BothStreamsAreThoseOfTheNetworksAlone) {
  for (const std::string& model : {llama, experts}) {
    trial t;
    t.model = model;
    const outcome found = run(t);
    EXPECT_EQ(found.stream, run_alone(model, {})) << model;
    EXPECT_EQ(found.rounded_stream, run_alone(model, found.matrices)) << model;
    EXPECT_NE(found.stream, found.rounded_stream) << model;
  }
}

TEST(Sequential, NothingIsCorrectedIfNothingIsRounded) {
  trial t;
  t.step = 0.0f;
  const outcome found = run(t);
  EXPECT_EQ(found.stream, found.rounded_stream);
  EXPECT_TRUE(found.rounded_rows.empty());
}

TEST(Sequential, EachMatrixIsRoundedOnce) {
  for (const std::string& model : {llama, experts}) {
    trial t;
    t.model = model;
    gguf_tensors tensors(model);
    for (const auto& [name, rows] : run(t).rounded_rows) {
      const std::uint64_t all = tensors.find(name)->rows;
      // Of the experts only those that some token has chosen.
      EXPECT_TRUE(rows == all || (rows < all && name.find("_exps") != std::string::npos)) << name;
    }
  }
}

TEST(Sequential, TheCorrectionBringsTheStreamBack) {
  trial t;
  t.shares = {0.0, 0.0};
  const outcome without = run(t);
  t.shares = {1.0, 0.0};
  const outcome with_input = run(t);
  t.shares = {1.0, 1.0};
  const outcome with_both = run(t);
  const double base = distance(without.stream, without.rounded_stream);
  EXPECT_LT(distance(with_both.stream, with_both.rounded_stream), 0.8 * base);
  EXPECT_LT(distance(with_both.stream, with_both.rounded_stream),
            distance(with_input.stream, with_input.rounded_stream));
}

TEST(Sequential, ThreadsChangeNothing) {
  trial t;
  const outcome one = run(t);
  t.threads = 5;
  EXPECT_EQ(one.rounded_stream, run(t).rounded_stream);
}

TEST(Sequential, ANewStartBetweenTwoBlocksChangesNothing) {
  for (const std::string& model : {llama, experts}) {
    trial t;
    t.model = model;
    const outcome through = run(t);
    t.stop_after = 0;
    EXPECT_EQ(through.rounded_stream, run(t).rounded_stream) << model;
  }
}

TEST(Sequential, TheNumberOfTokensDecidesHowMuchIsCorrected) {
  EXPECT_EQ(supported_correction(500, 10).input, 1.0);
  EXPECT_EQ(supported_correction(500, 10).stream, 1.0);
  EXPECT_EQ(supported_correction(499, 10).input, 0.5);
  EXPECT_EQ(supported_correction(499, 10).stream, 0.0);
  EXPECT_EQ(supported_correction(100, 10).input, 0.5);
  EXPECT_EQ(supported_correction(99, 10).input, 0.0);
  EXPECT_EQ(supported_correction(0, 0).input, 1.0);
}

TEST(Sequential, AStreamOfAnotherSizeIsRefused) {
  no_interrupts none;
  gguf_tensors original(llama);
  const hyperparameters config = read_hyperparameters(original.metadata());
  step_rounder rounder(original, 0.0f);
  sequential_quantizer quantizer(config, original, rounder, {}, 1, panel, none);
  const std::vector<token_id> text = {1, 2, 3};
  const token_sequence sequence = {text};
  std::vector<float> stream(2 * config.width), rounded(2 * config.width);
  try {
    quantizer.run_block({&sequence, 1}, 0, stream, rounded);
    FAIL();
  } catch (const error& e) {
    EXPECT_STREQ(e.state(), "22023");
  }
}

TEST(Sequential, CanBeInterrupted) {
  gguf_tensors original(llama);
  const hyperparameters config = read_hyperparameters(original.metadata());
  for (int checks : {1, 5, 20}) {
    const auto run_until_interrupted = [&] {
      countdown interrupts(checks);
      step_rounder rounder(original, 0.05f);
      sequential_quantizer quantizer(config, original, rounder, {}, 1, panel, interrupts);
      const std::vector<token_id> text = {1, 2, 3};
      const token_sequence sequence = {text};
      std::vector<float> stream(3 * config.width, 0.5f), rounded = stream;
      quantizer.run_block({&sequence, 1}, 0, stream, rounded);
    };
    EXPECT_THROW(run_until_interrupted(), std::domain_error) << checks;
  }
}

}  // namespace
}  // namespace hartonomous
