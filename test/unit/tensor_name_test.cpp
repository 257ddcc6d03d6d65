// What tensors' names say: block and role, of GGUF's names and of Hugging Face's.
#include "hartonomous/tensor_name.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

namespace hartonomous {
namespace {

using role = tensor_role;

struct expected_name {
  const char* name;
  std::int32_t block;
  tensor_role is;
};

void expect_names(std::initializer_list<expected_name> names) {
  for (const expected_name& e : names) {
    const tensor_name parsed = parse_tensor_name(e.name);
    EXPECT_EQ(parsed.block, e.block) << e.name;
    EXPECT_EQ(name_of(parsed.role), name_of(e.is)) << e.name;
  }
}

TEST(TensorName, OfGguf) {
  expect_names({{"token_embd.weight", -1, role::token_embedding},
                {"per_layer_token_embd.weight", -1, role::token_embedding},
                {"token_embd_norm.weight", -1, role::norm},
                {"position_embd.weight", -1, role::position_embedding},
                {"token_types.weight", -1, role::embedding},
                {"output.weight", -1, role::output},
                {"output_norm.weight", -1, role::norm},
                {"blk.0.attn_q.weight", 0, role::attn_q},
                {"blk.11.attn_k.bias", 11, role::attn_k},
                {"blk.3.attn_v.weight", 3, role::attn_v},
                {"blk.3.attn_qkv.weight", 3, role::attn_qkv},
                {"blk.3.attn_output.weight", 3, role::attn_output},
                {"blk.3.attn_q_norm.weight", 3, role::norm},
                {"blk.3.attn_sinks.weight", 3, role::attention},
                {"blk.3.ffn_gate.weight", 3, role::ffn_gate},
                {"blk.3.ffn_up.weight", 3, role::ffn_up},
                {"blk.3.ffn_down.weight", 3, role::ffn_down},
                {"blk.3.post_ffw_norm_1.weight", 3, role::norm},
                {"rope_freqs.weight", -1, role::other},
                {"dec.blk.4.cross_attn_o.weight", 4, role::attn_output},
                {"v.blk.4.attn_out.weight", 4, role::attn_output},
                {"v.patch_embd.weight", -1, role::embedding}});
}

TEST(TensorName, OfExperts) {
  expect_names({{"blk.2.ffn_gate_inp.weight", 2, role::router},
                {"blk.2.ffn_gate_inp_shexp.weight", 2, role::router},
                {"blk.2.ffn_gate_tid2eid.weight", 2, role::router},
                {"blk.2.ffn_down_exps.weight", 2, role::ffn_down},
                {"blk.2.ffn_down_shexp.weight", 2, role::ffn_down},
                {"blk.2.ffn_down.7.weight", 2, role::ffn_down},
                {"blk.2.ffn_gate_up_exps.weight", 2, role::ffn_gate},
                {"blk.2.exp_probs_b.bias", 2, role::other},
                {"model.layers.2.mlp.gate.weight", 2, role::router},
                {"model.layers.2.mlp.experts.7.down_proj.weight", 2, role::ffn_down},
                {"model.layers.2.mlp.experts.down_proj", 2, role::ffn_down},
                {"model.layers.2.mlp.shared_expert.up_proj.weight", 2, role::ffn_up},
                {"model.layers.2.mlp.shared_expert_gate.weight", 2, role::router},
                {"model.layers.2.block_sparse_moe.gate.weight", 2, role::router},
                {"model.layers.2.block_sparse_moe.experts.5.w2.weight", 2, role::ffn_down}});
}

TEST(TensorName, OfLatentAttentionAndRecurrence) {
  expect_names({{"blk.1.attn_kv_b.weight", 1, role::attn_kv_b},
                {"blk.1.attn_k_b.weight", 1, role::attention},
                {"blk.1.attn_v_b.weight", 1, role::attention},
                {"blk.1.attn_q_a.weight", 1, role::attention},
                {"blk.1.attn_kv_a_mqa.weight", 1, role::attention},
                {"blk.1.attn_kv_a_norm.weight", 1, role::norm},
                {"model.layers.1.self_attn.kv_b_proj.weight", 1, role::attn_kv_b},
                {"blk.1.time_mix_key.weight", 1, role::recurrent},
                {"blk.1.time_mix_output.weight", 1, role::recurrent_output},
                {"blk.1.time_mix_ln.weight", 1, role::norm},
                {"blk.1.channel_mix_value.weight", 1, role::ffn_down},
                {"blk.1.channel_mix_lerp_k.weight", 1, role::feed_forward},
                {"blk.1.ssm_conv1d.weight", 1, role::recurrent},
                {"blk.1.ssm_out.weight", 1, role::recurrent_output},
                {"blk.1.shortconv.out_proj.weight", 1, role::recurrent_output},
                {"blk.1.altup_proj.weight", 1, role::other},
                {"blk.1.nextn.embed_tokens.weight", 1, role::embedding}});
}

TEST(TensorName, OfHuggingFace) {
  expect_names({{"model.embed_tokens.weight", -1, role::token_embedding},
                {"lm_head.weight", -1, role::output},
                {"model.norm.weight", -1, role::norm},
                {"model.layers.7.input_layernorm.weight", 7, role::norm},
                {"model.layers.7.self_attn.q_proj.bias", 7, role::attn_q},
                {"model.layers.7.self_attn.o_proj.weight", 7, role::attn_output},
                {"model.layers.7.mlp.gate_proj.weight", 7, role::ffn_gate},
                {"transformer.wte.weight", -1, role::token_embedding},
                {"transformer.wpe.weight", -1, role::position_embedding},
                {"transformer.h.11.ln_1.bias", 11, role::norm},
                {"transformer.h.11.attn.c_attn.weight", 11, role::attn_qkv},
                {"transformer.h.11.attn.c_proj.weight", 11, role::attn_output},
                {"transformer.h.11.mlp.c_proj.weight", 11, role::ffn_down},
                {"gpt_neox.layers.3.attention.query_key_value.weight", 3, role::attn_qkv},
                {"gpt_neox.layers.3.mlp.dense_4h_to_h.weight", 3, role::ffn_down},
                {"bert.encoder.layer.5.attention.self.value.weight", 5, role::attn_v},
                {"bert.encoder.layer.5.attention.output.dense.weight", 5, role::attn_output},
                {"bert.encoder.layer.5.attention.output.LayerNorm.weight", 5, role::norm},
                {"bert.encoder.layer.5.output.dense.weight", 5, role::ffn_down},
                {"model.decoder.layers.0.fc2.weight", 0, role::ffn_down},
                {"model.layers.4.linear_attn.out_proj.weight", 4, role::attn_output}});
}

TEST(TensorName, ThatSaysNothing) {
  expect_names({{"", -1, role::other},
                {".", -1, role::other},
                {"blk.", -1, role::other},
                {"blk..x", -1, role::other},
                {"blk.7", -1, role::other},
                {"blk.x.y", -1, role::other},
                {"blk.1234567.x", -1, role::other},
                {"blk.123456.x", 123456, role::other},
                {"blk.-1.x", -1, role::other},
                {"xblk.1.x", -1, role::other},
                {"layer.layers.2.x", 2, role::other},
                {"encoder.block.0.layer.1.x", 0, role::other},
                {"conv1.weight", -1, role::other},
                {"features.0.weight", -1, role::other}});
}

// llama-quantize looks for parts of names, and for weights alone.
TEST(TensorName, KnownToMixtures) {
  for (const char* name : {"output.weight", "token_embd.weight", "per_layer_token_embd.weight",
                           "blk.1.attn_kv_b.weight", "blk.1.cross_attn_k.weight", "blk.1.indexer.attn_k.weight",
                           "blk.1.vis_attn_qkv.weight", "posnet.1.attn_v.weight", "blk.1.ffn_down_exps.weight",
                           "blk.1.ffn_down.7.weight", "lm_head.weight", "model.embed_tokens.weight",
                           "model.layers.0.self_attn.v_proj.weight", "model.layers.0.mlp.experts.down_proj"}) {
    EXPECT_TRUE(parse_tensor_name(name).known_to_mixtures) << name;
  }
  for (const char* name :
       {"xoutput.weight", "token_embd_norm.weight", "blk.1.attn_v_b.weight", "blk.1.attn_k_b.weight",
        "blk.1.attn_v.bias", "dec.blk.1.attn_o.weight", "v.blk.1.attn_out.weight", "blk.1.channel_mix_value.weight",
        "blk.1.ssm_out.weight", "blk.1.nextn.embed_tokens.weight", "blk.1.attn_q_norm.weight"}) {
    EXPECT_FALSE(parse_tensor_name(name).known_to_mixtures) << name;
  }
}

TEST(TensorName, KindsAndWhatWritesToTheResidualStream) {
  const auto kind = [](const char* name) { return std::string(kind_of(parse_tensor_name(name).role)); };
  EXPECT_EQ(kind("blk.1.attn_sinks.weight"), "attention");
  EXPECT_EQ(kind("blk.1.ffn_gate_inp.weight"), "ffn");
  EXPECT_EQ(kind("token_types.weight"), "embedding");
  EXPECT_EQ(kind("blk.1.ssm_out.weight"), "other");
  const auto writes = [](const char* name) { return writes_residual(parse_tensor_name(name).role); };
  EXPECT_TRUE(writes("blk.1.attn_output.weight"));
  EXPECT_TRUE(writes("blk.1.ffn_down_exps.weight"));
  EXPECT_TRUE(writes("blk.1.time_mix_output.weight"));
  EXPECT_FALSE(writes("blk.1.ffn_up.weight"));
  EXPECT_FALSE(writes("output.weight"));
}

TEST(TensorName, BlocksAreNumberedAnew) {
  EXPECT_EQ(with_block("blk.12.ffn_down.7.weight", 3), "blk.3.ffn_down.7.weight");
  EXPECT_EQ(with_block("encoder.block.0.layer.1.x", 10), "encoder.block.10.layer.1.x");
  EXPECT_EQ(with_block("output.weight", 3), "output.weight");
  EXPECT_EQ(with_block("", 3), "");
}

}  // namespace
}  // namespace hartonomous
