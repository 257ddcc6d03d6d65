// The Gram matrix of what reads the residual stream against sums written out.
#include "hartonomous/embedding_gram.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <string>

#include "countdown.hpp"
#include "gguf_tensors.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

using network_test::gguf_tensors;

const std::string golden = std::string(HARTONOMOUS_TEST_DIR) + "/golden/";

std::vector<float> gram_of(gguf_tensors& tensors, unsigned threads = 1) {
  no_interrupts none;
  thread_pool pool(threads);
  return embedding_gram(tensors, read_hyperparameters(tensors.metadata()), {}, pool, none);
}

// Adds n / tr(M) * M of the products M of a matrix's rows, each times the weights of the norm.
void add_reader(gguf_tensors& tensors, const std::string& matrix, const std::string& norm, std::vector<double>& to) {
  const std::vector<float>& w = tensors.matrices().at(matrix).values;
  const std::vector<float>& g = tensors.matrices().at(norm).values;
  const std::size_t n = g.size();
  std::vector<double> products(n * n);
  double trace = 0.0;
  for (std::size_t at = 0; at < w.size(); at += n) {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) products[i * n + j] += double{w[at + i]} * g[i] * w[at + j] * g[j];
    }
  }
  for (std::size_t i = 0; i < n; ++i) trace += products[i * n + i];
  for (std::size_t i = 0; i < n * n; ++i) to[i] += products[i] * static_cast<double>(n) / trace;
}

void expect_upper(const std::vector<float>& upper, const std::vector<double>& expected, std::size_t n) {
  ASSERT_EQ(upper.size(), n * (n + 1) / 2);
  std::size_t at = 0;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = i; j < n; ++j) EXPECT_NEAR(upper[at++], expected[i * n + j], 1e-4) << i << ' ' << j;
  }
}

class EmbeddingGramOf : public testing::TestWithParam<const char*> {};

TEST_P(EmbeddingGramOf, IsTheSumOverAllMatricesThatReadTheStream) {
  gguf_tensors tensors(golden + GetParam() + ".gguf");
  const hyperparameters config = read_hyperparameters(tensors.metadata());
  std::vector<double> expected(std::size_t{config.width} * config.width);
  for (const auto& [matrix, m] : tensors.matrices()) {
    const std::string block = matrix.substr(0, matrix.find('.', 4) + 1), tensor = matrix.substr(block.size());
    const bool attends = tensor == "attn_q.weight" || tensor == "attn_k.weight" || tensor == "attn_v.weight";
    const bool feeds = tensor == "ffn_gate.weight" || tensor == "ffn_up.weight" || tensor == "ffn_gate_inp.weight" ||
                       tensor == "ffn_gate_exps.weight" || tensor == "ffn_up_exps.weight";
    if (attends) add_reader(tensors, matrix, block + "attn_norm.weight", expected);
    if (feeds) add_reader(tensors, matrix, block + "ffn_norm.weight", expected);
  }
  const bool tied = tensors.matrices().count("output.weight") == 0;
  add_reader(tensors, tied ? "token_embd.weight" : "output.weight", "output_norm.weight", expected);
  expect_upper(gram_of(tensors), expected, config.width);
  EXPECT_EQ(gram_of(tensors, 1), gram_of(tensors, 3));
}
INSTANTIATE_TEST_SUITE_P(Models, EmbeddingGramOf, testing::Values("random-llama", "random-qwen3moe"));

TEST(EmbeddingGram, LeavesOutMatricesOfZeros) {
  gguf_tensors tensors(golden + "random-llama.gguf");
  const std::size_t n = read_hyperparameters(tensors.metadata()).width;
  for (auto& [matrix, m] : tensors.matrices()) {
    if (m.shape.rows > 1 && matrix != "blk.1.attn_k.weight") std::fill(m.values.begin(), m.values.end(), 0.0F);
  }
  std::vector<double> expected(n * n);
  add_reader(tensors, "blk.1.attn_k.weight", "blk.1.attn_norm.weight", expected);
  expect_upper(gram_of(tensors), expected, n);
  auto& last = tensors.matrices().at("blk.1.attn_k.weight").values;
  std::fill(last.begin(), last.end(), 0.0F);
  expect_upper(gram_of(tensors), std::vector<double>(n * n), n);
}

TEST(EmbeddingGram, RefusesWhatIsNotFiniteOrMissing) {
  const auto fault_of = [](gguf_tensors& tensors) {
    try {
      gram_of(tensors);
    } catch (const error& e) {
      return e.state() + std::string(" ") + e.what();
    }
    return std::string();
  };
  gguf_tensors tensors(golden + "random-llama.gguf");
  tensors.matrices().at("blk.0.ffn_up.weight").values[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(fault_of(tensors),
            "55000 tensor \"blk.0.ffn_up.weight\" or the norm before it has a weight that is not finite");
  tensors.matrices().at("blk.0.ffn_up.weight").shape.columns += 1;
  EXPECT_EQ(fault_of(tensors), "55000 tensor \"blk.0.ffn_up.weight\" has the wrong shape");
  tensors.matrices().erase("blk.0.attn_norm.weight");
  EXPECT_EQ(fault_of(tensors), "55000 the model has no tensor \"blk.0.attn_norm.weight\"");
}

TEST(EmbeddingGram, TellsHowFarItIsAndStops) {
  gguf_tensors tensors(golden + "random-llama.gguf");
  const hyperparameters config = read_hyperparameters(tensors.metadata());
  thread_pool pool(1);
  no_interrupts none;
  std::vector<double> parts;
  embedding_gram(
      tensors, config, [&](double part) { parts.push_back(part); }, pool, none);
  EXPECT_TRUE(std::is_sorted(parts.begin(), parts.end()));
  EXPECT_EQ(parts.back(), 1.0);
  countdown stop(3);
  EXPECT_THROW(embedding_gram(tensors, config, {}, pool, stop), std::exception);
}

}  // namespace
}  // namespace hartonomous
