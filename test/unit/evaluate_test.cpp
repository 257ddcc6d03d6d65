// Perplexity, scores and comparisons against definitions written out.
#include "hartonomous/evaluate.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <stdexcept>

#include "gguf_tensors.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

using network_test::gguf_tensors;

constexpr std::uint64_t plenty = std::uint64_t{1} << 30;

std::vector<token_id> some_tokens(std::size_t count) {
  std::vector<token_id> tokens(count);
  for (std::size_t i = 0; i < count; ++i) tokens[i] = static_cast<token_id>((i * i * 7 + i / 3) % 32);
  return tokens;
}

struct model {
  explicit model(const std::string& name, unsigned threads = 1, std::uint64_t panel = 1 << 20)
      : tensors(std::string(HARTONOMOUS_TEST_DIR) + "/golden/" + name), network_threads(threads), panel_bytes(panel) {}
  transformer network() {
    return {read_hyperparameters(tensors.metadata()), tensors, network_threads, panel_bytes, none};
  }
  gguf_tensors tensors;
  no_interrupts none;
  unsigned network_threads;
  std::uint64_t panel_bytes;
};

// All log-probabilities after each token of a window, by the definition and in double.
std::vector<std::vector<double>> log_softmaxes(transformer& network, const std::vector<token_id>& tokens) {
  const token_sequence sequence = {tokens};
  const std::vector<float> states = network.run({&sequence, 1});
  std::vector<std::size_t> rows(tokens.size());
  std::iota(rows.begin(), rows.end(), std::size_t{0});
  const std::vector<float> normed = network.normed(states, rows);
  logit_reader reader(network, normed.data(), rows.size(), network.vocabulary());
  reader.next();
  std::vector<std::vector<double>> out;
  for (std::size_t row : rows) {
    std::vector<double> logits(reader.logits(row), reader.logits(row) + reader.count());
    double sum = 0.0;
    for (double l : logits) sum += std::exp(l);
    for (double& l : logits) l -= std::log(sum);
    out.push_back(logits);
  }
  return out;
}

template <class F>
std::string state_of(F&& f) {
  try {
    f();
  } catch (const error& e) {
    return e.state();
  }
  return "00000";
}

// ---- windows ---------------------------------------------------------------------------------------------------

TEST(Windows, PerplexityScoresTheSecondHalfOfWholePieces) {
  const std::vector<score_window> windows = perplexity_windows(some_tokens(29), 8, 1);
  ASSERT_EQ(windows.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    std::vector<token_id> expected = some_tokens(29);
    expected = {expected.begin() + static_cast<std::ptrdiff_t>(8 * i),
                expected.begin() + static_cast<std::ptrdiff_t>(8 * i + 8)};
    expected[0] = 1;
    EXPECT_EQ(windows[i].tokens, expected);
    EXPECT_EQ(windows[i].first, 5u);
    EXPECT_EQ(windows[i].scored(), 3u) << "n_ctx / 2 - 1";
  }
  EXPECT_EQ(perplexity_windows(some_tokens(18), 9, std::nullopt)[1].tokens[0], some_tokens(18)[9]);
  EXPECT_EQ(perplexity_windows(some_tokens(18), 9, std::nullopt)[0].scored(), 4u);
}

TEST(Windows, PerplexityNeedsTwoPieces) {
  EXPECT_EQ(state_of([] { perplexity_windows(some_tokens(16), 8, 1); }), "00000");
  EXPECT_EQ(state_of([] { perplexity_windows(some_tokens(15), 8, 1); }), "22023");
  EXPECT_EQ(state_of([] { perplexity_windows({}, 8, 1); }), "22023");
  EXPECT_EQ(state_of([] { perplexity_windows(some_tokens(100), 3, 1); }), "22023");
  EXPECT_EQ(state_of([] { perplexity_windows(some_tokens(100), UINT32_MAX, 1); }), "22023");
}

TEST(Windows, CoveringScoresEveryTokenButTheFirstOnce) {
  for (std::size_t count : {2, 7, 8, 9, 12, 13, 40}) {
    const std::vector<token_id> tokens = some_tokens(count);
    std::vector<token_id> scored;
    for (const score_window& w : covering_windows(tokens, 8, std::nullopt)) {
      EXPECT_LE(w.tokens.size(), 8u);
      EXPECT_GE(w.first, scored.empty() ? 1u : 4u) << "half a window before it";
      scored.insert(scored.end(), w.tokens.begin() + static_cast<std::ptrdiff_t>(w.first), w.tokens.end());
    }
    EXPECT_EQ(scored, std::vector<token_id>(tokens.begin() + 1, tokens.end())) << count;
  }
  EXPECT_TRUE(covering_windows(some_tokens(1), 8, std::nullopt).empty());
  EXPECT_TRUE(covering_windows({}, 8, std::nullopt).empty());
}

// ---- scores ----------------------------------------------------------------------------------------------------

TEST(Scores, AreTheLogarithmsOfTheSoftmax) {
  model m("random-qwen2.gguf");
  transformer network = m.network();
  const std::vector<score_window> windows = perplexity_windows(some_tokens(50), 16, 3);
  std::vector<double> expected;
  for (const score_window& w : windows) {
    const auto all = log_softmaxes(network, w.tokens);
    for (std::size_t i = w.first; i < w.tokens.size(); ++i) {
      expected.push_back(all[i - 1][static_cast<std::size_t>(w.tokens[i])]);
    }
  }
  const std::vector<double> scores = score_windows(network, windows, plenty);
  ASSERT_EQ(scores.size(), expected.size());
  for (std::size_t i = 0; i < scores.size(); ++i) EXPECT_NEAR(scores[i], expected[i], 1e-5) << i;
  const double loss = -std::accumulate(expected.begin(), expected.end(), 0.0) / static_cast<double>(expected.size());
  EXPECT_NEAR(perplexity_of(scores).value, std::exp(loss), 1e-4);
}

TEST(Scores, DoNotDependOnThreadsOrMemory) {
  model one("random-qwen3.gguf"), two("random-qwen3.gguf", 2);
  transformer a = one.network(), b = two.network();
  const std::vector<score_window> windows = perplexity_windows(some_tokens(400), 32, 3);
  const std::vector<double> scores = score_windows(a, windows, plenty);
  EXPECT_EQ(score_windows(b, windows, plenty), scores);
  // Just enough for one window at a time.
  std::uint64_t least = 1;
  while (state_of([&] { score_windows(a, {windows.data(), 1}, least); }) == "53200") least *= 2;
  const std::vector<double> apart = score_windows(a, windows, least);
  for (std::size_t i = 0; i < scores.size(); ++i) EXPECT_NEAR(apart[i], scores[i], 1e-5);
  EXPECT_EQ(state_of([&] { score_windows(a, windows, 1000); }), "53200");
}

TEST(Scores, WithoutWeightsPerplexityIsTheVocabulary) {
  model m("random-qwen3.gguf");
  for (auto& [name, matrix] : m.tensors.matrices()) std::fill(matrix.values.begin(), matrix.values.end(), 0.0f);
  transformer network = m.network();
  const estimate p = perplexity_of(score_windows(network, perplexity_windows(some_tokens(64), 32, 1), plenty));
  EXPECT_NEAR(p.value, 32.0, 1e-5);
  EXPECT_NEAR(p.standard_error, 0.0, 1e-6);
}

TEST(Scores, NaNCarriesThrough) {
  model m("random-llama.gguf");
  m.tensors.matrices()["output.weight"].values[5] = std::nanf("");
  transformer network = m.network();
  EXPECT_TRUE(
      std::isnan(perplexity_of(score_windows(network, perplexity_windows(some_tokens(64), 32, 1), plenty)).value));
}

TEST(Scores, NoWindowsNoScores) {
  model m("random-llama.gguf");
  transformer network = m.network();
  EXPECT_TRUE(score_windows(network, {}, plenty).empty());
}

// ---- comparisons -----------------------------------------------------------------------------------------------

TEST(Compare, FollowsTheDefinitions) {
  model a("random-llama.gguf"), b("random-llama.gguf");
  for (float& w : b.tensors.matrices()["blk.0.ffn_down.weight"].values) w *= 0.5f;
  transformer network = b.network(), baseline = a.network();
  const std::vector<score_window> windows = perplexity_windows(some_tokens(70), 16, 2);
  running_mean divergence, same, difference, change;
  running_root_mean_square change_rms;
  running_correlation correlation;
  std::vector<float> divergences;
  for (const score_window& w : windows) {
    const auto p = log_softmaxes(baseline, w.tokens), q = log_softmaxes(network, w.tokens);
    for (std::size_t i = w.first; i < w.tokens.size(); ++i) {
      double kl = 0.0;
      for (std::size_t v = 0; v < 32; ++v) kl += std::exp(p[i - 1][v]) * (p[i - 1][v] - q[i - 1][v]);
      divergence.add(kl);
      divergences.push_back(static_cast<float>(kl));
      const auto top = [](const std::vector<double>& d) { return std::max_element(d.begin(), d.end()) - d.begin(); };
      same.add(top(p[i - 1]) == top(q[i - 1]) ? 1.0 : 0.0);
      const auto token = static_cast<std::size_t>(w.tokens[i]);
      difference.add(p[i - 1][token] - q[i - 1][token]);
      change.add(std::exp(q[i - 1][token]) - std::exp(p[i - 1][token]));
      change_rms.add(std::exp(q[i - 1][token]) - std::exp(p[i - 1][token]));
      correlation.add(p[i - 1][token], q[i - 1][token]);
    }
  }
  const model_comparison c = compare_models(network, baseline, windows, plenty);
  EXPECT_EQ(c.tokens, 4u * 7u);
  EXPECT_NEAR(c.kl_divergence.value, divergence.mean(), 1e-5);
  EXPECT_NEAR(c.kl_divergence.standard_error, divergence.standard_error(), 1e-5);
  EXPECT_EQ(c.same_top.value, same.mean());
  EXPECT_LT(c.same_top.value, 1.0) << "the models should differ";
  EXPECT_NEAR(c.same_top.standard_error, same.standard_error(), 1e-12);
  EXPECT_NEAR(c.perplexity_ratio.value, std::exp(difference.mean()), 1e-5);
  EXPECT_NEAR(c.perplexity_ratio.standard_error, std::exp(difference.mean()) * difference.standard_error(), 1e-5);
  EXPECT_NEAR(c.perplexity.value, perplexity_of(score_windows(network, windows, plenty)).value, 1e-9);
  EXPECT_NEAR(c.baseline_perplexity.value, perplexity_of(score_windows(baseline, windows, plenty)).value, 1e-9);
  EXPECT_NEAR(c.perplexity_ratio.value, c.perplexity.value / c.baseline_perplexity.value, 1e-9);
  EXPECT_NEAR(c.probability_change.value, change.mean(), 1e-7);
  EXPECT_NEAR(c.probability_change.standard_error, change.standard_error(), 1e-7);
  EXPECT_NEAR(c.probability_change_rms.value, change_rms.value().value, 1e-7);
  EXPECT_NEAR(c.probability_change_rms.standard_error, change_rms.value().standard_error, 1e-7);
  EXPECT_NEAR(c.log_probability_correlation.value(), correlation.value().value(), 1e-5);
  std::sort(divergences.begin(), divergences.end());
  ASSERT_EQ(divergences.size(), 28u);
  EXPECT_NEAR(c.kl_quantiles.minimum, divergences[0], 1e-5);
  EXPECT_NEAR(c.kl_quantiles.median, (divergences[13] + divergences[14]) / 2, 1e-5);
  EXPECT_NEAR(c.kl_quantiles.percentile_90, 0.7 * divergences[24] + 0.3 * divergences[25], 1e-5);
  EXPECT_NEAR(c.kl_quantiles.percentile_95, 0.35 * divergences[25] + 0.65 * divergences[26], 1e-5);
  EXPECT_NEAR(c.kl_quantiles.percentile_99, 0.27 * divergences[26] + 0.73 * divergences[27], 1e-5);
  EXPECT_NEAR(c.kl_quantiles.percentile_99_9, 0.027 * divergences[26] + 0.973 * divergences[27], 1e-5);
  EXPECT_NEAR(c.kl_quantiles.maximum, divergences[27], 1e-5);
}

TEST(Compare, KeepsFourBytesAToken) {
  model m("random-qwen3.gguf");
  transformer a = m.network(), b = m.network();
  const std::vector<score_window> windows = covering_windows(some_tokens(1001), 32, 2);
  EXPECT_EQ(state_of([&] { compare_models(a, b, windows, 4000); }), "53200");
  const model_comparison c = compare_models(a, b, windows, plenty);
  EXPECT_EQ(c.tokens, 1000u);
  EXPECT_EQ(c.kl_quantiles.maximum, 0.0);
}

TEST(Compare, WithoutTokensHasNoCorrelation) {
  model m("random-qwen3.gguf");
  transformer a = m.network(), b = m.network();
  EXPECT_FALSE(compare_models(a, b, {}, plenty).log_probability_correlation);
}

TEST(Compare, NaNCarriesThrough) {
  model a("random-llama.gguf"), b("random-llama.gguf");
  b.tensors.matrices()["output.weight"].values[5] = std::nanf("");
  transformer network = b.network(), baseline = a.network();
  const model_comparison c = compare_models(network, baseline, perplexity_windows(some_tokens(64), 32, 1), plenty);
  EXPECT_TRUE(std::isnan(c.kl_quantiles.minimum));
  EXPECT_TRUE(std::isnan(c.kl_quantiles.maximum));
  EXPECT_TRUE(std::isnan(c.probability_change.value));
  EXPECT_TRUE(std::isnan(c.probability_change_rms.value));
}

TEST(Compare, AModelWithItself) {
  model m("random-qwen3.gguf");
  transformer a = m.network(), b = m.network();
  const model_comparison c = compare_models(a, b, perplexity_windows(some_tokens(70), 16, 2), plenty);
  EXPECT_EQ(c.kl_divergence.value, 0.0);
  EXPECT_EQ(c.same_top.value, 1.0);
  EXPECT_EQ(c.perplexity_ratio.value, 1.0);
  EXPECT_EQ(c.perplexity_ratio.standard_error, 0.0);
}

TEST(Compare, NeedsOneVocabulary) {
  model a("random-qwen3.gguf"), b("random-qwen3.gguf");
  for (const char* name : {"token_embd.weight", "output.weight"}) --b.tensors.matrices()[name].shape.rows;
  transformer network = b.network(), baseline = a.network();
  EXPECT_EQ(state_of([&] { compare_models(network, baseline, {}, plenty); }), "22023");
}

// ---- progress --------------------------------------------------------------------------------------------------

// What a watcher is told: parts that grow, and what the passes end with.
struct watched {
  std::vector<evaluation_progress> all, ends;
  evaluation_watcher watcher() {
    return [this](const evaluation_progress& p) {
      all.push_back(p);
      if (p.pass_ended) ends.push_back(p);
    };
  }
  void expect_whole(std::size_t windows) const {
    double part = 0.0;
    for (const evaluation_progress& p : all) {
      EXPECT_GE(p.part, part);
      EXPECT_EQ(p.windows, windows);
      part = p.part;
    }
    ASSERT_FALSE(ends.empty());
    EXPECT_GT(all.size(), 10 * ends.size()) << "many times a pass";
    EXPECT_GT(all.front().part, 0.0);
    EXPECT_LT(all.front().part, 0.1);
    EXPECT_FALSE(all.front().perplexity);
    EXPECT_EQ(part, 1.0) << "no multiplication is left out, none counted twice";
  }
};

TEST(EvaluationProgress, OfScores) {
  for (const char* name : {"random-llama.gguf", "random-qwen2.gguf", "random-qwen3.gguf", "random-qwen3moe.gguf"}) {
    model m(name);
    transformer network = m.network();
    const std::vector<score_window> windows = perplexity_windows(some_tokens(5000), 32, 3);
    watched w;
    const double p = perplexity_of(score_windows(network, windows, plenty, w.watcher())).value;
    w.expect_whole(windows.size());
    ASSERT_EQ(w.ends.size(), 3u) << "passes of 2048 tokens";
    EXPECT_NEAR(w.ends[0].part, 2048.0 / 4992.0, 1e-12);
    EXPECT_EQ(*w.ends[2].perplexity, p);
    EXPECT_NE(*w.ends[0].perplexity, p);
    const std::size_t told = w.all.size();
    score_windows(network, windows, plenty);
    EXPECT_EQ(w.all.size(), told) << "not beyond the evaluation that it was for";
  }
}

TEST(EvaluationProgress, OfComparisons) {
  model a("random-llama.gguf"), b("random-llama.gguf", 2);
  transformer network = a.network(), baseline = b.network();
  const std::vector<score_window> windows = covering_windows(some_tokens(300), 16, 3);
  watched w;
  const model_comparison c = compare_models(network, baseline, windows, plenty, w.watcher());
  w.expect_whole(windows.size());
  EXPECT_EQ(*w.ends.back().perplexity, c.perplexity.value);
}

TEST(EvaluationProgress, AWatcherMayEndTheEvaluation) {
  model m("random-llama.gguf");
  transformer network = m.network();
  const std::vector<score_window> windows = perplexity_windows(some_tokens(64), 32, 1);
  int told = 0;
  const evaluation_watcher ends = [&](const evaluation_progress&) {
    if (++told == 3) throw std::domain_error("cancelled");
  };
  EXPECT_THROW(score_windows(network, windows, plenty, ends), std::domain_error);
  EXPECT_EQ(score_windows(network, windows, plenty).size(), 30u);
  EXPECT_EQ(told, 3);
}

TEST(EvaluationProgress, InWords) {
  EXPECT_EQ(progress_text({0.0, 655, std::nullopt, false}, std::nullopt), "evaluated 0.0 % of 655 windows");
  EXPECT_EQ(progress_text({0.02, 655, std::nullopt, false}, 700.0), "evaluated 2.0 % of 655 windows, 11 min 40 s left");
  EXPECT_EQ(progress_text({0.1838, 655, 4.706, false}, 100.0),
            "evaluated 18.3 % of 655 windows, perplexity 4.71 so far, 1 min 40 s left");
  EXPECT_EQ(progress_text({0.99999, 2, 1e300, true}, 0.0),
            "evaluated 99.9 % of 2 windows, perplexity 1e+300 so far, 0 s left");
  EXPECT_EQ(progress_text({1.0, 2, std::nan(""), true}, 0.0),
            "evaluated 100.0 % of 2 windows, perplexity nan so far, 0 s left");
}

}  // namespace
}  // namespace hartonomous
