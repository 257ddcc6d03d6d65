// The forward pass against the logits of tools/reference_forward.py, and against itself: threads, panels, batches and
// caches change nothing.
#include "hartonomous/network.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>

#include "gguf_tensors.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/simd.hpp"

namespace hartonomous {
namespace {

using network_test::gguf_tensors;

const std::string golden = std::string(HARTONOMOUS_TEST_DIR) + "/golden/";
const std::string example = std::string(HARTONOMOUS_TEST_DIR) + "/../../examples/tiny-stories.gguf";
const std::vector<token_id> random_tokens = {1, 17, 4, 30, 4, 9, 0, 31, 22, 5, 5, 13};
// "Once upon a time, there lived a shy girl called Kira."
const std::vector<token_id> story_tokens = {1,   423, 345, 449, 277, 260, 595, 711, 404, 657, 260,
                                            356, 765, 446, 411, 520, 767, 725, 318, 741, 712};

constexpr std::uint64_t large_panel = 64 << 20;

std::vector<float> floats_of(const std::string& name) {
  std::ifstream file(golden + name, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  EXPECT_FALSE(bytes.empty()) << name;
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

struct setting {
  unsigned threads = 1;
  std::uint64_t panel_bytes = large_panel;
  std::size_t logit_panel = SIZE_MAX;
};

// Logits of the last `last` tokens.
std::vector<float> logits_of(transformer& network, const std::vector<float>& states, std::size_t last,
                             std::size_t panel = SIZE_MAX) {
  std::vector<std::size_t> rows(last);
  std::iota(rows.begin(), rows.end(), states.size() / network.config().width - last);
  const std::vector<float> normed = network.normed(states, rows);
  std::vector<float> out(last * network.vocabulary());
  logit_reader reader(network, normed.data(), last, panel);
  while (reader.next()) {
    for (std::size_t i = 0; i < last; ++i) {
      std::copy_n(reader.logits(i), reader.count(), out.begin() + i * network.vocabulary() + reader.first());
    }
  }
  return out;
}

std::vector<float> logits_of(gguf_tensors& tensors, const std::vector<token_id>& tokens, std::size_t last,
                             const setting& s = {}) {
  no_interrupts none;
  transformer network(read_hyperparameters(tensors.metadata()), tensors, s.threads, s.panel_bytes, none);
  const token_sequence sequence = {tokens};
  return logits_of(network, network.run({&sequence, 1}), last, s.logit_panel);
}

// Largest distance, relative to the largest number.
double distance(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0.0, size = 0.0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    worst = std::max(worst, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    size = std::max(size, std::fabs(static_cast<double>(b[i])));
  }
  return worst / size;
}

// The state with which a call fails.
template <class F>
std::string state_of(F&& f) {
  try {
    f();
  } catch (const error& e) {
    return e.state();
  }
  return "00000";
}

class Reference : public testing::TestWithParam<const char*> {};

TEST_P(Reference, AgreesOnEveryInstructionSet) {
  const std::string name = GetParam();
  const std::vector<float> expected = floats_of(name + ".logits.f32");
  const bool story = name == "tiny-stories";
  gguf_tensors tensors(story ? example : golden + name + ".gguf");
  const std::vector<token_id>& tokens = story ? story_tokens : random_tokens;
  for (std::int64_t target : simd_targets()) {
    const forced_simd_target forced(target);
    EXPECT_LE(distance(logits_of(tensors, tokens, story ? 3 : tokens.size()), expected), 1e-4)
        << simd_target_name(target);
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, Reference,
                         testing::Values("tiny-stories", "random-llama", "random-qwen2", "random-qwen3",
                                         "random-qwen3moe"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(Network, ThreadsChangeNoBit) {
  gguf_tensors tensors(example);
  EXPECT_EQ(logits_of(tensors, story_tokens, 21, {1, 1 << 16, 100}),
            logits_of(tensors, story_tokens, 21, {3, 1 << 16, 100}));
}

TEST(Network, PanelsOfAnySizeGiveTheSame) {
  gguf_tensors tensors(example);
  const std::vector<float> whole = logits_of(tensors, story_tokens, 2);
  EXPECT_LE(distance(logits_of(tensors, story_tokens, 2, {1, 1, 1}), whole), 1e-5);
  EXPECT_LE(distance(logits_of(tensors, story_tokens, 2, {1, 3000, 97}), whole), 1e-5);
}

TEST(Network, SequencesDoNotSeeEachOther) {
  gguf_tensors tensors(example);
  no_interrupts none;
  transformer network(read_hyperparameters(tensors.metadata()), tensors, 1, large_panel, none);
  // Longer than an attention tile, so that there are several.
  std::vector<token_id> long_one;
  for (int i = 0; i < 150; ++i) long_one.push_back(story_tokens[static_cast<std::size_t>(i * i % 21)]);
  const token_sequence both[] = {{long_one}, {{}}, {story_tokens}};
  const std::vector<float> together = network.run({both, 3});
  ASSERT_EQ(together.size(), (150 + 21) * network.config().width);
  std::vector<float> apart = network.run({both, 1});
  const std::vector<float> second = network.run({both + 2, 1});
  apart.insert(apart.end(), second.begin(), second.end());
  EXPECT_LE(distance(together, apart), 1e-5);
}

TEST(Network, WithACacheTokensMayComeOneByOne) {
  for (const char* name : {"random-llama", "random-qwen2", "random-qwen3", "random-qwen3moe"}) {
    gguf_tensors tensors(golden + name + ".gguf");
    no_interrupts none;
    transformer network(read_hyperparameters(tensors.metadata()), tensors, 1, large_panel, none);
    const std::vector<float> expected = floats_of(std::string(name) + ".logits.f32");
    kv_cache cache(network.config(), 12);
    std::vector<float> logits;
    for (std::size_t part : {5, 1, 1, 3, 1, 1}) {
      const token_sequence sequence = {{random_tokens.data() + cache.length(), part}, &cache};
      const std::vector<float> of_part = logits_of(network, network.run({&sequence, 1}), part);
      logits.insert(logits.end(), of_part.begin(), of_part.end());
    }
    EXPECT_EQ(cache.length(), 12u);
    EXPECT_LE(distance(logits, expected), 1e-4) << name;
    const token_sequence more = {{random_tokens.data(), 1}, &cache};
    EXPECT_EQ(state_of([&] { network.run({&more, 1}); }), "22023") << "beyond the capacity";
  }
}

TEST(Network, ReadsEachTensorOnceAPass) {
  gguf_tensors tensors(example);
  no_interrupts none;
  transformer network(read_hyperparameters(tensors.metadata()), tensors, 1, 4096, none);
  tensors.times_opened().clear();
  const token_sequence sequences[] = {{story_tokens}, {story_tokens}};
  logits_of(network, network.run({sequences, 2}), 30, 10);
  for (const std::string& name : tensors.names()) EXPECT_EQ(tensors.times_opened()[name], 1) << name;
}

// Of a tensor that holds all experts of a block only the rows of those that a token is given to.
TEST(Network, ReadsOnlyTheExpertsThatAreUsed) {
  gguf_tensors tensors(golden + "random-qwen3moe.gguf");
  no_interrupts none;
  transformer network(read_hyperparameters(tensors.metadata()), tensors, 1, large_panel, none);
  const std::vector<float> expected = logits_of(tensors, {random_tokens.front()}, 1);
  tensors.times_opened().clear();
  const token_sequence one = {{random_tokens.data(), 1}};
  network.run({&one, 1});
  EXPECT_EQ(tensors.times_opened()["blk.0.ffn_up_exps.weight"], 2);
  // The others may be anything.
  const std::size_t rows = network.config().expert_feed_forward, width = network.config().width;
  std::vector<float>& values = tensors.matrices()["blk.0.ffn_up_exps.weight"].values;
  int matter = 0;
  for (std::uint32_t expert = 0; expert < network.config().experts; ++expert) {
    std::vector<float> kept(values.begin() + expert * rows * width, values.begin() + (expert + 1) * rows * width);
    std::fill_n(values.begin() + expert * rows * width, rows * width, std::nanf(""));
    matter += logits_of(tensors, {random_tokens.front()}, 1) != expected ? 1 : 0;
    std::copy(kept.begin(), kept.end(), values.begin() + expert * rows * width);
  }
  EXPECT_EQ(matter, 2);
}

TEST(Network, WithoutWeightsEveryTokenIsAsLikely) {
  for (const char* name : {"random-qwen3", "random-qwen3moe"}) {
    gguf_tensors tensors(golden + name + ".gguf");
    for (auto& [tensor, m] : tensors.matrices()) std::fill(m.values.begin(), m.values.end(), 0.0f);
    for (float logit : logits_of(tensors, random_tokens, 12)) EXPECT_EQ(logit, 0.0f);
  }
}

TEST(Network, NaNStaysNaN) {
  gguf_tensors tensors(golden + "random-llama.gguf");
  tensors.matrices()["blk.1.ffn_up.weight"].values[3] = std::nanf("");
  for (float logit : logits_of(tensors, random_tokens, 12)) EXPECT_TRUE(std::isnan(logit));
  gguf_tensors routed(golden + "random-qwen3moe.gguf");
  routed.matrices()["blk.1.ffn_gate_inp.weight"].values[3] = std::nanf("");
  for (float logit : logits_of(routed, random_tokens, 12)) EXPECT_TRUE(std::isnan(logit));
}

TEST(Network, NoTokensNoStates) {
  gguf_tensors tensors(golden + "random-llama.gguf");
  no_interrupts none;
  transformer network(read_hyperparameters(tensors.metadata()), tensors, 1, large_panel, none);
  EXPECT_TRUE(network.run({}).empty());
}

TEST(Network, TokensMustBeTheModels) {
  gguf_tensors tensors(golden + "random-llama.gguf");
  EXPECT_EQ(state_of([&] { logits_of(tensors, {31}, 1); }), "00000");
  EXPECT_EQ(state_of([&] { logits_of(tensors, {32}, 1); }), "22023");
  EXPECT_EQ(state_of([&] { logits_of(tensors, {-1}, 1); }), "22023");
  EXPECT_EQ(state_of([&] { logits_of(tensors, std::vector<token_id>(64, 1), 1); }), "00000");
  EXPECT_EQ(state_of([&] { logits_of(tensors, std::vector<token_id>(65, 1), 1); }), "22023");
}

TEST(Network, TensorsMustBeTheArchitectures) {
  const auto after = [](const std::function<void(gguf_tensors&)>& change) {
    gguf_tensors tensors(golden + "random-qwen3.gguf");
    change(tensors);
    return state_of([&] { logits_of(tensors, random_tokens, 1); });
  };
  EXPECT_EQ(after([](gguf_tensors&) {}), "00000");
  for (const char* name : {"token_embd.weight", "output_norm.weight", "blk.0.attn_norm.weight", "blk.1.attn_q.weight",
                           "blk.1.ffn_down.weight", "blk.0.attn_k_norm.weight"}) {
    EXPECT_EQ(after([&](gguf_tensors& t) { t.matrices().erase(name); }), "55000") << name;
    EXPECT_EQ(after([&](gguf_tensors& t) { ++t.matrices()[name].shape.columns; }), "55000") << name;
    EXPECT_EQ(after([&](gguf_tensors& t) { t.matrices()["more"] = t.matrices()[name]; }), "0A000") << name;
  }
  EXPECT_EQ(after([](gguf_tensors& t) { t.matrices().erase("output.weight"); }), "00000") << "tied";
  const auto without_vocabulary = [](gguf_tensors& t) {
    t.matrices().erase("output.weight");
    t.matrices()["token_embd.weight"].shape.rows = 0;
  };
  EXPECT_EQ(after(without_vocabulary), "55000");
}

TEST(Network, ChecksForInterruptsAndUnwinds) {
  struct counter final : interrupt_checker {
    int checks = 0, last = -1;
    void check() override {
      if (++checks == last) throw error("57014", "canceled");
    }
  } interrupts;
  gguf_tensors tensors(golden + "random-llama.gguf");
  transformer network(read_hyperparameters(tensors.metadata()), tensors, 1, large_panel, interrupts);
  const token_sequence sequence = {random_tokens};
  network.run({&sequence, 1});
  const int checks = interrupts.checks;
  ASSERT_GT(checks, 10);
  for (int last = checks + 1; last <= 2 * checks; ++last) {
    interrupts.checks = checks;
    interrupts.last = last;
    EXPECT_EQ(state_of([&] { network.run({&sequence, 1}); }), "57014") << last;
  }
}

// ---- hyperparameters -------------------------------------------------------------------------------------------

gguf_metadata metadata_with(const std::string& replaced, const std::string& type, const std::string& value) {
  std::string kv;
  const auto add = [&](const std::string& key, const std::string& t, const std::string& v) {
    const bool change = key == replaced;
    if (change && type.empty()) return;
    const std::string& element = change ? type : t;
    kv += (kv.empty() ? "" : ",") + std::string("{\"key\":\"") + key + "\",";
    kv += element == "array" ? "\"type\":\"array\",\"element\":\"u32\"" : "\"type\":\"" + element + "\"";
    kv += ",\"value\":" + (change ? value : v) + "}";
  };
  add("general.architecture", "string", "\"llama\"");
  for (const char* key : {"llama.block_count", "llama.context_length", "llama.embedding_length",
                          "llama.feed_forward_length", "llama.attention.head_count", "llama.attention.head_count_kv"}) {
    add(key, "u32", key == std::string("llama.embedding_length") ? "32" : "8");
  }
  add("llama.attention.layer_norm_rms_epsilon", "f32", "0.5");
  const bool known = kv.find("\"" + replaced + "\"") != std::string::npos;
  if (!known && !type.empty()) add(replaced, type, value);
  gguf_metadata metadata;
  metadata_from_json("{\"format\":\"gguf\",\"version\":3,\"alignment\":32,\"kv\":[" + kv + "]}", metadata);
  return metadata;
}

std::string config_state(const std::string& key, const std::string& type, const std::string& value) {
  return state_of([&] { read_hyperparameters(metadata_with(key, type, value)); });
}

TEST(Hyperparameters, DefaultsAndKeys) {
  const hyperparameters c = read_hyperparameters(metadata_with("llama.attention.head_count", "u32", "16"));
  EXPECT_EQ(c.heads, 16u);
  EXPECT_EQ(c.head_size, 2u);
  EXPECT_EQ(c.epsilon, 0.5f);
  EXPECT_EQ(c.rope.pairs, rope_pairs::adjacent);
  EXPECT_EQ(c.rope.base, 10000.0);
  EXPECT_EQ(c.rope.factor, 1.0);
  EXPECT_EQ(read_hyperparameters(metadata_with("llama.attention.head_count_kv", "array", "[2,2,2]")).kv_heads, 2u);
  EXPECT_EQ(read_hyperparameters(metadata_with("llama.attention.head_count_kv", "", "")).kv_heads, 8u);
  EXPECT_EQ(read_hyperparameters(metadata_with("llama.rope.scaling.factor", "f32", "4")).rope.factor, 4.0);
  EXPECT_EQ(read_hyperparameters(metadata_with("llama.rope.scale_linear", "f32", "2")).rope.factor, 2.0);
}

TEST(Hyperparameters, WhatIsNotKnownIsRefused) {
  EXPECT_EQ(config_state("general.architecture", "string", "\"bert\""), "0A000");
  EXPECT_EQ(config_state("general.architecture", "", ""), "0A000");
  EXPECT_EQ(config_state("llama.expert_count", "u32", "8"), "55000") << "how many are used is missing";
  EXPECT_EQ(config_state("llama.expert_count", "u32", "0"), "00000");
  EXPECT_EQ(config_state("llama.attention.sliding_window", "u32", "4"), "0A000");
  EXPECT_EQ(config_state("llama.attention.sliding_window", "u32", "8"), "00000") << "no less than the context";
  EXPECT_EQ(config_state("llama.rope.scaling.type", "string", "\"ntk\""), "0A000");
  EXPECT_EQ(config_state("llama.attention.head_count_kv", "array", "[2,4]"), "0A000");
  EXPECT_EQ(config_state("llama.attention.value_length", "u32", "8"), "0A000");
}

TEST(Hyperparameters, Experts) {
  const auto changed = [](const char* key, std::uint32_t value) {
    gguf_metadata metadata = gguf_tensors(golden + "random-qwen3moe.gguf").metadata();
    metadata.set_uint32(std::string("qwen3moe.") + key, value);
    return state_of([&] { read_hyperparameters(metadata); });
  };
  EXPECT_EQ(changed("expert_used_count", 6), "00000");
  EXPECT_EQ(changed("expert_used_count", 7), "55000");
  EXPECT_EQ(changed("expert_used_count", 0), "55000");
  EXPECT_EQ(changed("expert_count", 0), "55000");
  EXPECT_EQ(changed("expert_feed_forward_length", 0), "55000");
  EXPECT_EQ(changed("expert_group_count", 1), "00000");
  EXPECT_EQ(changed("expert_group_count", 2), "0A000");
  gguf_metadata metadata = gguf_tensors(golden + "random-qwen3moe.gguf").metadata();
  metadata.set_float("qwen3moe.expert_weights_scale", 1.0F);
  EXPECT_EQ(state_of([&] { read_hyperparameters(metadata); }), "00000");
  metadata.set_float("qwen3moe.expert_weights_scale", 2.5F);
  EXPECT_EQ(state_of([&] { read_hyperparameters(metadata); }), "0A000");
  metadata.set_float("qwen3moe.expert_weights_scale", 0.0F);
  metadata.set_uint32("qwen3moe.expert_gating_func", 2);
  EXPECT_EQ(state_of([&] { read_hyperparameters(metadata); }), "0A000") << "sigmoids";
}

TEST(Hyperparameters, WhatMakesNoSenseIsRefused) {
  for (const char* key : {"llama.block_count", "llama.context_length", "llama.embedding_length",
                          "llama.attention.head_count", "llama.attention.layer_norm_rms_epsilon"}) {
    EXPECT_EQ(config_state(key, "", ""), "55000") << key;
  }
  EXPECT_EQ(config_state("llama.attention.head_count", "u32", "0"), "55000");
  EXPECT_EQ(config_state("llama.attention.head_count", "u32", "3000000000"), "55000");
  EXPECT_EQ(config_state("llama.attention.head_count_kv", "u32", "3"), "55000");
  EXPECT_EQ(config_state("llama.attention.head_count_kv", "array", "[]"), "55000");
  EXPECT_EQ(config_state("llama.attention.key_length", "u32", "3"), "55000") << "no pairs";
  EXPECT_EQ(config_state("llama.rope.dimension_count", "u32", "2"), "55000");
  EXPECT_EQ(config_state("llama.rope.freq_base", "f32", "1"), "55000");
  EXPECT_EQ(config_state("llama.rope.scaling.factor", "f32", "-1"), "55000");
  EXPECT_EQ(config_state("llama.block_count", "string", "\"many\""), "22P03");
}

}  // namespace
}  // namespace hartonomous
