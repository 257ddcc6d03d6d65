// Small Hugging Face checkpoints in memory.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "hartonomous/half.hpp"
#include "hartonomous/safetensors.hpp"

namespace hartonomous::checkpoint_test {

struct tensor {
  std::string name;
  std::string dtype;
  std::vector<std::uint64_t> shape;
  std::vector<float> values;
};

inline std::string bytes_of_values(const std::string& dtype, const std::vector<float>& values) {
  std::string out;
  for (const float v : values) {
    std::uint32_t const bits = half_detail::bits_of(v);
    std::uint16_t const half = dtype == "F16" ? f32_to_f16(v) : f32_to_bf16(v);
    out += dtype == "F32" ? std::string(reinterpret_cast<const char*>(&bits), 4)
                          : std::string(reinterpret_cast<const char*>(&half), 2);
  }
  return out;
}

inline std::string file_of(const std::vector<tensor>& tensors) {
  std::vector<safetensors_tensor> header;
  std::string data;
  for (const tensor& t : tensors) {
    header.push_back({t.name, t.dtype, t.shape, 0, 0});
    data += bytes_of_values(t.dtype, t.values);
  }
  return make_safetensors_header(header, {}) + data;
}

// Numbers that are exact in every format, each one different from its neighbours.
inline std::vector<float> counted(std::size_t count, float from) {
  std::vector<float> out(count);
  for (std::size_t i = 0; i < count; ++i) out[i] = from + static_cast<float>(i % 128);
  return out;
}

// One block: width 8, two heads of 4, one key head, inner width 6, ten tokens.
inline std::vector<tensor> tensors_of(const std::string& dtype, bool biases = false, bool head_norms = false,
                                      bool output = true) {
  std::string const block = "model.layers.0.";
  std::vector<tensor> out = {
      {"model.embed_tokens.weight", dtype, {10, 8}, counted(80, 0)},
      {block + "input_layernorm.weight", dtype, {8}, counted(8, 1)},
      {block + "self_attn.q_proj.weight", dtype, {8, 8}, counted(64, 2)},
      {block + "self_attn.k_proj.weight", dtype, {4, 8}, counted(32, 3)},
      {block + "self_attn.v_proj.weight", dtype, {4, 8}, counted(32, 4)},
      {block + "self_attn.o_proj.weight", dtype, {8, 8}, counted(64, 5)},
      {block + "post_attention_layernorm.weight", dtype, {8}, counted(8, 6)},
      {block + "mlp.gate_proj.weight", dtype, {6, 8}, counted(48, 7)},
      {block + "mlp.up_proj.weight", dtype, {6, 8}, counted(48, 8)},
      {block + "mlp.down_proj.weight", dtype, {8, 6}, counted(48, 9)},
      {"model.norm.weight", dtype, {8}, counted(8, 10)},
  };
  if (biases) {
    out.push_back({block + "self_attn.q_proj.bias", dtype, {8}, counted(8, 20)});
    out.push_back({block + "self_attn.k_proj.bias", dtype, {4}, counted(4, 30)});
    out.push_back({block + "self_attn.v_proj.bias", dtype, {4}, counted(4, 40)});
  }
  if (head_norms) {
    out.push_back({block + "self_attn.q_norm.weight", dtype, {4}, counted(4, 50)});
    out.push_back({block + "self_attn.k_norm.weight", dtype, {4}, counted(4, 60)});
  }
  if (output) out.push_back({"lm_head.weight", dtype, {10, 8}, counted(80, 11)});
  return out;
}

// `more` begins with a comma.
inline std::string config_of(const std::string& architecture, const std::string& more = "") {
  return R"({"architectures":[")" + architecture +
         R"("],"hidden_size":8,"intermediate_size":6,"num_hidden_layers":1,"num_attention_heads":2,)"
         R"("num_key_value_heads":1,"max_position_embeddings":64,"vocab_size":10,"rms_norm_eps":1e-05)" +
         more + "}";
}

inline constexpr char byte_level[] =
    R"({"model":{"type":"BPE","vocab":{"a":0,"b":1,"\u0120":2,"ab":3,"\u0120a":4},"merges":["a b",["\u0120","a"]]},)"
    R"("pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":)"
    R"("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},)"
    R"("behavior":"Isolated"},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]},)"
    R"("normalizer":{"type":"NFC"},"added_tokens":[{"id":5,"content":"<|end|>","special":true},)"
    R"({"id":6,"content":"<tool>","special":false},{"id":7,"content":"<|odd|>","special":false}]})";

inline constexpr char sentence_piece[] =
    R"({"model":{"type":"BPE","unk_token":"<unk>","byte_fallback":true,"vocab":{"<unk>":0,"<s>":1,"</s>":2,"<0x0A>":3,)"
    R"("\u2581":4,"a":5,"b":6,"ab":7,"\u2581a":8},"merges":["a b","\u2581 a"]},)"
    R"("normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"\u2581"},)"
    R"({"type":"Replace","pattern":{"String":" "},"content":"\u2581"}]},)"
    R"("post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},)"
    R"({"Sequence":{"id":"A","type_id":0}}]},"added_tokens":[{"id":0,"content":"<unk>","special":true},)"
    R"({"id":1,"content":"<s>","special":true},{"id":2,"content":"</s>","special":true}]})";

}  // namespace hartonomous::checkpoint_test
