// What every tensor gets: mixtures against the files that llama_model_quantize() of llama.cpp v0.5.0 wrote of models
// with these tensors and keys (golden/mixtures.txt), with and without importance; fallbacks, spared names, telling
// mixtures apart.
#include "hartonomous/quantization.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "hartonomous/error.hpp"
#include "hartonomous/tensor_name.hpp"

namespace hartonomous {
namespace {

// A line of golden/mixture_models.txt, which says what its words are.
struct model {
  mixture_traits traits;
  std::uint64_t columns = 256;
  std::vector<std::string> names;
  std::vector<std::uint64_t> matrices;  // of each

  bool quantizes(std::size_t i) const { return matrices[i] != 0 && may_quantize(names[i], traits.gguf); }

  std::vector<format> formats(const quantization_mixture& mixture, bool by_importance) const {
    std::vector<quantized_tensor> tensors;
    for (std::size_t i = 0; i < names.size(); ++i) tensors.push_back({names[i], quantizes(i), matrices[i], columns});
    std::vector<format> given = mixture_planner(traits, tensors).formats(mixture, by_importance);
    for (format& f : given) f = fitting_format_or_carried(f, columns);
    return given;
  }

  std::optional<std::string> main_format(const std::vector<format>& given, const quantization_mixture* asked) const {
    std::vector<stored_tensor_outline> tensors;
    for (std::size_t i = 0; i < names.size(); ++i) {
      tensors.push_back({names[i], matrices[i], quantizes(i) ? given[i] : format::F32, 512, columns});
    }
    return hartonomous::main_format(traits, tensors, asked);
  }
};

// Numbers as ranges: 0-2,5. All up to `count` if there are none.
std::vector<std::int64_t> numbers_of(const std::string& text, std::int64_t count) {
  std::vector<std::int64_t> numbers;
  std::istringstream parts(text.empty() ? "0-" + std::to_string(count - 1) : text);
  for (std::string part; std::getline(parts, part, ',');) {
    const std::size_t dash = part.find('-');
    const std::int64_t last = std::stoll(dash == std::string::npos ? part : part.substr(dash + 1));
    for (std::int64_t i = std::stoll(part); i <= last; ++i) numbers.push_back(i);
  }
  return numbers;
}

void add_tensor(model& m, std::string word) {
  std::uint64_t matrices = 1;
  if (word.back() == '-') {
    matrices = 0;
    word.pop_back();
  } else if (const std::size_t star = word.find('*'); star != std::string::npos) {
    matrices = std::stoull(word.substr(star + 1));
    word.erase(star);
  }
  const std::size_t slash = word.find('/');
  std::vector<std::string> prefixes = {""};
  if (slash != std::string::npos) {
    prefixes.clear();
    const std::size_t at = word.find('@');
    const std::string blocks = at == std::string::npos ? "" : word.substr(at + 1, slash - at - 1);
    // Not in the order of the blocks, which must not matter.
    for (const std::int64_t block : numbers_of(blocks, m.traits.blocks)) {
      prefixes.insert(prefixes.begin(), "blk." + std::to_string(block) + ".");
    }
    word.erase(0, slash + 1);
  }
  for (const std::string& prefix : prefixes) {
    m.names.push_back(prefix + word + ".weight");
    m.matrices.push_back(matrices);
  }
}

std::map<std::string, model> read_models() {
  std::map<std::string, model> models;
  std::ifstream file(std::string(HARTONOMOUS_TEST_DIR) + "/golden/mixture_models.txt");
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string name, architecture;
    std::int64_t blocks = 0, experts = 0, heads = 0, kv_heads = 0;
    model m;
    words >> name >> architecture >> blocks >> experts >> heads >> kv_heads >> m.columns;
    m.traits = mixture_traits_of(true, architecture, blocks, experts, heads, kv_heads);
    for (std::string word; words >> word;) add_tensor(m, word);
    models.emplace(name, m);
  }
  return models;
}

const std::map<std::string, model>& models() {
  static const auto* const all = new std::map<std::string, model>(read_models());
  return *all;
}

// Numbers in order, as ranges: 0-2,5
std::string ranges(const std::vector<std::int64_t>& numbers) {
  std::string out;
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t end = i + 1;
    while (end < numbers.size() && numbers[end] == numbers[end - 1] + 1) ++end;
    out += (out.empty() ? "" : ",") + std::to_string(numbers[i]);
    if (end - i > 1) out += "-" + std::to_string(numbers[end - 1]);
    i = end;
  }
  return out;
}

// "tensor:format:blocks" of all that does not have the base format.
std::string described(const model& m, const quantization_mixture& mixture, const std::vector<format>& given) {
  std::map<std::pair<std::string, std::string>, std::vector<std::int64_t>> kinds;
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (given[i] == mixture.base || !m.quantizes(i)) continue;
    const std::int64_t block = parse_tensor_name(m.names[i]).block;
    std::string stem = m.names[i].substr(0, m.names[i].size() - std::string(".weight").size());
    if (block >= 0) stem.erase(0, ("blk." + std::to_string(block) + ".").size());
    kinds[{stem, traits_of(given[i]).name}].push_back(block);
  }
  std::string out;
  for (auto& [kind, blocks] : kinds) {
    std::sort(blocks.begin(), blocks.end());
    out += (out.empty() ? "" : " ") + kind.first + ":" + kind.second;
    if (blocks.front() >= 0) out += ":" + ranges(blocks);
  }
  return out;
}

TEST(Quantization, MixturesAreThoseOfLlamaQuantize) {
  std::ifstream file(std::string(HARTONOMOUS_TEST_DIR) + "/golden/mixtures.txt");
  std::string line;
  int checked = 0;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string name, type, importance, expected;
    words >> name >> type >> importance;
    std::getline(words >> std::ws, expected);
    if (expected == "refused") continue;  // there is no fallback for Q1_0
    const quantization_mixture* mixture = find_mixture(type);
    ASSERT_NE(mixture, nullptr) << line;
    const model& m = models().at(name);
    EXPECT_EQ(described(m, *mixture, m.formats(*mixture, importance == "importance")), expected) << line;
    ++checked;
  }
  EXPECT_EQ(checked, 1106);
}

TEST(Quantization, MixturesThatAreNoneGiveOneFormat) {
  for (const char* name : {"F32", "F16", "BF16"}) {
    const quantization_mixture* mixture = find_mixture(name);
    EXPECT_EQ(described(models().at("dense"), *mixture, models().at("dense").formats(*mixture, false)), "") << name;
  }
}

TEST(Quantization, NamesOfMixtures) {
  EXPECT_EQ(find_mixture("q4_k"), find_mixture("Q4_K_M"));
  EXPECT_EQ(find_mixture("Q3_k")->type, file_type::Q3_K_M);
  EXPECT_EQ(find_mixture("Q5_K")->type, file_type::Q5_K_M);
  EXPECT_EQ(find_mixture("Q2_K")->type, file_type::Q2_K);
  EXPECT_EQ(find_mixture(file_type::IQ4_XS)->base, format::IQ4_XS);
  for (const char* name : {"", "Q6_K_M", "IQ3", "NVFP4", "Q4_K_", "Q4_K_MM"})
    EXPECT_EQ(find_mixture(name), nullptr) << name;
  EXPECT_EQ(find_mixture("iq3_xs")->base, format::IQ3_S);
  EXPECT_EQ(find_mixture("MXFP4_MOE")->base, format::MXFP4);
  for (const quantization_mixture& mixture : quantization_mixtures()) {
    EXPECT_EQ(find_mixture(mixture.name), &mixture) << mixture.name;
  }
}

TEST(Quantization, UsesMoreBitsInTheFirstAndLastEighthAndEveryThirdBetween) {
  const auto chosen = [](std::int64_t n) {
    std::vector<std::int64_t> all;
    for (std::int64_t i = 0; i < n; ++i) {
      if (uses_more_bits(i, n)) all.push_back(i);
    }
    return all;
  };
  EXPECT_EQ(chosen(8), (std::vector<std::int64_t>{0, 3, 6, 7}));
  EXPECT_EQ(chosen(12), (std::vector<std::int64_t>{0, 3, 6, 9, 10, 11}));
  EXPECT_EQ(chosen(22), (std::vector<std::int64_t>{0, 1, 4, 7, 10, 13, 16, 19, 20, 21}));
  EXPECT_TRUE(chosen(0).empty());
  EXPECT_TRUE(uses_more_bits(5, INT32_MAX));
}

TEST(Quantization, TraitsOfModels) {
  EXPECT_TRUE(mixture_traits_of(true, "llama", 80, 0, 64, 8).seventy_billion);
  EXPECT_FALSE(mixture_traits_of(true, "llama", 80, 0, 64, 64).seventy_billion);
  EXPECT_FALSE(mixture_traits_of(true, "llama", 80, 0, 0, 8).seventy_billion);
  EXPECT_TRUE(mixture_traits_of(true, "qwen2", 80, 0, 0, 0).seventy_billion);
  EXPECT_TRUE(mixture_traits_of(true, "jais2", 68, 0, 0, 0).seventy_billion);
  EXPECT_FALSE(mixture_traits_of(true, "qwen3", 80, 0, 64, 8).seventy_billion);
  EXPECT_TRUE(mixture_traits_of(true, "falcon", 32, 0, 4, 1).falcon);
  EXPECT_EQ(mixture_traits_of(true, "llama", 1, 0, 9, 2).heads_per_kv, 4);
  EXPECT_EQ(mixture_traits_of(true, "", 1, 0, 9, 0).heads_per_kv, 0);
  EXPECT_EQ(mixture_traits_of(true, "", INT64_MAX, 0, 0, 0).blocks, INT32_MAX);
  EXPECT_EQ(mixture_traits_of(true, "", INT64_MIN, 0, 0, 0).blocks, 0);
}

// A checkpoint's names get what they would as GGUF; experts go by their block, whatever the config says of them.
TEST(Quantization, NamesOfHuggingFaceAreTheSameToMixtures) {
  const std::map<std::string, std::string> checkpoint_names = {
      {"token_embd", "model.embed_tokens"}, {"output", "lm_head"},          {"attn_q", "self_attn.q_proj"},
      {"attn_k", "self_attn.k_proj"},       {"attn_v", "self_attn.v_proj"}, {"attn_output", "self_attn.o_proj"},
      {"ffn_gate", "mlp.gate_proj"},        {"ffn_up", "mlp.up_proj"},      {"ffn_down", "mlp.down_proj"}};
  const model& dense = models().at("dense");
  model checkpoint = dense;
  checkpoint.traits.gguf = false;
  for (std::string& name : checkpoint.names) {
    const std::int64_t block = parse_tensor_name(name).block;
    const std::string prefix = block < 0 ? "" : "blk." + std::to_string(block) + ".";
    const std::string stem = name.substr(prefix.size(), name.size() - prefix.size() - std::string(".weight").size());
    const std::string to = block < 0 ? "" : "model.layers." + std::to_string(block) + ".";
    name = to + checkpoint_names.at(stem) + ".weight";
  }
  for (const quantization_mixture& mixture : quantization_mixtures()) {
    EXPECT_EQ(checkpoint.formats(mixture, false), dense.formats(mixture, false)) << mixture.name;
  }
  std::vector<std::string> names;
  for (int block = 0; block < 8; ++block) {
    for (int expert = 0; expert < 4; ++expert) {
      names.push_back("model.layers." + std::to_string(block) + ".mlp.experts." + std::to_string(expert) +
                      ".down_proj.weight");
    }
  }
  std::vector<quantized_tensor> tensors(names.size());
  std::transform(names.begin(), names.end(), tensors.begin(), [](const std::string& n) {
    return quantized_tensor{n, true, 1, 256};
  });
  const mixture_planner planner(mixture_traits_of(false, "", 8, 0, 0, 0), tensors);
  const std::vector<format> given = planner.formats(*find_mixture("Q4_K_M"), false);
  for (std::size_t i = 0; i < given.size(); ++i) {
    EXPECT_EQ(given[i], uses_more_bits(static_cast<std::int64_t>(i / 4), 8) ? format::Q6_K : format::Q4_K) << names[i];
  }
}

// Sorted by name where a name does not begin with blk: dec.blk.10 comes before dec.blk.2.
TEST(Quantization, BlocksOfADecoderAreCountedAsLlamaCppSortsThem) {
  std::vector<std::string> names;
  for (int block = 0; block < 11; ++block) names.push_back("dec.blk." + std::to_string(block) + ".attn_v.weight");
  std::vector<quantized_tensor> tensors;
  for (const std::string& name : names) tensors.push_back({name, true, 1, 256});
  const mixture_planner planner(mixture_traits_of(true, "t5", 11, 0, 0, 0), tensors);
  const std::vector<format> given = planner.formats(*find_mixture("Q3_K_M"), false);
  EXPECT_EQ(given[0], format::Q5_K);
  EXPECT_EQ(given[1], format::Q5_K);
  EXPECT_EQ(given[2], format::Q4_K);
  const std::vector<format> small = planner.formats(*find_mixture("Q4_K_S"), false);
  EXPECT_EQ(small[10], format::Q5_K);
  EXPECT_EQ(small[2], format::Q5_K);
  EXPECT_EQ(small[3], format::Q4_K);
}

TEST(Quantization, Fallbacks) {
  struct row {
    format wanted;
    std::uint64_t run;
    format expected;
  };
  constexpr row rows[] = {
      {format::Q4_K, 256, format::Q4_K},    {format::Q4_K, 512, format::Q4_K},  {format::Q4_K, 64, format::Q5_0},
      {format::Q4_K, 172, format::F16},     {format::Q4_K, 9, format::F16},     {format::Q5_K, 64, format::Q5_1},
      {format::Q5_K, 100, format::F16},     {format::Q6_K, 64, format::Q8_0},   {format::Q6_K, 9, format::F16},
      {format::Q2_K, 64, format::Q4_0},     {format::Q3_K, 96, format::Q4_0},   {format::Q3_K, 172, format::F16},
      {format::Q8_0, 64, format::Q8_0},     {format::Q8_0, 172, format::F16},   {format::Q4_0, 9, format::F16},
      {format::IQ4_NL, 9, format::F16},     {format::F16, 9, format::F16},      {format::BF16, 9, format::BF16},
      {format::F32, 9, format::F32},        {format::Q4_K, 0, format::Q4_K},    {format::IQ4_XS, 512, format::IQ4_XS},
      {format::IQ4_XS, 64, format::IQ4_NL}, {format::IQ4_XS, 172, format::F16}, {format::TQ1_0, 64, format::Q4_0},
      {format::Q2_0, 32, format::Q4_0},     {format::MXFP4, 9, format::F16},    {format::Q1_0, 64, format::F16},
  };
  for (const row& r : rows) EXPECT_EQ(fitting_format(r.wanted, r.run), r.expected) << traits_of(r.wanted).name << r.run;
  try {
    fitting_format(format::Q8_1, 256);
    FAIL();
  } catch (const error& e) {
    EXPECT_STREQ(e.state(), "0A000");
    EXPECT_STREQ(e.what(), "format Q8_1 cannot be written");
  }
}

TEST(Quantization, TwoBitsRequireImportance) {
  const quantization_mixture &small = *find_mixture("Q2_K_S"), &usual = *find_mixture("Q2_K");
  for (const char* name : {"blk.0.attn_q.weight", "model.layers.0.mlp.up_proj.weight", "something.weight"}) {
    EXPECT_TRUE(requires_importance(small, name, format::Q2_K)) << name;
    EXPECT_FALSE(requires_importance(small, name, format::Q4_K)) << name;
    EXPECT_FALSE(requires_importance(usual, name, format::Q2_K)) << name;
    for (const format f :
         {format::IQ3_XXS, format::IQ2_XXS, format::IQ2_XS, format::IQ2_S, format::IQ1_S, format::IQ1_M}) {
      EXPECT_TRUE(requires_importance(usual, name, f)) << name << traits_of(f).name;
    }
    EXPECT_FALSE(requires_importance(usual, name, format::IQ3_S)) << name;
  }
  for (const char* name : {"output.weight", "token_embd.weight", "per_layer_token_embd.weight", "lm_head.weight"}) {
    EXPECT_FALSE(requires_importance(small, name, format::Q2_K)) << name;
    EXPECT_FALSE(requires_importance(usual, name, format::IQ1_S)) << name;
  }
}

// What llama-quantize itself did with matrices of these names.
TEST(Quantization, NamesThatAreQuantized) {
  for (const char* name : {"blk.0.attn_q.weight",
                           "blk.0.time_mix_key.weight",
                           "blk.0.time_mix_value.weight",
                           "blk.0.time_mix_receptance.weight",
                           "blk.0.time_mix_output.weight",
                           "blk.0.time_mix_gate.weight",
                           "blk.0.time_mix_r_k.weight",
                           "blk.0.channel_mix_key.weight",
                           "blk.0.shortconv.in_proj.weight",
                           "blk.0.shortconv.out_proj.weight",
                           "blk.0.per_layer_proj.weight",
                           "blk.0.inp_gate.weight",
                           "per_layer_token_embd.weight",
                           "blk.0.ffn_gate_inp_shexp.weight",
                           "blk.0.ssm_x.weight",
                           "blk.0.indexer.proj.weight",
                           "blk.0.attn_norm_2x.weight",
                           "blk.0.ffn_norm.0.weight",
                           "blk.0.attn_rel_b_enc.weight",
                           "output_norm_x.weight",
                           "xposition_embd.weight",
                           "v.blk.0.attn_rel_pos.weight",
                           "a.blk.0.ffn_down.weight",
                           "mm.0.weight",
                           "cls.weight"}) {
    EXPECT_TRUE(may_quantize(name, true)) << name;
  }
}

TEST(Quantization, NamesThatAreSpared) {
  for (const char* name : {"blk.0.attn_q.bias",
                           "a.weights",
                           "output_norm.weight",
                           "blk.0.attn_q_a_norm.weight",
                           "blk.0.ffn_gate_inp.weight",
                           "blk.0.ffn_gate_tid2eid.weight",
                           "position_embd.weight",
                           "v.position_embd.weight",
                           "v.position_embd.x.weight",
                           "token_types.weight",
                           "blk.0.attn_rel_b.weight",
                           "blk.0.time_mix_first.weight",
                           "blk.0.time_mix_w0.weight",
                           "blk.0.time_mix_w1.weight",
                           "blk.0.time_mix_w2.weight",
                           "blk.0.time_mix_v0.weight",
                           "blk.0.time_mix_v1.weight",
                           "blk.0.time_mix_v2.weight",
                           "blk.0.time_mix_a0.weight",
                           "blk.0.time_mix_a1.weight",
                           "blk.0.time_mix_a2.weight",
                           "blk.0.time_mix_g1.weight",
                           "blk.0.time_mix_g2.weight",
                           "blk.0.time_mix_decay_w1.weight",
                           "blk.0.time_mix_decay_w2.weight",
                           "blk.0.time_mix_lerp_fused.weight",
                           "blk.0.shortconv.conv.weight",
                           "blk.0.altup_router.weight",
                           "altup_proj.weight",
                           "altup_unembd_proj.weight",
                           "blk.0.laurel_l.weight",
                           "blk.0.laurel_r.weight",
                           "per_layer_model_proj.weight",
                           "blk.0.ssm_conv1d.weight",
                           "blk.0.ssm_conv1d_q.weight",
                           "blk.0.indexer.k_proj.weight",
                           "blk.0.indexer.q_proj.weight",
                           "v.patch_embd.weight",
                           "v.patch_merger.x.weight",
                           "v.rel_pos.weight",
                           "v.rel_pos_h.weight",
                           "sam.pos_embd.weight",
                           "sam.neck.0.weight",
                           "sam.net_2.weight",
                           "a.rvq.codebook.weight",
                           "mm.a.code_embd.weight"}) {
    EXPECT_FALSE(may_quantize(name, true)) << name;
  }
}

TEST(Quantization, NamesOfOtherFilesAreSparedByRole) {
  for (const char* name : {"conv1.weight", "x", "model.layers.0.mlp.gate_proj.weight", "position_embd.x.weight"}) {
    EXPECT_TRUE(may_quantize(name, false)) << name;
  }
  for (const char* name : {"conv1.bias", "model.layers.0.mlp.gate.weight", "transformer.wpe.weight",
                           "model.layers.0.post_attention_layernorm.weight"}) {
    EXPECT_FALSE(may_quantize(name, false)) << name;
  }
}

TEST(Quantization, EveryMixtureIsToldByItsTensors) {
  model twelve;
  twelve.traits = mixture_traits_of(true, "llama", 12, 0, 0, 0);
  for (const char* word : {"token_embd", "output", "blk/attn_q", "blk/attn_k", "blk/attn_v", "blk/attn_output",
                           "blk/ffn_gate_exps*4", "blk/ffn_up_exps*4", "blk/ffn_down_exps*4"}) {
    add_tensor(twelve, word);
  }
  for (const quantization_mixture& mixture : quantization_mixtures()) {
    EXPECT_EQ(twelve.main_format(twelve.formats(mixture, false), nullptr), mixture.name);
    for (const auto& [name, m] : models()) {
      EXPECT_EQ(m.main_format(m.formats(mixture, false), &mixture), mixture.name) << name;
    }
  }
}

TEST(Quantization, MainFormatOfOneFormatAndOfNone) {
  const model& m = models().at("dense");
  EXPECT_EQ(m.main_format(std::vector<format>(m.names.size(), format::Q5_1), nullptr), "Q5_1");
  EXPECT_EQ(m.main_format(std::vector<format>(m.names.size(), format::Q4_K), find_mixture("Q6_K")), "Q4_K");
  EXPECT_EQ(main_format({}, {}, nullptr), std::nullopt);
  const std::vector<stored_tensor_outline> vector = {{"x.weight", 0, format::F32, 6, 6}};
  EXPECT_EQ(main_format({}, vector, nullptr), std::nullopt);
}

}  // namespace
}  // namespace hartonomous
