// The backward pass against central differences of a forward pass in double, written here once more and plainly: the
// gradient by every output of every matrix of the models of tools/make_reference_models.py, which between them have
// both kinds of rotary pairs, their factors, linear scaling and YaRN, grouped queries, norms of heads, biases, and a
// tied embedding.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "countdown.hpp"
#include "gguf_tensors.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/network.hpp"
#include "network/rope.hpp"

namespace hartonomous {
namespace {

using network_test::gguf_tensors;
using numbers = std::vector<double>;

const std::string golden = std::string(HARTONOMOUS_TEST_DIR) + "/golden/";

// The second one is longer than a tile of attention.
std::vector<std::vector<token_id>> windows_of_tokens() {
  std::vector<token_id> longer(70);
  for (std::size_t t = 0; t < longer.size(); ++t) longer[t] = static_cast<token_id>((t * t + 3 * t + 2) % 29);
  return {{1, 17, 4, 30, 4, 9, 0, 31, 22, 5, 5, 13}, longer};
}
const std::vector<std::vector<token_id>> windows = windows_of_tokens();

hyperparameters config_of(gguf_tensors& tensors) {
  hyperparameters config = read_hyperparameters(tensors.metadata());
  config.context = 128;
  return config;
}

// A number that is added to one output of one matrix, for one token.
struct push {
  std::string matrix;
  std::size_t token = 0, row = 0;
  double by = 0.0;
};

class plain_network {
 public:
  plain_network(gguf_tensors& tensors, const hyperparameters& config) : tensors_(tensors), c_(config) {
    std::vector<float> factors;
    if (tensors.find("rope_freqs.weight")) factors = tensors.matrices().at("rope_freqs.weight").values;
    angles_ = std::make_unique<network_detail::rope_table>(config.rope, config.context, factors, 0, config.context);
  }

  // The sum of the cross entropies of the labels.
  double loss(const std::vector<token_id>& tokens, const std::vector<token_id>& labels, const push& pushed) {
    pushed_ = &pushed;
    const std::size_t width = c_.width;
    numbers x;
    for (token_id t : tokens) {
      const float* row = tensors_.matrices().at("token_embd.weight").values.data() + t * width;
      x.insert(x.end(), row, row + width);
    }
    for (std::uint32_t b = 0; b < c_.blocks; ++b) run_block("blk." + std::to_string(b) + ".", x);
    const std::string output = tensors_.find("output.weight") ? "output" : "token_embd";
    const numbers logits = linear(output, norm("output_norm.weight", x, width));
    const std::size_t vocabulary = logits.size() / tokens.size();
    double sum = 0.0;
    for (std::size_t t = 0; t < tokens.size(); ++t) {
      double mass = 0.0;
      for (std::size_t j = 0; j < vocabulary; ++j) mass += std::exp(logits[t * vocabulary + j]);
      sum += std::log(mass) - logits[t * vocabulary + labels[t]];
    }
    return sum;
  }

 private:
  numbers norm(const std::string& name, const numbers& x, std::size_t size) const {
    const std::vector<float>& weight = tensors_.matrices().at(name).values;
    numbers out(x.size());
    for (std::size_t at = 0; at < x.size(); at += size) {
      double squares = 0.0;
      for (std::size_t i = 0; i < size; ++i) squares += x[at + i] * x[at + i];
      const double scale = 1.0 / std::sqrt(squares / size + c_.epsilon);
      for (std::size_t i = 0; i < size; ++i) out[at + i] = x[at + i] * scale * weight[i];
    }
    return out;
  }

  numbers linear(const std::string& name, const numbers& x) const {
    const gguf_tensors::matrix& w = tensors_.matrices().at(name + ".weight");
    const std::size_t rows = w.shape.rows, columns = w.shape.columns, tokens = x.size() / columns;
    const auto bias = tensors_.matrices().find(name + ".bias");
    numbers y(tokens * rows);
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t r = 0; r < rows; ++r) {
        double sum = bias == tensors_.matrices().end() ? 0.0 : bias->second.values[r];
        for (std::size_t k = 0; k < columns; ++k) sum += w.values[r * columns + k] * x[t * columns + k];
        y[t * rows + r] = sum;
      }
    }
    if (pushed_->matrix == name + ".weight") y[pushed_->token * rows + pushed_->row] += pushed_->by;
    return y;
  }

  void rotate(numbers& x, std::size_t heads) const {
    const std::size_t size = c_.head_size, pairs = c_.rope.dimensions / 2;
    const bool halves = c_.rope.pairs == rope_pairs::halves;
    for (std::size_t t = 0; t < x.size() / (heads * size); ++t) {
      for (std::size_t h = 0; h < heads; ++h) {
        for (std::size_t i = 0; i < pairs; ++i) {
          double& a = x[(t * heads + h) * size + (halves ? i : 2 * i)];
          double& b = x[(t * heads + h) * size + (halves ? i + pairs : 2 * i + 1)];
          const auto p = static_cast<std::uint32_t>(t);
          const double cosine = angles_->cosines(p)[i], sine = angles_->sines(p)[i], old = a;
          a = old * cosine - b * sine;
          b = old * sine + b * cosine;
        }
      }
    }
  }

  numbers attend(const numbers& q, const numbers& k, const numbers& v) const {
    const std::size_t size = c_.head_size, heads = c_.heads, kv = c_.kv_heads, tokens = q.size() / (heads * size);
    numbers out(q.size());
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t h = 0; h < heads; ++h) {
        const std::size_t shared = h / (heads / kv);
        numbers p(t + 1);
        double mass = 0.0;
        for (std::size_t s = 0; s <= t; ++s) {
          double score = 0.0;
          for (std::size_t i = 0; i < size; ++i) {
            score += q[(t * heads + h) * size + i] * k[(s * kv + shared) * size + i];
          }
          p[s] = std::exp(score * c_.attention_scale);
          mass += p[s];
        }
        for (std::size_t s = 0; s <= t; ++s) {
          for (std::size_t i = 0; i < size; ++i) {
            out[(t * heads + h) * size + i] += p[s] / mass * v[(s * kv + shared) * size + i];
          }
        }
      }
    }
    return out;
  }

  void run_block(const std::string& prefix, numbers& x) const {
    const numbers input = norm(prefix + "attn_norm.weight", x, c_.width);
    numbers q = linear(prefix + "attn_q", input), k = linear(prefix + "attn_k", input);
    if (tensors_.find(prefix + "attn_q_norm.weight")) {
      q = norm(prefix + "attn_q_norm.weight", q, c_.head_size);
      k = norm(prefix + "attn_k_norm.weight", k, c_.head_size);
    }
    rotate(q, c_.heads);
    rotate(k, c_.kv_heads);
    const numbers attended = linear(prefix + "attn_output", attend(q, k, linear(prefix + "attn_v", input)));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += attended[i];
    const numbers inner = norm(prefix + "ffn_norm.weight", x, c_.width);
    numbers gate = linear(prefix + "ffn_gate", inner);
    const numbers up = linear(prefix + "ffn_up", inner);
    for (std::size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1.0 + std::exp(-gate[i])) * up[i];
    const numbers down = linear(prefix + "ffn_down", gate);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += down[i];
  }

  gguf_tensors& tensors_;
  const hyperparameters& c_;
  std::unique_ptr<network_detail::rope_table> angles_;
  const push* pushed_ = nullptr;
};

// Draws that are spread over [0, 1).
std::vector<double> draws_of(std::size_t count) {
  std::vector<double> draws;
  for (std::size_t i = 0; i < count; ++i) draws.push_back(std::fmod(0.37 + 0.618033988749895 * i, 1.0));
  return draws;
}

struct gradient {
  std::vector<float> values;
  std::size_t rows = 0;
};

struct backward_result {
  std::vector<token_id> labels;
  std::map<std::string, gradient> outputs;
  std::vector<float> embedded;  // the gradient by the states before the first block
  bool operator==(const backward_result& other) const {
    return labels == other.labels && embedded == other.embedded && outputs.size() == other.outputs.size() &&
           std::equal(outputs.begin(), outputs.end(), other.outputs.begin(), [](const auto& a, const auto& b) {
             return a.first == b.first && a.second.values == b.second.values;
           });
  }
};

backward_result backward(tensor_source& tensors, const hyperparameters& config,
                         const std::vector<std::vector<token_id>>& texts, unsigned threads, std::uint64_t panel_bytes,
                         interrupt_checker& interrupts) {
  transformer network(config, tensors, threads, panel_bytes, interrupts);
  std::vector<token_sequence> sequences;
  std::vector<token_id> all;
  for (const std::vector<token_id>& w : texts) {
    sequences.push_back({w, nullptr});
    all.insert(all.end(), w.begin(), w.end());
  }
  std::vector<std::vector<float>> streams(1, std::vector<float>(all.size() * config.width));
  network.embed(sequences, streams.front().data());
  for (std::uint32_t b = 0; b < config.blocks; ++b) {
    streams.push_back(streams.back());
    network.run_block(b, sequences, streams.back().data());
  }
  backward_result result;
  result.embedded.resize(all.size() * config.width);
  result.labels = network.sampled_loss_gradient(streams.back().data(), draws_of(all.size()), result.embedded.data());
  for (std::uint32_t b = config.blocks; b-- > 0;) {
    network.run_block_backward(
        b, sequences, streams[b].data(),
        [&](const std::string& matrix, const float* y, std::size_t tokens, std::size_t rows) {
          result.outputs[matrix] = {{y, y + tokens * rows}, rows};
        },
        result.embedded.data());
  }
  return result;
}

backward_result backward(const std::string& path, unsigned threads = 1, std::uint64_t panel_bytes = 1 << 20) {
  gguf_tensors tensors(path);
  no_interrupts none;
  return backward(tensors, config_of(tensors), windows, threads, panel_bytes, none);
}

class Backward : public testing::TestWithParam<const char*> {};

TEST_P(Backward, IsTheDerivativeOfTheLoss) {
  gguf_tensors tensors(golden + GetParam());
  const hyperparameters config = config_of(tensors);
  no_interrupts none;
  const backward_result found = backward(tensors, config, windows, 1, 1 << 20, none);
  ASSERT_EQ(found.outputs.size(), 7U * config.blocks);
  plain_network plain(tensors, config);
  for (const auto& [matrix, of_output] : found.outputs) {
    double worst = 0.0, largest = 0.0;
    std::size_t first = 0;
    for (const std::vector<token_id>& w : windows) {
      const std::vector<token_id> labels(found.labels.begin() + first, found.labels.begin() + first + w.size());
      // All of a short text, and some of a long one.
      const std::size_t stride = w.size() < 16 ? 1 : 7;
      for (std::size_t t = 0; t < w.size(); t += stride) {
        for (std::size_t r = t % stride; r < of_output.rows; r += stride) {
          constexpr double step = 1e-4;
          const double expected =
              (plain.loss(w, labels, {matrix, t, r, step}) - plain.loss(w, labels, {matrix, t, r, -step})) / (2 * step);
          const double actual = of_output.values[(first + t) * of_output.rows + r];
          worst = std::max(worst, std::fabs(actual - expected));
          largest = std::max(largest, std::fabs(expected));
        }
      }
      first += w.size();
    }
    EXPECT_GT(largest, 1e-3) << matrix;
    EXPECT_LT(worst, 1e-5 * std::max(1.0, largest)) << matrix << ", whose largest gradient is " << largest;
  }
}

TEST_P(Backward, DependsOnNeitherThreadsNorPanels) {
  const backward_result one = backward(golden + GetParam());
  EXPECT_TRUE(one == backward(golden + GetParam(), 3));
  // Products of BLAS may differ in their last digits with the shape of a panel.
  const backward_result other = backward(golden + GetParam(), 2, 1 << 10);
  EXPECT_EQ(one.labels, other.labels);
  float largest = 0.0f;
  for (const float g : one.embedded) largest = std::max(largest, std::fabs(g));
  for (std::size_t i = 0; i < one.embedded.size(); ++i) {
    ASSERT_NEAR(one.embedded[i], other.embedded[i], 1e-5f * largest) << i;
  }
}

TEST_P(Backward, DrawsLabelsFromThePrediction) {
  // The expectation of the gradient by the logits is zero, so the mean over evenly spread draws of that by the states
  // nearly is. The gradient of a single draw is not.
  gguf_tensors tensors(golden + GetParam());
  const hyperparameters config = config_of(tensors);
  no_interrupts none;
  transformer network(config, tensors, 1, 1 << 20, none);
  const token_sequence sequence = {windows.front()};
  const std::vector<float> state = network.run({&sequence, 1});
  constexpr std::size_t draws = 1024;
  std::vector<float> states, gradients(draws * config.width);
  std::vector<double> spread;
  for (std::size_t i = 0; i < draws; ++i) {
    states.insert(states.end(), state.end() - config.width, state.end());
    spread.push_back((i + 0.5) / draws);
  }
  const std::vector<token_id> labels = network.sampled_loss_gradient(states.data(), spread, gradients.data());
  EXPECT_TRUE(std::is_sorted(labels.begin(), labels.end()));
  double sum = 0.0, size = 0.0;
  for (std::size_t k = 0; k < config.width; ++k) {
    double mean = 0.0;
    for (std::size_t i = 0; i < draws; ++i) mean += gradients[i * config.width + k] / draws;
    sum += mean * mean;
    for (std::size_t i = 0; i < draws; ++i) size += std::pow(gradients[i * config.width + k], 2) / draws;
  }
  EXPECT_LT(std::sqrt(sum), 0.02 * std::sqrt(size));
}

INSTANTIATE_TEST_SUITE_P(Architectures, Backward,
                         testing::Values("random-llama.gguf", "random-qwen2.gguf", "random-qwen3.gguf"),
                         [](const auto& info) { return std::string(info.param).substr(7, 5); });

TEST(BackwardPass, DrawsBeyondTheSumAreTheLastToken) {
  gguf_tensors tensors(golden + "random-llama.gguf");
  const hyperparameters config = config_of(tensors);
  no_interrupts none;
  transformer network(config, tensors, 1, 1 << 20, none);
  const std::vector<float> states(2 * config.width, 1.0f);
  std::vector<float> gradients(states.size());
  const std::vector<double> draws = {0.0, 1.0};
  EXPECT_EQ(network.sampled_loss_gradient(states.data(), draws, gradients.data()), (std::vector<token_id>{0, 31}));
}

TEST(BackwardPass, RefusesExperts) {
  gguf_tensors tensors(golden + "random-qwen3moe.gguf");
  no_interrupts none;
  try {
    backward(tensors, config_of(tensors), windows, 1, 1 << 20, none);
    ADD_FAILURE() << "experts were accepted";
  } catch (const error& e) {
    EXPECT_EQ(std::string(e.state()), "0A000");
  }
}

TEST(BackwardPass, StopsAtEveryCheckForInterrupts) {
  gguf_tensors tensors(golden + "random-llama.gguf");
  const hyperparameters config = config_of(tensors);
  countdown counted;
  backward(tensors, config, windows, 1, 1 << 20, counted);
  EXPECT_GT(counted.checks(), 60);
  // In one thread, as it was counted: of several, any may take the tasks between two checks.
  for (int at = 1; at <= counted.checks(); at += 7) {
    countdown stop(at);
    EXPECT_THROW(backward(tensors, config, windows, 1, 1 << 20, stop), std::domain_error) << at;
  }
}

}  // namespace
}  // namespace hartonomous
