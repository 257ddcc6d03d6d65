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
  const token_sequence whole = {all};
  network.embed({&whole, 1}, states.data());
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

// Rounds the matrices of blocks, and takes the output matrix as it is corrected.
class block_step_rounder final : public matrix_rounder {
 public:
  bool rounds(const std::string& tensor) override {
    return tensor == "output.weight" || (tensor.find("blk.") == 0 && tensor.find("norm") == std::string::npos);
  }
  void round(const std::string& tensor, row_range rows, const input_hessian&, std::vector<float>& weights) override {
    if (tensor == "output.weight") {
      EXPECT_EQ(rows.first * width, output.size());
      output.insert(output.end(), weights.begin(), weights.end());
      return;
    }
    for (float& w : weights) w = std::nearbyint(w / 0.05f) * 0.05f;
  }
  std::vector<float> output;
  std::size_t width = 0;
};

struct logit_distances {
  double corrected = 0.0, as_it_was = 0.0;
  std::vector<float> output;
};

// How far the logits of the rounded network are from those of the original, with the output matrix that comes last.
logit_distances output_of(double share, unsigned threads) {
  no_interrupts none;
  gguf_tensors original(experts);
  const hyperparameters config = read_hyperparameters(original.metadata());
  const auto tokens = texts(6, 24);
  std::vector<token_sequence> sequences;
  for (const auto& text : tokens) sequences.push_back({text});
  block_step_rounder rounder;
  rounder.width = config.width;
  sequential_options options;
  options.fixed_shares = true;
  options.shares = {share, share};
  transformer exact(config, original, 1, panel, none);
  EXPECT_EQ(exact.output_matrix(), "output.weight");
  sequential_quantizer quantizer(config, original, rounder, options, threads, panel, none);
  std::vector<float> stream = embedded(exact, tokens), rounded_stream = stream;
  for (std::uint32_t block = 0; block < config.blocks; ++block) {
    quantizer.run_block(sequences, block, stream, rounded_stream);
  }
  const std::vector<float> before = rounded_stream;
  double last = 0.0;
  quantizer.watch([&](double part) { last = part; });
  quantizer.round_output(stream, rounded_stream);
  EXPECT_EQ(rounded_stream, before) << "the streams are only read";
  EXPECT_EQ(last, 1.0);
  std::vector<std::size_t> all(stream.size() / config.width);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  const std::vector<float> x = exact.normed(stream, all), xq = exact.normed(rounded_stream, all);
  const std::vector<float>& w = original.matrices().at("output.weight").values;
  logit_distances found;
  found.output = rounder.output;
  EXPECT_EQ(found.output.size(), w.size());
  for (std::size_t t = 0; t < all.size(); ++t) {
    for (std::size_t row = 0; row < w.size() / config.width; ++row) {
      double wanted = 0.0, corrected = 0.0, old = 0.0;
      for (std::size_t j = 0; j < config.width; ++j) {
        const std::size_t at = row * config.width + j;
        wanted += static_cast<double>(w[at]) * x[t * config.width + j];
        corrected += static_cast<double>(found.output[at]) * xq[t * config.width + j];
        old += static_cast<double>(w[at]) * xq[t * config.width + j];
      }
      found.corrected += std::pow(corrected - wanted, 2);
      found.as_it_was += std::pow(old - wanted, 2);
    }
  }
  return found;
}

TEST(Sequential, TheOutputMatrixBringsTheLogitsBack) {
  const logit_distances found = output_of(1.0, 1);
  EXPECT_LT(found.corrected, 0.9 * found.as_it_was);
  EXPECT_EQ(found.output, output_of(1.0, 5).output) << "on any number of threads";
  const logit_distances uncorrected = output_of(0.0, 1);
  EXPECT_EQ(uncorrected.corrected, uncorrected.as_it_was);
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
