// Little models of random weights of every architecture (tools/make_architecture_models.py), whose logits are those
// that llama.cpp v0.5.0 computes in F32 (bench/architectures.sh), and the hyperparameters that are refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "gguf_tensors.hpp"
#include "hartonomous/calibration.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/network.hpp"
#include "hartonomous/simd.hpp"
#include "hartonomous/usage.hpp"
#include "network/architecture.hpp"

namespace hartonomous {
namespace {

using network_test::gguf_tensors;

constexpr std::size_t vocabulary = 32, length = 40;
constexpr std::uint64_t panel = 1 << 20;

std::string golden(const std::string& name) { return std::string(HARTONOMOUS_TEST_DIR) + "/golden/random-" + name; }

// Those of "llama_cpp logits".
std::vector<token_id> some_tokens() {
  std::vector<token_id> tokens;
  for (token_id i = 0; i < static_cast<token_id>(length); ++i) {
    tokens.push_back((i * i * 7 + i * 3 + 1) % static_cast<token_id>(vocabulary));
  }
  return tokens;
}

std::vector<float> figures(const std::string& name) {
  std::ifstream file(golden(name) + ".logits.f32", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

std::vector<float> logits_of(transformer& network, const std::vector<float>& states) {
  std::vector<std::size_t> rows(states.size() / network.config().width);
  std::iota(rows.begin(), rows.end(), std::size_t{0});
  const std::vector<float> normed = network.normed(states, rows);
  std::vector<float> out(rows.size() * network.vocabulary());
  logit_reader reader(network, normed.data(), rows.size(), 20);
  while (reader.next()) {
    for (const std::size_t i : rows) {
      std::copy_n(reader.logits(i), reader.count(),
                  out.begin() + static_cast<std::ptrdiff_t>(i * network.vocabulary() + reader.first()));
    }
  }
  return out;
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0.0, size = 0.0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    worst = std::max(worst, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    size = std::max(size, std::fabs(static_cast<double>(b[i])));
  }
  return worst / size;
}

// ggml looks gelu up in a table for inputs and results of F16, which is 1 in 2048 each.
double tolerance(const hyperparameters& config) {
  return config.architecture->parts.inner_activation == activation::gelu ? 2e-3 : 2e-5;
}

class Architecture : public testing::TestWithParam<const char*> {
 protected:
  gguf_tensors tensors_{golden(GetParam()) + ".gguf"};
  hyperparameters config_ = read_hyperparameters(tensors_.metadata());
  std::vector<token_id> tokens_ = some_tokens();
  no_interrupts none_;
};

TEST_P(Architecture, AgreesWithLlamaCpp) {
  const std::vector<float> expected = figures(GetParam());
  ASSERT_EQ(expected.size(), length * vocabulary);
  for (const std::int64_t target : simd_targets()) {
    const forced_simd_target forced(target);
    transformer network(config_, tensors_, 2, panel, none_);
    const token_sequence whole = {tokens_};
    EXPECT_LE(distance(logits_of(network, network.run({&whole, 1})), expected), tolerance(config_))
        << simd_target_name(target);
  }
}

TEST_P(Architecture, WithACacheTokensMayComeInParts) {
  transformer network(config_, tensors_, 1, panel, none_);
  const token_sequence whole = {tokens_};
  const std::vector<float> expected = logits_of(network, network.run({&whole, 1}));
  kv_cache cache(config_, length);
  std::vector<float> logits;
  for (const std::size_t part : {7, 1, 13, 1, 1, 17}) {
    const token_sequence sequence = {{tokens_.data() + cache.length(), part}, &cache};
    const std::vector<float> more = logits_of(network, network.run({&sequence, 1}));
    logits.insert(logits.end(), more.begin(), more.end());
  }
  EXPECT_LE(distance(logits, expected), 2e-5);
}

// Each input is seen once for each token, and by as many experts as each token uses. Gram matrices have the sums of
// squares on their diagonal, except of what is weighted.
class counting_sink final : public calibration_sink {
 public:
  explicit counting_sink(const hyperparameters& config) : config_(config) {}
  void sums(span<const input_sums> inputs) override {
    for (const input_sums& s : inputs) {
      const std::uint64_t times = s.token_counts.size() > 1 ? config_.experts_used : 1;
      EXPECT_EQ(std::accumulate(s.token_counts.begin(), s.token_counts.end(), std::uint64_t{0}), times * length)
          << s.tensor;
      squares_[s.tensor] = s.squares;
    }
    seen_ += inputs.size();
  }
  void panel(const gram_panel& panel) override {
    ASSERT_EQ(panel.first_column, 0u);
    if (panel.tensor.find("attn_k.") != std::string::npos || panel.tensor == "output.weight") return;
    const std::vector<double>& squares = squares_.at(panel.tensor);
    std::size_t columns = 0;
    while (columns * (columns + 1) / 2 < panel.values.size()) ++columns;
    for (std::size_t i = 0, at = 0; i < columns; at += columns - i, ++i) {
      EXPECT_EQ(panel.values[at], static_cast<float>(squares[panel.expert * columns + i])) << panel.tensor;
    }
  }
  std::size_t seen() const { return seen_; }

 private:
  const hyperparameters& config_;
  std::map<std::string, std::vector<double>> squares_;
  std::size_t seen_ = 0;
};

TEST_P(Architecture, IsCalibrated) {
  transformer network(config_, tensors_, 1, panel, none_);
  std::size_t distinct = 0;
  for (const linear_input& input : linear_inputs(network)) {
    ASSERT_TRUE(tensors_.find(input.tensor)) << input.tensor;
    EXPECT_EQ(tensors_.find(input.tensor)->columns, input.columns) << input.tensor;
    distinct += input.tensor == input.shared_with ? 1 : 0;
  }
  calibration text(tokens_, 16, std::nullopt);
  counting_sink sink(config_);
  while (text.next_step() < text.steps(network)) text.run_step(network, statistics_kind::gram, 64 << 20, sink);
  EXPECT_EQ(sink.seen(), distinct);
}

// Every row of a matrix is used for as many tokens as reach it.
TEST_P(Architecture, CountsUsage) {
  transformer network(config_, tensors_, 1, panel, none_);
  usage_meter meter([&](const std::string& name) {
    const matrix_shape shape = *tensors_.find(name);
    return atom_layout{shape.rows, shape.columns, static_cast<std::uint32_t>(shape.columns)};
  });
  network.observe(&meter);
  const token_sequence whole = {tokens_};
  network.run({&whole, 1});
  for (const linear_input& input : linear_inputs(network)) {
    if (input.tensor == network.output_matrix()) continue;
    const std::vector<std::uint64_t>& tokens = meter.tensors().at(input.tensor).tokens;
    const std::uint64_t uses = std::accumulate(tokens.begin(), tokens.end(), std::uint64_t{0});
    EXPECT_EQ(uses * input.experts, tokens.size() * length * (input.experts > 1 ? config_.experts_used : 1))
        << input.tensor;
  }
  if (config_.architecture->parts.learned_positions) {
    EXPECT_EQ(meter.tensors().at("position_embd.weight").tokens[length - 1], 1u);
    EXPECT_EQ(meter.tensors().at("position_embd.weight").tokens[length], 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(LlamaCpp, Architecture,
                         testing::Values("mixtral", "llama-longrope", "mistral3", "qwen2moe", "gemma2", "gemma3",
                                         "phi3", "phi3-long", "gpt-oss", "granite", "granite4", "granitemoe", "olmo2",
                                         "olmo3", "smollm3", "starcoder2", "gpt2"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

template <class F>
std::string refusal(F&& f) {
  try {
    f();
  } catch (const error& e) {
    return std::string(e.state()) + " " + e.what();
  }
  return "";
}

// With a key that another architecture has, a model would compute something else.
TEST(Architectures, RefuseWhatTheyDoNotKnow) {
  const auto with = [](const std::string& model, const std::string& key, double value) {
    gguf_tensors tensors(golden(model) + ".gguf");
    tensors.metadata().set_float(key, static_cast<float>(value));
    return refusal([&] { read_hyperparameters(tensors.metadata()); });
  };
  EXPECT_EQ(with("mixtral", "llama.final_logit_softcapping", 0.0), "");
  EXPECT_EQ(with("mixtral", "llama.residual_scale", 1.0), "");
  EXPECT_EQ(with("mixtral", "llama.residual_scale", 0.5),
            "0A000 key \"llama.residual_scale\" is not known to models of this architecture");
  EXPECT_EQ(with("smollm3", "smollm3.final_logit_softcapping", 30.0),
            "0A000 key \"smollm3.final_logit_softcapping\" is not known to models of this architecture");
  gguf_tensors gemma(golden("gemma3.gguf"));
  gemma.metadata().set_uint32("gemma3.expert_count", 4);
  EXPECT_EQ(refusal([&] { read_hyperparameters(gemma.metadata()); }),
            "0A000 models of architecture gemma3 with experts cannot be run");
  EXPECT_EQ(with("gemma2", "gemma2.final_logit_softcapping", 30.0), "");
  gguf_tensors tensors(golden("gemma2.gguf"));
  tensors.metadata().set_string("gemma2.rope.scaling.type", "longrope");
  EXPECT_EQ(refusal([&] { read_hyperparameters(tensors.metadata()); }),
            "0A000 position scaling \"longrope\" is not known to models of architecture gemma2");
  gguf_tensors olmo(golden("olmo3.gguf"));
  olmo.metadata().set_uint32("olmo2.attention.key_length_swa", 8);
  EXPECT_EQ(refusal([&] { read_hyperparameters(olmo.metadata()); }),
            "0A000 the value of key \"olmo2.attention.key_length_swa\" is not supported");
  gguf_tensors qwen(golden("qwen2moe.gguf"));
  qwen.metadata().set_bool("qwen2moe.expert_weights_norm", true);
  EXPECT_EQ(refusal([&] { read_hyperparameters(qwen.metadata()); }),
            "0A000 the value of key \"qwen2moe.expert_weights_norm\" is not supported");
  gguf_tensors starcoder(golden("starcoder2.gguf"));
  starcoder.metadata().set_uint32("starcoder2.attention.sliding_window", 16);
  EXPECT_EQ(refusal([&] { read_hyperparameters(starcoder.metadata()); }),
            "0A000 attention in a sliding window is not known");
}

// A window as long as the context changes nothing; a pattern of the file replaces the usual one.
TEST(Architectures, WindowsAreThoseOfTheFile) {
  gguf_tensors tensors(golden("gemma3.gguf"));
  EXPECT_EQ(read_hyperparameters(tensors.metadata()).windowed,
            (std::vector<bool>{true, true, true, true, true, false}));
  tensors.metadata().set_uint32("gemma3.attention.sliding_window_pattern", 2);
  EXPECT_EQ(read_hyperparameters(tensors.metadata()).windowed,
            (std::vector<bool>{true, false, true, false, true, false}));
  tensors.metadata().set_ints("gemma3.attention.sliding_window_pattern", {0, 0, 1, 0, 0, 1});
  EXPECT_EQ(read_hyperparameters(tensors.metadata()).windowed,
            (std::vector<bool>{false, false, true, false, false, true}));
  tensors.metadata().set_ints("gemma3.attention.sliding_window_pattern", {0, 1});
  EXPECT_EQ(refusal([&] { read_hyperparameters(tensors.metadata()); }).substr(0, 5), "55000");
}

TEST(Architectures, PositionsThatAreLearnedEnd) {
  no_interrupts none;
  gguf_tensors tensors(golden("gpt2.gguf"));
  transformer network(read_hyperparameters(tensors.metadata()), tensors, 1, panel, none);
  const std::vector<token_id> tokens(network.config().context + 1, 1);
  kv_cache cache(network.config(), network.config().context + 8);
  const token_sequence sequence = {tokens, &cache};
  EXPECT_EQ(refusal([&] { network.run({&sequence, 1}); }), "22023 1025 tokens do not fit a context of 1024");
}

TEST(Architectures, GradientsAreRefusedWhereThereAreNone) {
  no_interrupts none;
  for (const char* model : {"gemma2", "phi3", "granite", "olmo2", "gpt2", "qwen2moe"}) {
    gguf_tensors tensors(golden(model) + std::string(".gguf"));
    transformer network(read_hyperparameters(tensors.metadata()), tensors, 1, panel, none);
    std::vector<float> states(network.config().width), gradients = states;
    const double draw = 0.5;
    EXPECT_EQ(refusal([&] {
                network.sampled_loss_gradient(states.data(), {&draw, 1}, gradients.data());
              }).substr(0, 5),
              "0A000")
        << model;
  }
}

}  // namespace
}  // namespace hartonomous
