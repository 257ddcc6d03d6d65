// Errors of formats against sums written out, and probes against whole evaluations.
#include "hartonomous/sensitivity.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "gguf_tensors.hpp"
#include "hartonomous/codec.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

using network_test::gguf_tensors;

constexpr std::uint64_t plenty = std::uint64_t{1} << 30;

template <class F>
std::string state_of(F&& f) {
  try {
    f();
  } catch (const error& e) {
    return e.state();
  }
  return "00000";
}

std::vector<float> noise(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& v : values) v = normal(random);
  return values;
}

std::vector<float> rounded(format f, span<const float> row, span<const float> importance = {}) {
  no_interrupts none;
  std::vector<std::byte> blocks(bytes_of(f, row.size()));
  quantize(f, row, importance, blocks.data(), none);
  std::vector<float> out(row.size());
  dequantize(f, blocks, row.size(), out.data(), none);
  return out;
}

// ---- relative errors -------------------------------------------------------------------------------------------

// Inputs, their Gram matrix and its upper triangle.
struct sample {
  explicit sample(std::size_t columns, std::size_t tokens = 50) : n(columns), gram(columns * columns) {
    const std::vector<float> x = noise(tokens * n, 9);
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t i = 0; i < n * n; ++i) gram[i] += static_cast<double>(x[t * n + i / n]) * x[t * n + i % n];
    }
    for (std::size_t i = 0; i < n; ++i) {
      diagonal.push_back(static_cast<float>(gram[i * n + i]));
      for (std::size_t j = i; j < n; ++j) upper.push_back(static_cast<float>(gram[i * n + j]));
    }
  }
  double square(span<const float> d) const {
    double sum = 0.0;
    for (std::size_t i = 0; i < n * n; ++i) sum += static_cast<double>(d[i / n]) * gram[i] * d[i % n];
    return sum;
  }
  std::size_t n;
  std::vector<double> gram;
  std::vector<float> upper, diagonal;
};

std::vector<double> errors_of(const std::vector<format>& formats, const input_gram& inputs, span<const float> weights,
                              std::size_t columns, bool by_importance = false, unsigned threads = 1) {
  no_interrupts none;
  thread_pool pool(threads);
  format_errors errors(formats, columns, by_importance, pool, none);
  errors.use(inputs);
  errors.add(weights.data(), weights.size() / columns);
  return errors.relative_errors();
}

TEST(FormatErrors, AreThoseOfTheProductsWithTheInputs) {
  for (const std::size_t columns : {32u, 320u, 512u}) {
    const sample inputs(columns);
    const std::vector<float> weights = noise(70 * columns, 1);
    for (const bool by_importance : {false, true}) {
      double error = 0.0, energy = 0.0;
      for (std::size_t row = 0; row < 70; ++row) {
        const span<const float> w(weights.data() + row * columns, columns);
        std::vector<float> d = rounded(format::Q4_0, w, by_importance ? inputs.diagonal : std::vector<float>());
        for (std::size_t i = 0; i < columns; ++i) d[i] = w[i] - d[i];
        error += inputs.square(d);
        energy += inputs.square(w);
      }
      const double found =
          errors_of({format::Q4_0}, {inputs.upper, inputs.diagonal}, weights, columns, by_importance).at(0);
      EXPECT_NEAR(found, error / energy, 1e-4 * error / energy) << columns << ' ' << by_importance;
    }
  }
}

TEST(FormatErrors, ByHand) {
  // Q8_0 of a block whose largest weight is 127 has the scale 1: 0.25 becomes 0, and 2.75 becomes 3.
  std::vector<float> weights(32, 0.0f), squares(32, 0.0f);
  weights[0] = 127.0f;
  weights[1] = 0.25f;
  weights[2] = 2.75f;
  squares[1] = 2.0f;
  squares[2] = 4.0f;
  const double error = 2.0 * 0.0625 + 4.0 * 0.0625, energy = 2.0 * 0.0625 + 4.0 * 7.5625;
  EXPECT_NEAR(errors_of({format::Q8_0}, {{}, squares, nullptr}, weights, 32).at(0), error / energy, 1e-12);
  // Without statistics all columns count the same.
  EXPECT_NEAR(errors_of({format::Q8_0}, {}, weights, 32).at(0), 0.125 / (127.0 * 127.0 + 0.0625 + 7.5625), 1e-12);
}

TEST(FormatErrors, SumOverPanelsAndExperts) {
  const sample first(64), second(64, 20);
  const std::vector<float> weights = noise(40 * 64, 2);
  no_interrupts none;
  thread_pool pool(1);
  format_errors whole({format::Q4_0}, 64, false, pool, none), parts({format::Q4_0}, 64, false, pool, none);
  whole.use({first.upper, {}});
  whole.add(weights.data(), 30);
  whole.use({second.upper, {}});
  whole.add(weights.data() + 30 * 64, 10);
  for (std::size_t row = 0; row < 40; ++row) {
    parts.use({row < 30 ? first.upper : second.upper, {}});
    parts.add(weights.data() + row * 64, 1);
  }
  EXPECT_NEAR(whole.relative_errors().at(0), parts.relative_errors().at(0), 1e-9);
}

TEST(FormatErrors, AgainstAHessianAreThoseOfItsRows) {
  const sample inputs(64);
  const std::vector<float> weights = noise(9 * 64, 6);
  no_interrupts none;
  thread_pool pool(1);
  const input_hessian hessian(
      64,
      [&](std::size_t row, double* out) {
        for (std::size_t i = row; i < 64; ++i) out[i - row] = inputs.gram[row * 64 + i];
      },
      0.01, pool, none);
  std::vector<std::byte> blocks(9 * bytes_of(format::Q4_0, 64));
  quantize_rows(format::Q4_0, weights, 9, hessian, {}, blocks.data(), pool, none);
  std::vector<float> d(weights.size());
  dequantize(format::Q4_0, blocks, d.size(), d.data(), none);
  double error = 0.0, energy = 0.0;
  for (std::size_t i = 0; i < d.size(); ++i) d[i] = weights[i] - d[i];
  for (std::size_t row = 0; row < 9; ++row) {
    error += inputs.square({d.data() + row * 64, 64});
    energy += inputs.square({weights.data() + row * 64, 64});
  }
  const double found = errors_of({format::Q4_0}, {inputs.upper, {}, &hessian}, weights, 64).at(0);
  EXPECT_NEAR(found, error / energy, 1e-4 * error / energy);
  EXPECT_LT(found, errors_of({format::Q4_0}, {inputs.upper, {}}, weights, 64).at(0));
}

TEST(FormatErrors, DoNotDependOnThreads) {
  const sample inputs(320);
  const std::vector<float> weights = noise(200 * 320, 3);
  const std::vector<format> formats = {format::F16, format::Q4_0, format::Q8_0};
  EXPECT_EQ(errors_of(formats, {inputs.upper, {}}, weights, 320, false, 1),
            errors_of(formats, {inputs.upper, {}}, weights, 320, false, 3));
}

TEST(FormatErrors, OfWeightsThatAFormatCannotHoldAreInfinite) {
  std::vector<float> weights = noise(32, 4);
  weights[5] = 1e30f;
  const std::vector<double> found = errors_of({format::F32, format::F16, format::Q8_0, format::BF16}, {}, weights, 32);
  EXPECT_EQ(found[0], 0.0);
  EXPECT_TRUE(std::isinf(found[1]));
  EXPECT_TRUE(std::isinf(found[2]));
  EXPECT_LT(found[3], 1e-4);
}

TEST(FormatErrors, OfInputsThatAreZeroAreZero) {
  const std::vector<float> weights = noise(64, 5), zeros(64 * 65 / 2, 0.0f);
  EXPECT_EQ(errors_of({format::Q4_0}, {zeros, {}}, weights, 64).at(0), 0.0);
  EXPECT_EQ(errors_of({format::Q4_0}, {}, {}, 64).at(0), 0.0);
}

// ---- probes ----------------------------------------------------------------------------------------------------

std::vector<token_id> some_tokens(std::size_t count) {
  std::vector<token_id> tokens(count);
  for (std::size_t i = 0; i < count; ++i) tokens[i] = static_cast<token_id>((i * i * 7 + i / 3) % 32);
  return tokens;
}

struct model {
  explicit model(const std::string& name) : tensors(std::string(HARTONOMOUS_TEST_DIR) + "/golden/" + name) {}
  transformer network(tensor_source& source) {
    return {read_hyperparameters(tensors.metadata()), source, 1, std::uint64_t{1} << 20, none};
  }
  gguf_tensors tensors;
  no_interrupts none;
};

TEST(SubstitutedSource, RoundsOneTensor) {
  model m("random-llama.gguf");
  substituted_source source(m.tensors, "blk.0.ffn_up.weight", format::BF16, {}, m.none);
  EXPECT_EQ(source.names(), m.tensors.names());
  const matrix_shape shape = *source.find("blk.0.ffn_up.weight");
  const std::size_t columns = static_cast<std::size_t>(shape.columns);
  const auto original = m.tensors.open("blk.0.ffn_up.weight", {0, 3});
  const float* const rows = original->next(3);
  const std::vector<float> weights(rows, rows + 3 * columns);
  const auto reader = source.open("blk.0.ffn_up.weight", {1, 2});
  for (std::size_t row : {1, 2}) {
    const std::vector<float> expected = rounded(format::BF16, {weights.data() + row * columns, columns});
    const float* const found = reader->next(1);
    EXPECT_EQ(std::vector<float>(found, found + columns), expected);
  }
  std::vector<float> looked_up(columns);
  const std::uint32_t row = 2;
  source.read_rows("blk.0.ffn_up.weight", {&row, 1}, looked_up.data());
  EXPECT_EQ(looked_up, rounded(format::BF16, {weights.data() + 2 * columns, columns}));
  const auto others = source.open("blk.0.ffn_norm.weight", {0, 1});
  const auto norm = m.tensors.open("blk.0.ffn_norm.weight", {0, 1});
  EXPECT_EQ(*others->next(1), *norm->next(1));
}

TEST(SubstitutedSource, TakesTheImportanceOfEachExpert) {
  model m("random-qwen3moe.gguf");
  const std::string name = "blk.0.ffn_up_exps.weight";
  const matrix_shape shape = *m.tensors.find(name);
  const std::size_t columns = static_cast<std::size_t>(shape.columns), rows = static_cast<std::size_t>(shape.rows);
  std::vector<float> importance(2 * columns, 1.0f);
  for (std::size_t i = 0; i < columns; ++i) importance[columns + i] = static_cast<float>(i % 7);
  substituted_source source(m.tensors, name, format::Q4_0, importance, m.none);
  const auto original = m.tensors.open(name, {0, rows});
  const auto reader = source.open(name, {0, rows});
  const float* const weights = original->next(rows);
  const float* const found = reader->next(rows);
  for (const std::size_t row : {std::size_t{0}, rows - 1}) {
    const span<const float> weighted(importance.data() + (row == 0 ? 0 : columns), columns);
    EXPECT_EQ(std::vector<float>(found + row * columns, found + (row + 1) * columns),
              rounded(format::Q4_0, {weights + row * columns, columns}, weighted));
  }
}

TEST(SensitivityProbe, MeasuresWhatAnEvaluationOfTheWholeModelDoes) {
  for (const char* name : {"random-llama.gguf", "random-qwen2.gguf", "random-qwen3.gguf", "random-qwen3moe.gguf"}) {
    model m(name);
    transformer original = m.network(m.tensors);
    const std::vector<token_id> tokens = some_tokens(70);
    std::vector<score_window> windows;
    for (std::size_t at = 0; at < 70; at += 16) {
      windows.push_back({{tokens.begin() + static_cast<std::ptrdiff_t>(at),
                          tokens.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(70, at + 16))},
                         1});
      windows.back().tokens[0] = 3;
    }
    sensitivity_probe probe(tokens, 16, 3);
    EXPECT_EQ(probe.scored(), 65u);
    // In the order of steps, and back to the beginning.
    for (const char* tensor : {"token_embd.weight", "blk.0.attn_q.weight", "blk.0.attn_output.weight",
                               "blk.1.attn_v.weight", "output_norm.weight", "token_embd.weight"}) {
      substituted_source source(m.tensors, tensor, format::Q4_0, {}, m.none);
      transformer changed = m.network(source);
      const estimate found = probe.divergence(original, changed, sensitivity_probe::step_of(original, tensor), plenty);
      const model_comparison expected = compare_models(changed, original, windows, plenty);
      EXPECT_GT(found.value, 0.0) << name << ' ' << tensor;
      EXPECT_NEAR(found.value, expected.kl_divergence.value, 1e-6) << name << ' ' << tensor;
      EXPECT_NEAR(found.standard_error, expected.kl_divergence.standard_error, 1e-6) << name << ' ' << tensor;
    }
  }
}

TEST(SensitivityProbe, OfAnUnchangedModelIsZero) {
  model m("random-llama.gguf");
  transformer original = m.network(m.tensors);
  sensitivity_probe probe(some_tokens(5000), 32, std::nullopt);
  substituted_source source(m.tensors, "blk.1.ffn_up.weight", format::F32, {}, m.none);
  transformer changed = m.network(source);
  EXPECT_EQ(probe.divergence(original, changed, 2, plenty).value, 0.0);
}

TEST(SensitivityProbe, KnowsTheStepOfATensor) {
  model m("random-llama.gguf");
  const transformer network = m.network(m.tensors);
  const std::uint32_t blocks = network.config().blocks;
  EXPECT_EQ(sensitivity_probe::step_of(network, "token_embd.weight"), 0u);
  EXPECT_EQ(sensitivity_probe::step_of(network, "blk.0.attn_q.weight"), 1u);
  EXPECT_EQ(sensitivity_probe::step_of(network, "blk.1.ffn_down.weight"), 2u);
  EXPECT_EQ(sensitivity_probe::step_of(network, "output.weight"), blocks + 1);
}

TEST(SensitivityProbe, RefusesWhatCannotBeMeasured) {
  model m("random-llama.gguf");
  transformer original = m.network(m.tensors);
  EXPECT_EQ(state_of([] { sensitivity_probe(some_tokens(1), 16, std::nullopt); }), "22023");
  EXPECT_EQ(state_of([] { sensitivity_probe({}, 16, std::nullopt); }), "22023");
  EXPECT_EQ(state_of([] { sensitivity_probe(some_tokens(10), 1, std::nullopt); }), "22023");
  sensitivity_probe probe(some_tokens(70), 16, std::nullopt);
  EXPECT_EQ(state_of([&] { probe.divergence(original, original, 1, 1000); }), "53200");
}

}  // namespace
}  // namespace hartonomous
