// Hugging Face checkpoints as GGUF models: names, rows in GGUF's order, vectors as floats, metadata, and what is wrong.
#include "hartonomous/checkpoint.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>

#include "checkpoint_builder.hpp"
#include "gtest/gtest.h"
#include "hartonomous/error.hpp"
#include "hartonomous/gguf.hpp"
#include "hartonomous/tokenizer.hpp"

namespace hartonomous {
namespace {

using namespace checkpoint_test;
using strings = std::vector<std::string>;

// A checkpoint and the files it is read from.
struct opened {
  strings bytes;
  std::vector<std::unique_ptr<memory_source>> sources;
  readable_model model;

  opened(const std::vector<tensor>& tensors, const std::string& config, const std::string& tokenizer = "null")
      : opened(std::vector<std::vector<tensor>>{tensors}, config, tokenizer) {}
  opened(const std::vector<std::vector<tensor>>& files, const std::string& config,
         const std::string& tokenizer = "null") {
    std::vector<byte_source*> pointers;
    bytes.reserve(files.size());
    for (const auto& tensors : files) {
      bytes.push_back(file_of(tensors));
      sources.push_back(std::make_unique<memory_source>(bytes.back().data(), bytes.back().size()));
      pointers.push_back(sources.back().get());
    }
    no_interrupts interrupts;
    model = read_checkpoint(pointers, {config, tokenizer, "null", {}}, interrupts);
  }
  const model_tensor& find(const std::string& name) const {
    for (const model_tensor& t : model.file.tensors) {
      if (t.name == name) return t;
    }
    throw std::runtime_error("no tensor " + name);
  }
  std::string data_of(const std::string& name) {
    const model_tensor& t = find(name);
    std::string out(t.bytes, '\0');
    model.data->read(t.offset, out.data(), out.size());
    return out;
  }
  gguf_metadata metadata() const {
    gguf_metadata out;
    metadata_from_json(model.file.metadata_json, out);
    return out;
  }
};

std::string refusal(const std::vector<tensor>& tensors, const std::string& config, const std::string& tokenizer,
                    const char* state) {
  try {
    const opened made(tensors, config, tokenizer);
  } catch (const error& e) {
    EXPECT_STREQ(e.state(), state) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "the checkpoint was accepted";
  return {};
}

// Rows of `columns` numbers, in another order.
std::vector<float> rows_of(const std::vector<float>& values, std::size_t columns,
                           const std::vector<std::size_t>& order) {
  std::vector<float> out;
  for (std::size_t const row : order) {
    out.insert(out.end(), values.begin() + static_cast<std::ptrdiff_t>(row * columns),
               values.begin() + static_cast<std::ptrdiff_t>((row + 1) * columns));
  }
  return out;
}

TEST(Checkpoint, NamesAndShapes) {
  const opened made(tensors_of("F32"), config_of("LlamaForCausalLM"));
  strings names;
  std::uint64_t end = 0;
  for (const model_tensor& t : made.model.file.tensors) {
    names.push_back(t.name);
    EXPECT_EQ(t.offset, end);
    EXPECT_EQ(t.dtype, "F32");
    end += t.bytes;
  }
  EXPECT_EQ(names, (strings{"token_embd.weight", "blk.0.attn_norm.weight", "blk.0.attn_q.weight", "blk.0.attn_k.weight",
                            "blk.0.attn_v.weight", "blk.0.attn_output.weight", "blk.0.ffn_norm.weight",
                            "blk.0.ffn_gate.weight", "blk.0.ffn_up.weight", "blk.0.ffn_down.weight",
                            "output_norm.weight", "output.weight"}));
  EXPECT_EQ(made.model.data->size(), end);
  EXPECT_EQ(made.find("blk.0.ffn_down.weight").shape, (std::vector<std::uint64_t>{8, 6}));
  EXPECT_EQ(made.find("blk.0.ffn_down.weight").row_length, 6U);
  EXPECT_EQ(made.find("blk.0.ffn_down.weight").weights, 48U);
}

TEST(Checkpoint, LlamaHasItsRowsInAnotherOrder) {
  for (const char* dtype : {"F32", "F16", "BF16"}) {
    opened made(tensors_of(dtype), config_of("LlamaForCausalLM"));
    // Of each head of 4: first half and second half become neighbours.
    EXPECT_EQ(made.data_of("blk.0.attn_q.weight"),
              bytes_of_values(dtype, rows_of(counted(64, 2), 8, {0, 2, 1, 3, 4, 6, 5, 7})));
    EXPECT_EQ(made.data_of("blk.0.attn_k.weight"), bytes_of_values(dtype, rows_of(counted(32, 3), 8, {0, 2, 1, 3})));
    EXPECT_EQ(made.data_of("blk.0.attn_v.weight"), bytes_of_values(dtype, counted(32, 4)));
    EXPECT_EQ(made.data_of("blk.0.attn_norm.weight"), bytes_of_values("F32", counted(8, 1)));
    EXPECT_EQ(made.find("blk.0.attn_norm.weight").dtype, "F32");
    EXPECT_EQ(made.find("blk.0.attn_q.weight").dtype, dtype);
  }
}

TEST(Checkpoint, BiasesGoWithTheirRows) {
  opened llama(tensors_of("BF16", true), config_of("LlamaForCausalLM"));
  EXPECT_EQ(llama.data_of("blk.0.attn_q.bias"), bytes_of_values("F32", {20, 22, 21, 23, 24, 26, 25, 27}));
  EXPECT_EQ(llama.data_of("blk.0.attn_v.bias"), bytes_of_values("F32", {40, 41, 42, 43}));
  opened qwen(tensors_of("F16", true), config_of("Qwen2ForCausalLM"));
  EXPECT_EQ(qwen.data_of("blk.0.attn_q.bias"), bytes_of_values("F32", counted(8, 20)));
  EXPECT_EQ(qwen.data_of("blk.0.attn_q.weight"), bytes_of_values("F16", counted(64, 2)));
}

TEST(Checkpoint, Qwen3HasNormsOfHeads) {
  opened made(tensors_of("BF16", false, true), config_of("Qwen3ForCausalLM", R"(,"head_dim":4)"));
  EXPECT_EQ(made.data_of("blk.0.attn_q_norm.weight"), bytes_of_values("F32", {50, 51, 52, 53}));
  EXPECT_EQ(made.data_of("blk.0.attn_k.weight"), bytes_of_values("BF16", counted(32, 3)));
  EXPECT_EQ(refusal(tensors_of("F32"), config_of("Qwen3ForCausalLM"), "null", "22P03"),
            "tensor \"model.layers.0.self_attn.q_norm.weight\" is missing");
}

// All experts of a block become one tensor, expert after expert.
TEST(Checkpoint, ExpertsAreOneTensor) {
  std::vector<tensor> tensors = tensors_of("BF16", false, true);
  const auto is_dense = [](const tensor& t) { return t.name.find(".mlp.") != std::string::npos; };
  tensors.erase(std::remove_if(tensors.begin(), tensors.end(), is_dense), tensors.end());
  std::string const mlp = "model.layers.0.mlp.";
  tensors.push_back({mlp + "gate.weight", "BF16", {3, 8}, counted(24, 70)});
  for (const char* expert : {"2", "0", "1"}) {
    const float first = 10 * static_cast<float>(*expert);
    tensors.push_back({mlp + "experts." + expert + ".gate_proj.weight", "BF16", {5, 8}, counted(40, first)});
    tensors.push_back({mlp + "experts." + expert + ".up_proj.weight", "BF16", {5, 8}, counted(40, first + 1)});
    tensors.push_back({mlp + "experts." + expert + ".down_proj.weight", "BF16", {8, 5}, counted(40, first + 2)});
  }
  const auto config = [](const std::string& more) {
    return config_of("Qwen3MoeForCausalLM", R"(,"head_dim":4,"num_experts":3,"moe_intermediate_size":5)" + more);
  };
  std::string const good = config(R"(,"num_experts_per_tok":2,"norm_topk_prob":true)");
  opened made(tensors, good);
  std::string expected;
  for (const char expert : {'0', '1', '2'}) {
    expected += bytes_of_values("BF16", counted(40, 10 * static_cast<float>(expert) + 2));
  }
  EXPECT_EQ(made.data_of("blk.0.ffn_down_exps.weight"), expected);
  EXPECT_EQ(made.find("blk.0.ffn_down_exps.weight").shape, (std::vector<std::uint64_t>{3, 8, 5}));
  EXPECT_EQ(made.find("blk.0.ffn_down_exps.weight").weights, 120U);
  EXPECT_EQ(made.data_of("blk.0.ffn_gate_inp.weight"), bytes_of_values("BF16", counted(24, 70)));
  const gguf_metadata m = made.metadata();
  EXPECT_EQ(m.get_string("general.architecture"), "qwen3moe");
  EXPECT_EQ(m.get_uint("qwen3moe.expert_count"), 3U);
  EXPECT_EQ(m.get_uint("qwen3moe.expert_used_count"), 2U);
  EXPECT_EQ(m.get_uint("qwen3moe.expert_feed_forward_length"), 5U);

  EXPECT_EQ(refusal(tensors, config(R"(,"num_experts_per_tok":2)"), "null", "0A000"),
            "config: norm_topk_prob is not true");
  EXPECT_EQ(refusal(tensors, config(R"(,"num_experts_per_tok":4,"norm_topk_prob":true)"), "null", "22023"),
            "config: num_experts_per_tok is more than num_experts");
  EXPECT_EQ(refusal(tensors, config(R"(,"num_experts_per_tok":2,"norm_topk_prob":true,"decoder_sparse_step":2)"),
                    "null", "0A000"),
            "config: decoder_sparse_step is not 1");
  EXPECT_EQ(refusal(tensors, config(R"(,"num_experts_per_tok":2,"norm_topk_prob":true,"mlp_only_layers":[0])"), "null",
                    "0A000"),
            "config: mlp_only_layers is not empty");
  std::vector<tensor> other = tensors;
  other.back().dtype = "F16";
  EXPECT_EQ(refusal(other, good, "null", "0A000"),
            "tensor \"model.layers.0.mlp.experts.1.down_proj.weight\" is of another type than those of the experts "
            "before it");
  other = tensors;
  other.pop_back();
  EXPECT_EQ(refusal(other, good, "null", "22P03"),
            "tensor \"model.layers.0.mlp.experts.1.down_proj.weight\" is missing");
}

TEST(Checkpoint, TiedEmbeddingsAndLeftOvers) {
  std::string const tied = config_of("LlamaForCausalLM", R"(,"tie_word_embeddings":true)");
  std::vector<tensor> tensors = tensors_of("F32", false, false, false);
  EXPECT_EQ(opened(tensors, tied).model.file.tensors.size(), 11U);
  EXPECT_EQ(opened(tensors_of("F32"), tied).model.file.tensors.size(), 11U);  // the copy is left out
  tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", "F32", {2}, {1, 2}});
  EXPECT_EQ(opened(tensors, tied).model.file.tensors.size(), 11U);
  // No output matrix, although the config does not say that it is the embedding's: llama.cpp takes that one, too.
  EXPECT_EQ(opened(tensors, config_of("LlamaForCausalLM")).model.file.tensors.size(), 11U);
  tensors.push_back({"model.rotary_emb.inv_freq", "F32", {2}, {1, 2}});
  tensors.push_back({"rotary_emb.inv_freq", "F32", {2}, {1, 2}});
  EXPECT_EQ(opened(tensors, tied).model.file.tensors.size(), 11U);
  std::vector<tensor> other = tensors;
  other.push_back({"model.my_rotary_emb.inv_freq", "F32", {2}, {1, 2}});
  EXPECT_EQ(refusal(other, tied, "null", "0A000"),
            "tensor \"model.my_rotary_emb.inv_freq\" is none of architecture llama");
  tensors.push_back({"model.layers.1.mlp.up_proj.weight", "F32", {1}, {1}});
  EXPECT_EQ(refusal(tensors, tied, "null", "0A000"),
            "tensor \"model.layers.1.mlp.up_proj.weight\" is none of architecture llama");
}

// As models for embeddings are saved.
TEST(Checkpoint, NamesWithoutThePrefix) {
  std::vector<tensor> tensors = tensors_of("BF16", true);
  opened whole(tensors, config_of("Qwen2ForCausalLM"));
  for (tensor& t : tensors) {
    if (t.name.rfind("model.", 0) == 0) t.name.erase(0, 6);
  }
  opened bare(tensors, config_of("Qwen2ForCausalLM"));
  ASSERT_EQ(bare.model.file.tensors.size(), whole.model.file.tensors.size());
  for (const model_tensor& t : whole.model.file.tensors) EXPECT_EQ(bare.data_of(t.name), whole.data_of(t.name));
  tensors.front().name = "model.embed_tokens.weight";  // one with, all others without
  refusal(tensors, config_of("Qwen2ForCausalLM"), "null", "22P03");
}

TEST(Checkpoint, MistralIsALlamaWithoutAWindow) {
  opened mistral(tensors_of("F32"), config_of("MistralForCausalLM", R"(,"sliding_window":null)"));
  opened llama(tensors_of("F32"), config_of("LlamaForCausalLM"));
  EXPECT_EQ(mistral.model.file.metadata_json, llama.model.file.metadata_json);
  EXPECT_EQ(mistral.data_of("blk.0.attn_q.weight"), llama.data_of("blk.0.attn_q.weight"));
  EXPECT_NO_THROW(
      opened(tensors_of("F32"), config_of("MistralForCausalLM", R"(,"sliding_window":64)")));  // the context
  for (const char* window : {R"(,"sliding_window":63)", ""}) {  // a config that says nothing means 4096
    EXPECT_EQ(refusal(tensors_of("F32"), config_of("MistralForCausalLM", window), "null", "0A000"),
              "attention in a sliding window is not supported");
  }
}

TEST(Checkpoint, SeveralFiles) {
  const std::vector<tensor> all = tensors_of("BF16", true);
  std::vector<std::vector<tensor>> files(3);
  for (std::size_t i = 0; i < all.size(); ++i) files[i * 7 % 3].push_back(all[i]);
  opened whole(all, config_of("LlamaForCausalLM"));
  opened parts(files, config_of("LlamaForCausalLM"));
  EXPECT_EQ(parts.model.file.metadata_json, whole.model.file.metadata_json);
  ASSERT_EQ(parts.model.file.tensors.size(), whole.model.file.tensors.size());
  for (const model_tensor& t : whole.model.file.tensors) EXPECT_EQ(parts.data_of(t.name), whole.data_of(t.name));
  files[1].push_back(files[2].front());
  try {
    const opened twice(files, config_of("LlamaForCausalLM"));
    ADD_FAILURE();
  } catch (const error& e) {
    EXPECT_STREQ(e.state(), "22P03");
  }
}

TEST(Checkpoint, AnyPieceOfTheDataIsAsOfTheWhole) {
  opened made(tensors_of("BF16", true), config_of("LlamaForCausalLM"));
  std::string whole(made.model.data->size(), '\0');
  made.model.data->read(0, whole.data(), whole.size());
  std::mt19937 random(2);
  for (int i = 0; i < 2000; ++i) {
    std::size_t const from = random() % whole.size();
    std::string piece(random() % std::min<std::size_t>(whole.size() - from, 200) + 1, '\0');
    made.model.data->read(from, piece.data(), piece.size());
    ASSERT_EQ(piece, whole.substr(from, piece.size()));
  }
}

TEST(Checkpoint, Hyperparameters) {
  const opened made(tensors_of("BF16"), config_of("LlamaForCausalLM", R"(,"rope_theta":500000,"bos_token_id":1,)"
                                                                      R"("eos_token_id":[2,3],"pad_token_id":null)"));
  const gguf_metadata m = made.metadata();
  EXPECT_EQ(m.get_string("general.architecture"), "llama");
  EXPECT_EQ(m.get_uint("general.file_type"), 32U);
  EXPECT_EQ(m.get_uint("llama.block_count"), 1U);
  EXPECT_EQ(m.get_uint("llama.embedding_length"), 8U);
  EXPECT_EQ(m.get_uint("llama.feed_forward_length"), 6U);
  EXPECT_EQ(m.get_uint("llama.attention.head_count"), 2U);
  EXPECT_EQ(m.get_uint("llama.attention.head_count_kv"), 1U);
  EXPECT_EQ(m.get_uint("llama.context_length"), 64U);
  EXPECT_EQ(m.get_uint("llama.rope.dimension_count"), 4U);
  EXPECT_EQ(m.get_uint("llama.attention.key_length"), 4U);
  EXPECT_EQ(m.get_uint("llama.vocab_size"), 10U);
  EXPECT_EQ(m.get_float("llama.rope.freq_base"), 500000.0);
  EXPECT_EQ(m.get_float("llama.attention.layer_norm_rms_epsilon"), 1e-5F);
  EXPECT_EQ(m.get_string("tokenizer.ggml.model"), "none");
  EXPECT_EQ(m.find("llama.rope.scaling.type"), nullptr);
}

TEST(Checkpoint, ScalingOfPositions) {
  const opened yarn(tensors_of("F32"), config_of("LlamaForCausalLM", R"(,"rope_scaling":{"type":"yarn","factor":4,)"
                                                                     R"("original_max_position_embeddings":32})"));
  EXPECT_EQ(yarn.metadata().get_string("llama.rope.scaling.type"), "yarn");
  EXPECT_EQ(yarn.metadata().get_float("llama.rope.scaling.factor"), 4.0);
  EXPECT_EQ(yarn.metadata().get_uint("llama.rope.scaling.original_context_length"), 32U);
  const opened newer(tensors_of("F32"),
                     config_of("LlamaForCausalLM", R"(,"rope_parameters":{"rope_type":"default","rope_theta":7})"));
  EXPECT_EQ(newer.metadata().get_float("llama.rope.freq_base"), 7.0);
  EXPECT_EQ(refusal(tensors_of("F32"), config_of("LlamaForCausalLM", R"(,"rope_scaling":{"type":"dynamic"})"), "null",
                    "0A000"),
            "unknown scaling of positions \"dynamic\"");
}

// Expected numbers are those of transformers' rule, divided by 0.1 ln(factor) + 1, which llama.cpp multiplies with.
TEST(Checkpoint, YarnInAllItsMembers) {
  const auto keys = [](const std::string& more, const std::string& config = "") {
    return opened(tensors_of("F32"), config_of("LlamaForCausalLM", R"(,"rope_scaling":{"rope_type":"yarn","factor":4)" +
                                                                       more + "}" + config))
        .metadata();
  };
  constexpr double implied = 1.1386294361119891;
  const gguf_metadata plain = keys("");
  for (const char* key : {"attn_factor", "yarn_beta_fast", "yarn_beta_slow", "original_context_length"}) {
    EXPECT_EQ(plain.find("llama.rope.scaling." + std::string(key)), nullptr) << key;
  }
  EXPECT_NEAR(*keys(R"(,"attention_factor":1.0)").get_float("llama.rope.scaling.attn_factor"), 1 / implied, 1e-7);
  EXPECT_NEAR(*keys(R"(,"mscale":0.707,"mscale_all_dim":1.0)").get_float("llama.rope.scaling.attn_factor"),
              (1 + 0.1 * 0.707 * std::log(4.0)) / implied / implied, 1e-7);
  EXPECT_NEAR(*keys(R"(,"mscale":1.0,"mscale_all_dim":1.0)").get_float("llama.rope.scaling.attn_factor"), 1 / implied,
              1e-7);
  EXPECT_EQ(keys(R"(,"mscale":0.5)").find("llama.rope.scaling.attn_factor"), nullptr);  // one of both says nothing
  EXPECT_NEAR(
      *keys(R"(,"attention_factor":2,"mscale":1,"mscale_all_dim":1)").get_float("llama.rope.scaling.attn_factor"),
      2 / implied, 1e-7);
  EXPECT_EQ(keys(R"(,"beta_fast":4,"beta_slow":0.5)").get_float("llama.rope.scaling.yarn_beta_fast"), 4.0);
  EXPECT_EQ(keys(R"(,"beta_fast":4,"beta_slow":0.5)").get_float("llama.rope.scaling.yarn_beta_slow"), 0.5);
  EXPECT_EQ(keys(R"(,"beta_fast":0,"beta_slow":null)").find("llama.rope.scaling.yarn_beta_fast"), nullptr);
  EXPECT_EQ(
      keys("", R"(,"original_max_position_embeddings":32)").get_uint("llama.rope.scaling.original_context_length"),
      32U);
  const opened ratio(tensors_of("F32"), config_of("LlamaForCausalLM", R"(,"rope_scaling":{"rope_type":"yarn",)"
                                                                      R"("original_max_position_embeddings":32})"));
  EXPECT_EQ(ratio.metadata().get_float("llama.rope.scaling.factor"), 2.0);
}

// Members that change the network are read or refused by their names.
TEST(Checkpoint, MembersThatAreNotKnownAreNotIgnored) {
  struct sample {
    const char* members;
    const char* state;
    const char* message;
  };
  const sample samples[] = {
      {R"("rope_scaling":{"type":"yarn","factor":4,"truncate":false})", "0A000",
       "config: rope_scaling.truncate is false"},
      {R"("rope_scaling":{"type":"yarn","factor":4,"attn_factor":2})", "0A000",
       "config: rope_scaling.attn_factor is not 1"},
      {R"("rope_scaling":{"type":"yarn","factor":4,"extrapolation_factor":0.5})", "0A000",
       "config: rope_scaling.extrapolation_factor is not 1"},
      {R"("rope_scaling":{"type":"linear","factor":4,"alpha":2})", "0A000",
       "unknown member config: rope_scaling.alpha"},
      {R"("rope_scaling":{"type":"linear"})", "22023", "config: rope_scaling.factor is missing"},
      {R"("rope_scaling":{"type":"yarn","factor":0})", "22023", "config: rope_scaling has factors out of range"},
      {R"("rope_scaling":{"type":"yarn","factor":4,"beta_fast":-1})", "22023",
       "config: rope_scaling has factors out of range"},
      {R"("rope_scaling":{"type":"yarn","factor":4,"attention_factor":-1})", "22023",
       "config: rope_scaling has factors out of range"},
      {R"("rope_parameters":{"rope_type":"default","partial_rotary_factor":0.5})", "0A000",
       "config: rope_parameters.partial_rotary_factor is not 1"},
      {R"("rope_parameters":{"full_attention":{"rope_type":"default"}})", "0A000",
       "positions that differ between kinds of layers are not supported"},
      {R"("partial_rotary_factor":0.25)", "0A000", "config: partial_rotary_factor is not 1"},
      {R"("layer_types":["sliding_attention"])", "0A000", "layers of type \"sliding_attention\" are not supported"},
      {R"("is_causal":false)", "0A000", "attention that looks ahead is not supported"},
      {R"("compression_config":{})", "0A000", "quantized checkpoints are not supported"},
      {R"("use_sliding_window":true,"sliding_window":32,"max_window_layers":0)", "0A000",
       "attention in a sliding window is not supported"},
  };
  for (const sample& s : samples) {
    EXPECT_EQ(refusal(tensors_of("F32"), config_of("Qwen2ForCausalLM", "," + std::string(s.members)), "null", s.state),
              s.message);
  }
  for (const char* same :
       {R"("hidden_act":"swish")", R"("partial_rotary_factor":1.0)", R"("layer_types":["full_attention"])",
        R"("use_sliding_window":true,"sliding_window":32,"max_window_layers":1)", R"("sliding_window":32)",
        R"("is_causal":true)", R"("pad_token_id":-1)", R"("rope_scaling":{"rope_type":"default","factor":2})",
        R"("rope_parameters":{"rope_type":"default","mrope_section":[1,1,0]})", R"("attention_dropout":0.5)"}) {
    const opened made(tensors_of("F32"), config_of("Qwen2ForCausalLM", "," + std::string(same)));
    EXPECT_EQ(made.model.file.metadata_json,
              opened(tensors_of("F32"), config_of("Qwen2ForCausalLM")).model.file.metadata_json)
        << same;
  }
}

// Wavelengths of the two pairs: 2 pi and 2 pi sqrt(base).
TEST(Checkpoint, Llama3SlowsLongWavelengthsDown) {
  const auto factors = [](const char* base, const char* rope) {
    opened made(tensors_of("F32"),
                config_of("LlamaForCausalLM", std::string(",\"rope_theta\":") + base + ",\"rope_scaling\":" + rope));
    std::string const data = made.data_of("rope_freqs.weight");
    std::vector<float> out(data.size() / sizeof(float));
    std::memcpy(out.data(), data.data(), data.size());
    return out;
  };
  constexpr char rope[] =
      R"({"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":64})";
  EXPECT_EQ(factors("10000", rope), (std::vector<float>{1, 8}));  // 6.28 < 64 / 4, and 628 > 64
  const std::vector<float> between = factors("25", rope);         // 31.4 between 16 and 64
  const double smooth = (64 / (10 * 3.14159265358979) - 1) / 3;
  EXPECT_NEAR(between[1], 1 / ((1 - smooth) / 8 + smooth), 1e-6);
  EXPECT_EQ(between[0], 1);
}

TEST(Checkpoint, ByteLevelVocabulary) {
  const opened made(tensors_of("F32"), config_of("Qwen2ForCausalLM", R"(,"eos_token_id":5)"), byte_level);
  const gguf_metadata m = made.metadata();
  EXPECT_EQ(m.get_string("tokenizer.ggml.model"), "gpt2");
  EXPECT_EQ(m.get_string("tokenizer.ggml.pre"), "qwen2");
  EXPECT_EQ(m.get_strings("tokenizer.ggml.tokens"), (strings{"a", "b", "\xc4\xa0", "ab",
                                                             "\xc4\xa0"
                                                             "a",
                                                             "<|end|>", "<tool>", "<|odd|>", "[PAD8]", "[PAD9]"}));
  EXPECT_EQ(m.get_ints("tokenizer.ggml.token_type"), (std::vector<std::int64_t>{1, 1, 1, 1, 1, 3, 4, 3, 5, 5}));
  EXPECT_EQ(m.get_strings("tokenizer.ggml.merges"), (strings{"a b", "\xc4\xa0 a"}));
  EXPECT_EQ(m.get_uint("tokenizer.ggml.eos_token_id"), 5U);
  EXPECT_EQ(m.find("tokenizer.ggml.add_bos_token"), nullptr);
  no_interrupts interrupts;
  const auto t = tokenizer::create(m, interrupts);
  EXPECT_EQ(t->encode("ab a<tool><|end|>", true, true, interrupts), (std::vector<std::int32_t>{3, 4, 6, 5}));
}

TEST(Checkpoint, SentencePieceVocabulary) {
  const opened made(tensors_of("F32"), config_of("LlamaForCausalLM"), sentence_piece);
  const gguf_metadata m = made.metadata();
  EXPECT_EQ(m.get_string("tokenizer.ggml.model"), "llama");
  EXPECT_EQ(m.get_floats("tokenizer.ggml.scores"), (std::vector<float>{-3, -3, -3, -3, -3, -3, -3, 0, -1, -3}));
  EXPECT_EQ(m.get_ints("tokenizer.ggml.token_type"), (std::vector<std::int64_t>{2, 3, 3, 6, 1, 1, 1, 1, 1, 5}));
  EXPECT_EQ(m.get_uint("tokenizer.ggml.bos_token_id"), 1U);  // from the template
  EXPECT_EQ(m.get_uint("tokenizer.ggml.unknown_token_id"), 0U);
  EXPECT_EQ(m.get_bool("tokenizer.ggml.add_bos_token"), true);
  EXPECT_EQ(m.get_bool("tokenizer.ggml.add_eos_token"), false);
  EXPECT_EQ(m.get_bool("tokenizer.ggml.add_space_prefix"), true);
  no_interrupts interrupts;
  const auto t = tokenizer::create(m, interrupts);
  EXPECT_EQ(t->encode("ab a\n", true, false, interrupts), (std::vector<std::int32_t>{1, 4, 7, 8, 3}));
}

// As llama.cpp's converter has them, whatever the tokenizer says of them.
TEST(Checkpoint, TokensThatLookSpecialAre) {
  const auto type_of = [](const std::string& text, bool special) {
    std::string tokenizer = byte_level;
    std::string const old = R"("content":"<tool>","special":false)";
    tokenizer.replace(tokenizer.find(old), old.size(),
                      "\"content\":\"" + text + "\",\"special\":" + (special ? "true" : "false"));
    return opened(tensors_of("F32"), config_of("Qwen2ForCausalLM"), tokenizer)
        .metadata()
        .get_ints("tokenizer.ggml.token_type")
        ->at(6);
  };
  for (const char* text : {"<\xef\xbd\x9cUser\xef\xbd\x9c>", "<|x|>", "<|>", "<pad>", "<mask>", "<2mass>", "[@BOS@]",
                           "<unused0>", "<unused99>"}) {
    EXPECT_EQ(type_of(text, false), 3) << text;
  }
  for (const char* text : {"<tool>", "<|x>", "<\xef\xbd\x9cx|>", "<pad", "unused>", "<unused", "<Mask>", "|>"}) {
    EXPECT_EQ(type_of(text, false), 4) << text;
    EXPECT_EQ(type_of(text, true), 3) << text;
  }
}

TEST(Checkpoint, FillersAreTokensOfTheirOwn) {
  std::string tokenizer = byte_level;
  std::string const old = R"("content":"<tool>")";
  tokenizer.replace(tokenizer.find(old), old.size(), R"("content":"[PAD8]")");
  const gguf_metadata m = opened(tensors_of("F32"), config_of("Qwen2ForCausalLM"), tokenizer).metadata();
  EXPECT_EQ(m.get_strings("tokenizer.ggml.tokens")->at(6), "[PAD8]");
  EXPECT_EQ(m.get_strings("tokenizer.ggml.tokens")->at(8), "[_PAD8]");
  no_interrupts interrupts;
  EXPECT_NO_THROW(tokenizer::create(m, interrupts));
}

// ---- what is wrong ----

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  std::size_t const at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), by);
}

TEST(Checkpoint, ConfigsThatAreWrong) {
  const auto refused = [](const std::string& config, const char* state) {
    return refusal(tensors_of("F32"), config, "null", state);
  };
  std::string const good = config_of("LlamaForCausalLM");
  EXPECT_EQ(refused("{", "22P02"), "config is not valid JSON");
  EXPECT_EQ(refused(std::string(100, '[') + std::string(100, ']'), "54000"), "config is nested too deeply");
  EXPECT_EQ(refused("[]", "22023"), "config is not an object");
  EXPECT_EQ(refused("{}", "22023"), "config: architectures is missing");
  EXPECT_EQ(refused(config_of("GPT2LMHeadModel"), "0A000"), "unknown architecture \"GPT2LMHeadModel\"");
  EXPECT_EQ(refused(replaced(good, "\"hidden_size\":8,", ""), "22023"), "config: hidden_size is missing");
  refused(replaced(good, "\"hidden_size\":8", "\"hidden_size\":-8"), "22023");
  refused(replaced(good, "\"hidden_size\":8", "\"hidden_size\":\"8\""), "22023");
  refused(replaced(good, "\"hidden_size\":8", "\"hidden_size\":9"), "22023");
  refused(replaced(good, "\"num_key_value_heads\":1", "\"num_key_value_heads\":0"), "22023");
  refused(config_of("LlamaForCausalLM", R"(,"head_dim":3)"), "22023");
  refused(config_of("LlamaForCausalLM", R"(,"head_dim":1000000)"), "22023");
  refused(config_of("LlamaForCausalLM", R"(,"hidden_act":"gelu")"), "0A000");
  refused(config_of("LlamaForCausalLM", R"(,"use_sliding_window":true)"), "0A000");
  refused(config_of("LlamaForCausalLM", R"(,"quantization_config":{})"), "0A000");
  refused(config_of("LlamaForCausalLM", R"(,"rope_scaling":{"type":"llama3","low_freq_factor":4})"), "22023");
  EXPECT_EQ(refused(replaced(good, "\"vocab_size\":10", "\"vocab_size\":11"), "22P03"),
            "tensor \"model.embed_tokens.weight\" does not fit the config");
  refused(replaced(good, "\"num_hidden_layers\":1", "\"num_hidden_layers\":2147483647"), "22P03");
  EXPECT_EQ(refusal({{"model.embed_tokens.weight", "I16", {10, 8}, counted(80, 0)}}, good, "null", "0A000"),
            "tensor \"model.embed_tokens.weight\" is not of floats");
}

TEST(Checkpoint, TokenizersThatAreWrong) {
  const auto refused = [](const std::string& tokenizer, const char* state) {
    return refusal(tensors_of("F32"), config_of("LlamaForCausalLM"), tokenizer, state);
  };
  EXPECT_EQ(refused("nul", "22P02"), "tokenizer is not valid JSON");
  EXPECT_EQ(refused("{}", "22023"), "tokenizer: model is missing");
  EXPECT_EQ(refused(replaced(byte_level, "\"BPE\"", "\"Unigram\""), "0A000"),
            "unknown model \"Unigram\" of the tokenizer");
  EXPECT_EQ(refused(replaced(byte_level, "\"NFC\"", "\"Lowercase\""), "0A000"),
            "unknown normalizer \"Lowercase\" of the tokenizer");
  EXPECT_EQ(refused(replaced(byte_level, "?[^", "?[^x"), "0A000"),
            "the tokenizer splits text into words by an unknown pattern");
  refused(replaced(byte_level, "\"add_prefix_space\":false", "\"add_prefix_space\":true"), "0A000");
  refused(replaced(byte_level, "\"type\":\"ByteLevel\"", "\"type\":\"Whitespace\""), "0A000");
  refused(replaced(sentence_piece, "\"byte_fallback\":true", "\"byte_fallback\":false"), "0A000");
  refused(replaced(byte_level, "\"ab\":3", "\"ab\":10"), "22023");
  refused(replaced(byte_level, "\"ab\":3", "\"ab\":3.5"), "22023");
  refused(replaced(byte_level, "\"a b\"", "\"ab\""), "22023");
  refused(replaced(byte_level, "\"a b\"", "[\"a\"]"), "22023");
  refused(replaced(byte_level, "\"content\":\"<tool>\"", "\"content\":1"), "22023");
  EXPECT_EQ(refused(replaced(byte_level, "\"content\":\"<tool>\"", "\"content\":\"ab\""), "22023"),
            "tokenizer: token \"ab\" occurs twice");
  EXPECT_EQ(refused(replaced(byte_level, "\"id\":6", "\"id\":3"), "22023"),
            "tokenizer: number 3 belongs to two tokens");
  EXPECT_EQ(refused(replaced(byte_level, "\"ab\":3", "\"ab\":1"), "22023"),
            "tokenizer: number 1 belongs to two tokens");
  // Members that change the tokens.
  const auto in_model = [](const char* text, const std::string& more) {
    return replaced(text, "\"type\":\"BPE\"", "\"type\":\"BPE\"," + more);
  };
  EXPECT_EQ(refused(in_model(byte_level, R"("continuing_subword_prefix":"##")"), "0A000"),
            "the tokenizer marks parts of words: tokenizer: model.continuing_subword_prefix");
  EXPECT_EQ(refused(in_model(byte_level, R"("end_of_word_suffix":"</w>")"), "0A000"),
            "the tokenizer marks parts of words: tokenizer: model.end_of_word_suffix");
  EXPECT_EQ(refused(in_model(byte_level, R"("dropout":0.1)"), "0A000"),
            "the tokenizer merges at random: tokenizer: model.dropout");
  EXPECT_EQ(refused(replaced(byte_level, "\"Isolated\"", "\"Removed\""), "0A000"),
            "the tokenizer splits text into words by behavior \"Removed\"");
  EXPECT_EQ(refused(replaced(byte_level, "\"Isolated\"", "\"Isolated\",\"invert\":true"), "0A000"),
            "the tokenizer splits text into words by behavior \"Isolated\", inverted");
  EXPECT_EQ(refused(replaced(byte_level, "{\"type\":\"Split\"",
                             R"({"type":"Digits","individual_digits":true},{"type":"Split")"),
                    "0A000"),
            "unknown step \"Split\" of the tokenizer");
  EXPECT_EQ(refused(replaced(sentence_piece, "{\"String\":\" \"}", "{\"String\":\"_\"}"), "0A000"),
            "the tokenizer replaces something other than spaces by visible spaces");
  EXPECT_EQ(refused(replaced(sentence_piece, "{\"String\":\" \"}", "{\"Regex\":\" +\"}"), "0A000"),
            "the tokenizer replaces something other than spaces by visible spaces");
  EXPECT_EQ(refused(replaced(sentence_piece, "\"TemplateProcessing\"", "\"RobertaProcessing\""), "0A000"),
            "unknown post-processor \"RobertaProcessing\" of the tokenizer");
  for (const std::string& same :
       {in_model(byte_level, R"("continuing_subword_prefix":"","end_of_word_suffix":null,"dropout":0)"),
        replaced(byte_level, "\"Isolated\"", "\"Removed\",\"invert\":true")}) {
    EXPECT_EQ(opened(tensors_of("F32"), config_of("Qwen2ForCausalLM"), same).model.file.metadata_json,
              opened(tensors_of("F32"), config_of("Qwen2ForCausalLM"), byte_level).model.file.metadata_json);
  }
  refused(replaced(byte_level, "\"added_tokens\":[", "\"added_tokens\":[1,"), "22023");
}

}  // namespace
}  // namespace hartonomous
