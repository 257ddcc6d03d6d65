// Gram matrices against those of tools/reference_forward.py, and against themselves: threads, memory and stops change
// nothing.
#include "hartonomous/calibration.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <random>

#include "calibration/gram_panels.hpp"
#include "countdown.hpp"
#include "gguf_tensors.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

using network_test::gguf_tensors;

const std::string golden = std::string(HARTONOMOUS_TEST_DIR) + "/golden/";
const std::string example = std::string(HARTONOMOUS_TEST_DIR) + "/../../examples/tiny-stories.gguf";
const std::vector<token_id> random_tokens = {1, 17, 4, 30, 4, 9, 0, 31, 22, 5, 5, 13};
constexpr std::uint64_t enough = std::uint64_t{1} << 30;

// What a calibration tells, in order.
struct collected final : calibration_sink {
  void sums(span<const input_sums> of_step) override { inputs.insert(inputs.end(), of_step.begin(), of_step.end()); }
  void panel(const gram_panel& p) override {
    EXPECT_LE(p.values.size() * sizeof(float), most_panel_bytes);
    std::vector<float>& whole = grams[{p.tensor, p.expert}];
    whole.insert(whole.end(), p.values.begin(), p.values.end());
    ++panels;
  }
  std::vector<input_sums> inputs;
  std::map<std::pair<std::string, std::uint32_t>, std::vector<float>> grams;
  std::size_t panels = 0;
};

struct setting {
  unsigned threads = 1;
  std::uint64_t memory = enough;
  statistics_kind kind = statistics_kind::gram;
  std::uint32_t skipped = 0;  // steps
};

void collect(gguf_tensors& tensors, const std::vector<token_id>& tokens, std::uint32_t n_ctx, const setting& s,
             collected& to) {
  no_interrupts none;
  transformer network(read_hyperparameters(tensors.metadata()), tensors, s.threads, 1 << 16, none);
  calibration run(tokens, n_ctx, std::nullopt);
  while (run.next_step() <= network.config().blocks) {
    const bool skipped = run.next_step() < s.skipped;
    run.run_step(network, skipped ? std::nullopt : std::optional<statistics_kind>(s.kind), s.memory, to);
  }
}

// Many tokens of the example model.
std::vector<token_id> many_tokens(std::size_t count) {
  std::vector<token_id> tokens(count);
  for (std::size_t i = 0; i < count; ++i) tokens[i] = static_cast<token_id>((i * i + 7 * i) % 700);
  return tokens;
}

std::string state_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const error& e) {
    return e.state();
  }
  return "00000";
}

std::vector<float> floats_of(const std::string& name) {
  std::ifstream file(golden + name, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

class GramReference : public testing::TestWithParam<const char*> {};

TEST_P(GramReference, HasTheSameGramMatrices) {
  const std::string name = GetParam();
  gguf_tensors tensors(golden + name + ".gguf");
  const std::vector<float> expected = floats_of(name + ".grams.f32");
  collected found;
  collect(tensors, random_tokens, 5, {}, found);
  std::size_t at = 0;
  for (const input_sums& input : found.inputs) {
    if (input.tensor.find("attn_k") != std::string::npos) continue;  // AttendedInputs below
    const std::size_t experts = input.token_counts.size(), columns = input.squares.size() / experts;
    if (input.tensor == "output.weight") {  // CountsStatesAsFarAsTheirPredictionsAreOpen below
      at += columns * (columns + 1) / 2;
      continue;
    }
    for (std::uint32_t expert = 0; expert < experts; ++expert) {
      const auto gram = found.grams.find({input.tensor, expert});
      EXPECT_EQ(gram == found.grams.end(), input.token_counts[expert] == 0) << input.tensor;
      for (std::size_t row = 0; row < columns; ++row) {
        for (std::size_t column = row; column < columns; ++column, ++at) {
          const std::size_t size = columns * (columns + 1) / 2, left = columns - row;
          const float value =
              gram == found.grams.end() ? 0.0F : gram->second[size - left * (left + 1) / 2 + column - row];
          const double scale =
              std::sqrt(input.squares[expert * columns + row] * input.squares[expert * columns + column]);
          ASSERT_NEAR(value, expected.at(at), 1e-4 * scale) << input.tensor << " " << row << ", " << column;
        }
      }
    }
  }
  EXPECT_EQ(at, expected.size());
}

INSTANTIATE_TEST_SUITE_P(Architectures, GramReference, testing::Values("random-llama", "random-qwen3moe"),
                         [](const auto& info) { return std::string(info.param + std::strlen("random-")); });

TEST(Calibration, HasAnInputForEveryMatrix) {
  gguf_tensors tensors(golden + "random-qwen3moe.gguf");
  no_interrupts none;
  transformer network(read_hyperparameters(tensors.metadata()), tensors, 1, 1 << 16, none);
  std::map<std::string, linear_input> inputs;
  for (const linear_input& i : linear_inputs(network)) inputs[i.tensor] = i;
  for (const auto& [name, m] : tensors.matrices()) {
    const bool expected = m.shape.rows > 1 && name != "token_embd.weight";
    ASSERT_EQ(inputs.count(name), expected ? 1U : 0U) << name;
    if (expected) {
      EXPECT_EQ(inputs[name].columns, m.shape.columns) << name;
    }
  }
  EXPECT_EQ(inputs["blk.1.attn_v.weight"].shared_with, "blk.1.attn_q.weight");
  EXPECT_EQ(inputs["blk.1.attn_k.weight"].shared_with, "blk.1.attn_k.weight");
  EXPECT_TRUE(inputs["blk.1.attn_k.weight"].attended);
  EXPECT_TRUE(inputs["output.weight"].predicts);
  EXPECT_EQ(inputs["blk.0.ffn_up_exps.weight"].shared_with, "blk.0.ffn_gate_exps.weight");
  EXPECT_EQ(inputs["blk.0.ffn_up_exps.weight"].experts, 6U);
  EXPECT_EQ(inputs["blk.0.ffn_gate_inp.weight"].experts, 1U);
  EXPECT_EQ(inputs["output.weight"].step, 2U);
}

// What the keys of block 0 of the random llama see, written out: 1 of the 4 heads counts for each token, in turn.
std::vector<double> attended_gram(gguf_tensors& tensors, const std::vector<token_id>& tokens, std::uint32_t n_ctx) {
  const hyperparameters config = read_hyperparameters(tensors.metadata());
  const std::size_t n = config.width, size = config.head_size, sharing = config.heads / config.kv_heads;
  const auto values = [&](const char* name) -> const std::vector<float>& { return tensors.matrices().at(name).values; };
  const auto rotated = [&](const char* matrix, std::size_t head, const std::vector<double>& x, std::size_t position) {
    std::vector<double> y(size);
    for (std::size_t i = 0; i < size; ++i) {
      for (std::size_t j = 0; j < n; ++j) y[i] += values(matrix)[(head * size + i) * n + j] * x[j];
    }
    for (std::size_t i = 0; i < config.rope.dimensions; i += 2) {
      const double exponent = static_cast<double>(i) / config.rope.dimensions;
      const double angle =
          static_cast<double>(position) * std::pow(config.rope.base, -exponent) / values("rope_freqs.weight")[i / 2];
      const double a = y[i], b = y[i + 1];
      y[i] = a * std::cos(angle) - b * std::sin(angle);
      y[i + 1] = a * std::sin(angle) + b * std::cos(angle);
    }
    return y;
  };
  std::vector<std::vector<double>> x;
  for (const token_id token : tokens) {
    std::vector<double> row(n);
    double square = 0.0;
    for (std::size_t j = 0; j < n; ++j) {
      row[j] = values("token_embd.weight")[static_cast<std::size_t>(token) * n + j];
      square += row[j] * row[j];
    }
    const double scale = 1.0 / std::sqrt(square / static_cast<double>(n) + static_cast<double>(config.epsilon));
    for (std::size_t j = 0; j < n; ++j) row[j] *= scale * values("blk.0.attn_norm.weight")[j];
    x.push_back(row);
  }
  std::vector<double> gram(n * n);
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    const std::size_t first = t / n_ctx * n_ctx, head = t % config.heads;
    const std::vector<double> query = rotated("blk.0.attn_q.weight", head, x[t], t - first);
    std::vector<double> p, mean(n);
    double sum = 0.0;
    for (std::size_t s = first; s <= t; ++s) {
      const std::vector<double> key = rotated("blk.0.attn_k.weight", head / sharing, x[s], s - first);
      double score = 0.0;
      for (std::size_t i = 0; i < size; ++i) score += query[i] * key[i];
      p.push_back(std::exp(score / std::sqrt(static_cast<double>(size))));
      sum += p.back();
    }
    for (std::size_t s = first; s <= t; ++s) {
      for (std::size_t j = 0; j < n; ++j) mean[j] += p[s - first] / sum * x[s][j];
    }
    for (std::size_t i = 0; i < n * n; ++i) gram[i] += attended_share * x[t][i / n] * x[t][i % n];
    for (std::size_t s = first; s <= t; ++s) {
      for (std::size_t i = 0; i < n * n; ++i) {
        gram[i] += p[s - first] / sum * (x[s][i / n] - mean[i / n]) * (x[s][i % n] - mean[i % n]);
      }
    }
  }
  return gram;
}

TEST(Calibration, SumsTheInputsOfKeysAsAttentionSeesThem) {
  gguf_tensors tensors(golden + "random-llama.gguf");
  std::vector<token_id> tokens(150);  // more than a tile of 64 queries
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<token_id>((i * i + 5 * i) % 32);
  for (const std::uint32_t n_ctx : {32U, 5U}) {
    collected found, threaded;
    collect(tensors, tokens, n_ctx, {}, found);
    const std::vector<double> expected = attended_gram(tensors, tokens, n_ctx);
    const std::vector<float>& upper = found.grams.at({"blk.0.attn_k.weight", 0});
    const std::size_t n = static_cast<std::size_t>(std::lround(std::sqrt(expected.size())));
    ASSERT_EQ(upper.size(), n * (n + 1) / 2);
    double trace = 0.0;
    for (std::size_t i = 0; i < n; ++i) trace += expected[i * n + i];
    std::size_t at = 0;
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = i; j < n; ++j)
        ASSERT_NEAR(upper[at++], expected[i * n + j], 1e-4 * trace / n) << i << ' ' << j;
    }
    setting several;
    several.threads = 3;
    collect(tensors, tokens, n_ctx, several, threaded);
    EXPECT_EQ(threaded.grams, found.grams);
  }
}

TEST(Calibration, KnowsLittleOfTheKeysOfASingleToken) {
  gguf_tensors tensors(golden + "random-llama.gguf");
  collected found;
  collect(tensors, {3}, 5, {}, found);
  const std::vector<float>& keys = found.grams.at({"blk.0.attn_k.weight", 0});
  const std::vector<float>& queries = found.grams.at({"blk.0.attn_q.weight", 0});
  for (std::size_t i = 0; i < keys.size(); ++i) EXPECT_NEAR(keys[i], attended_share * queries[i], 1e-5F);
}

TEST(Calibration, CountsTheTokensOfEachExpert) {
  gguf_tensors tensors(golden + "random-qwen3moe.gguf");
  collected found;
  collect(tensors, random_tokens, 64, {}, found);
  for (const input_sums& input : found.inputs) {
    std::uint64_t sum = 0;
    for (std::uint64_t count : input.token_counts) sum += count;
    EXPECT_EQ(sum, random_tokens.size() * (input.token_counts.size() > 1 ? 2 : 1)) << input.tensor;
  }
}

// Keeps the inputs of the router and of the last matrices of the experts of block 1.
class routing_recorder final : public linear_observer {
 public:
  void input(const std::string& tensor, row_range rows, const float* x, std::size_t tokens,
             std::size_t columns) override {
    if (tensor == "blk.1.ffn_gate_inp.weight") router.assign(x, x + tokens * columns);
    if (tensor == "blk.1.ffn_down_exps.weight") experts[rows.first / rows.count].assign(x, x + tokens * columns);
  }
  void rows(const std::string&, std::size_t, std::size_t, const float*, std::size_t) override {}
  void lookups(const std::string&, std::size_t, std::size_t, const float*, std::size_t) override {}

  std::vector<float> router;
  std::map<std::size_t, std::vector<float>> experts;
};

std::vector<double> product(const std::vector<float>& matrix, std::size_t first_row, std::size_t rows, const float* x,
                            std::size_t columns) {
  std::vector<double> y(rows);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) y[i] += double{matrix[(first_row + i) * columns + j]} * x[j];
  }
  return y;
}

TEST(Calibration, SumsTheNormsOfExpertsTimesTheRoutersWeights) {
  gguf_tensors tensors(golden + "random-qwen3moe.gguf");
  const std::vector<token_id> tokens(random_tokens.begin(), random_tokens.end());
  routing_recorder recorder;
  no_interrupts none;
  const hyperparameters config = read_hyperparameters(tensors.metadata());
  {
    transformer network(config, tensors, 1, 1 << 16, none);
    network.observe(&recorder);
    const token_sequence sequence[] = {{tokens, nullptr}};
    network.run(sequence);
  }
  const std::size_t width = config.width, inner = config.expert_feed_forward;
  std::vector<double> expected(config.experts);
  std::map<std::size_t, std::size_t> seen;
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    const std::vector<double> logits = product(tensors.matrices().at("blk.1.ffn_gate_inp.weight").values, 0,
                                               config.experts, recorder.router.data() + t * width, width);
    std::vector<std::size_t> order(config.experts);
    for (std::size_t e = 0; e < order.size(); ++e) order[e] = e;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
    double sum = 0.0;
    for (std::size_t k = 0; k < config.experts_used; ++k) sum += std::exp(logits[order[k]]);
    for (std::size_t k = 0; k < config.experts_used; ++k) {
      const std::size_t e = order[k];
      const float* const a = recorder.experts.at(e).data() + inner * seen[e]++;
      double square = 0.0;
      for (const double y :
           product(tensors.matrices().at("blk.1.ffn_down_exps.weight").values, e * width, width, a, inner)) {
        square += y * y;
      }
      expected[e] += std::exp(logits[order[k]]) / sum * std::sqrt(square);
    }
  }
  collected found;
  collect(tensors, random_tokens, static_cast<std::uint32_t>(tokens.size()), {}, found);
  for (const input_sums& input : found.inputs) {
    if (input.tensor != "blk.1.ffn_down_exps.weight") {
      EXPECT_EQ(input.router_weighted_norms.empty(), input.tensor != "blk.0.ffn_down_exps.weight") << input.tensor;
      continue;
    }
    ASSERT_EQ(input.router_weighted_norms.size(), expected.size());
    for (std::size_t e = 0; e < expected.size(); ++e) {
      EXPECT_NEAR(input.router_weighted_norms[e], expected[e], 1e-4 * (expected[e] + 1e-3));
    }
  }
}

// The states that a network predicts from, and what the probabilities leave open, written out.
TEST(Calibration, CountsStatesAsFarAsTheirPredictionsAreOpen) {
  gguf_tensors tensors(golden + "random-llama.gguf");
  const std::vector<token_id> tokens(random_tokens.begin(), random_tokens.end());
  no_interrupts none;
  transformer network(read_hyperparameters(tensors.metadata()), tensors, 1, 1 << 16, none);
  const token_sequence sequence[] = {{tokens, nullptr}};
  std::vector<std::size_t> all(tokens.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  const std::vector<float> states = network.normed(network.run(sequence), all);
  const std::size_t n = network.config().width, vocabulary = network.vocabulary();
  std::vector<double> expected(n * n);
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    const float* const x = states.data() + t * n;
    double sum = 0.0, squares = 0.0;
    for (const double y : product(tensors.matrices().at("output.weight").values, 0, vocabulary, x, n)) {
      sum += std::exp(y);
      squares += std::exp(2.0 * y);
    }
    const double weight = 1.0 - squares / (sum * sum) + double{attended_share};
    for (std::size_t i = 0; i < n * n; ++i) expected[i] += weight * double{x[i / n]} * x[i % n];
  }
  collected found;
  collect(tensors, random_tokens, static_cast<std::uint32_t>(tokens.size()), {}, found);
  std::size_t at = 0;
  const std::vector<float>& upper = found.grams.at({"output.weight", 0});
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = i; j < n; ++j) {
      const double scale = std::sqrt(expected[i * n + i] * expected[j * n + j]);
      ASSERT_NEAR(upper.at(at++), expected[i * n + j], 1e-4 * scale) << i << ' ' << j;
    }
  }
  EXPECT_EQ(at, upper.size());
  EXPECT_EQ(found.inputs.back().token_counts, std::vector<std::uint64_t>{tokens.size()});
}

TEST(Calibration, ThreadsAndMemoryChangeNoBit) {
  gguf_tensors tensors(example);
  const std::vector<token_id> tokens = many_tokens(2500);
  collected alone, threads, passes;
  collect(tensors, tokens, 100, {}, alone);
  collect(tensors, tokens, 100, {3, enough}, threads);
  EXPECT_EQ(alone.grams, threads.grams);
  // Room for one Gram matrix of a block at a time.
  std::uint64_t memory = 0;
  {
    no_interrupts none;
    transformer network(read_hyperparameters(tensors.metadata()), tensors, 1, 1 << 16, none);
    memory = network.run_bytes(2000, 100) + 4 * calibration::kept_bytes(network, 2000) +
             calibration::kept_bytes(network, 2500) + (3 << 20);
    const calibration run(tokens, 100, std::nullopt);
    EXPECT_GT(run.multiplications(network, 0, statistics_kind::gram, memory),
              1.5 * run.multiplications(network, 0, statistics_kind::gram, enough));
  }
  collect(tensors, tokens, 100, {2, memory}, passes);
  EXPECT_EQ(alone.grams, passes.grams);
  EXPECT_EQ(alone.panels, passes.panels);
  ASSERT_EQ(alone.inputs.size(), passes.inputs.size());
  for (std::size_t i = 0; i < alone.inputs.size(); ++i) EXPECT_EQ(alone.inputs[i].squares, passes.inputs[i].squares);
  EXPECT_EQ(state_of([&] {
              collected none;
              collect(tensors, tokens, 100, {1, memory - (3 << 20)}, none);
            }),
            "53200");
}

TEST(Calibration, IsTheSameAfterStepsThatWereSkipped) {
  gguf_tensors tensors(example);
  collected whole, rest;
  collect(tensors, many_tokens(300), 128, {}, whole);
  collect(tensors, many_tokens(300), 128, {1, enough, statistics_kind::gram, 2}, rest);
  EXPECT_LT(rest.grams.size(), whole.grams.size());
  for (const auto& [input, gram] : rest.grams) EXPECT_EQ(gram, whole.grams.at(input)) << input.first;
}

TEST(Calibration, TheDiagonalIsThatOfTheGramMatrix) {
  gguf_tensors tensors(golden + "random-llama.gguf");
  collected whole, diagonal;
  collect(tensors, random_tokens, 64, {}, whole);
  collect(tensors, random_tokens, 64, {1, enough, statistics_kind::diagonal}, diagonal);
  EXPECT_TRUE(diagonal.grams.empty());
  ASSERT_EQ(diagonal.inputs.size(), whole.inputs.size());
  for (std::size_t i = 0; i < whole.inputs.size(); ++i) EXPECT_EQ(diagonal.inputs[i].squares, whole.inputs[i].squares);
  const input_sums& down = whole.inputs.at(whole.inputs.size() - 2);
  EXPECT_EQ(whole.grams.at({down.tensor, 0}).back(), static_cast<float>(down.squares.back()));
}

TEST(Calibration, WindowsBeginAnew) {
  gguf_tensors tensors(golden + "random-llama.gguf");
  std::vector<token_id> twice = random_tokens;
  twice.insert(twice.end(), random_tokens.begin(), random_tokens.end());
  collected once, both;
  collect(tensors, random_tokens, 12, {}, once);
  collect(tensors, twice, 12, {}, both);
  for (std::size_t i = 0; i < once.inputs.size(); ++i) {
    for (std::size_t j = 0; j < once.inputs[i].squares.size(); ++j) {
      EXPECT_NEAR(both.inputs[i].squares[j], 2 * once.inputs[i].squares[j], 1e-5 * once.inputs[i].squares[j]);
    }
  }
}

TEST(Calibration, WideInputsAreCutIntoPanels) {
  using calibration_detail::triangle_bytes;
  for (const std::size_t columns : {1U, 256U, 257U, 5793U, 14336U, 65536U}) {
    std::size_t next = 0;
    std::uint64_t bytes = 0;
    for (const matrix_rows& rows : calibration_detail::panels_of(columns)) {
      EXPECT_EQ(rows.first, next);
      EXPECT_LE(triangle_bytes(columns, rows), most_panel_bytes);
      next += rows.count;
      bytes += triangle_bytes(columns, rows);
    }
    EXPECT_EQ(next, columns);
    EXPECT_EQ(bytes, sizeof(float) * columns * (columns + 1) / 2);
  }
  EXPECT_EQ(calibration_detail::panels_of(14336).size(), 7U);
  EXPECT_EQ(state_of([] { calibration_detail::panels_of(65537); }), "54000");
}

TEST(Calibration, TilesTogetherAreTheMatrix) {
  // Two tiles and a part of one, more tokens than are summed in float at a time, and two panels.
  constexpr std::size_t columns = 600, tokens = 700;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(columns * tokens);
  for (float& v : x) v = normal(random);
  std::vector<double> squares(columns);
  for (std::size_t i = 0; i < x.size(); ++i) squares[i % columns] += static_cast<double>(x[i]) * x[i];
  std::vector<float> found;
  no_interrupts none;
  for (const matrix_rows rows : {matrix_rows{0, 256}, {256, 344}}) {
    token_sums sums = calibration_detail::panel_sums(columns, rows, none);
    for (std::size_t tile = sums.tiles(); tile-- > 0;) sums.add(tile, x.data(), columns, x.data(), tokens);
    std::vector<float> panel;
    calibration_detail::write_triangle(sums, rows, squares, panel);
    found.insert(found.end(), panel.begin(), panel.end());
  }
  std::size_t at = 0;
  for (std::size_t i = 0; i < columns; ++i) {
    for (std::size_t j = i; j < columns; ++j, ++at) {
      double sum = 0.0;
      for (std::size_t t = 0; t < tokens; ++t) sum += static_cast<double>(x[t * columns + i]) * x[t * columns + j];
      ASSERT_NEAR(found.at(at), sum, 1e-6 * tokens) << i << ", " << j;
    }
  }
  EXPECT_EQ(at, found.size());
}

TEST(Calibration, OneTokenIsEnough) {
  gguf_tensors tensors(golden + "random-llama.gguf");
  collected found;
  collect(tensors, {7}, 64, {}, found);
  EXPECT_EQ(found.inputs.back().token_counts.front(), 1U);
}

TEST(Calibration, InvalidTexts) {
  EXPECT_EQ(state_of([] { calibration(span<const token_id>(), 64, std::nullopt); }), "22023");
  EXPECT_EQ(state_of([] { calibration(random_tokens, 0, std::nullopt); }), "22023");
  gguf_tensors tensors(golden + "random-llama.gguf");
  collected none;
  EXPECT_EQ(state_of([&] { collect(tensors, {1, 32}, 64, {}, none); }), "22023");
  EXPECT_EQ(state_of([&] { collect(tensors, std::vector<token_id>(65, 1), 65, {}, none); }), "22023");
}

TEST(Calibration, ActivationsThatAreNotFinite) {
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), 1e30F}) {
    gguf_tensors tensors(golden + "random-llama.gguf");
    tensors.matrices().at("blk.1.ffn_norm.weight").values[3] = value;
    collected found;
    EXPECT_EQ(state_of([&] { collect(tensors, random_tokens, 64, {}, found); }), "55000") << value;
    EXPECT_EQ(found.inputs.back().tensor, "blk.0.ffn_down.weight") << "the block before it is complete";
  }
}

TEST(Calibration, CanBeInterruptedAtEveryCheck) {
  gguf_tensors tensors(golden + "random-qwen3moe.gguf");
  int stopped = 0;
  for (int check = 1;; ++check) {
    countdown interrupts(check);
    transformer network(read_hyperparameters(tensors.metadata()), tensors, 2, 1 << 16, interrupts);
    calibration run(random_tokens, 8, std::nullopt);
    collected found;
    try {
      while (run.next_step() <= network.config().blocks) {
        run.run_step(network, statistics_kind::gram, enough, found);
      }
      break;
    } catch (const std::domain_error&) {
      ++stopped;
    }
  }
  EXPECT_GT(stopped, 50);
}

}  // namespace
}  // namespace hartonomous
