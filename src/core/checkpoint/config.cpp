// Reading config.json, and saying it in GGUF's keys.
#include "checkpoint/config.hpp"

#include <cmath>
#include <cstdint>
#include <string_view>

#include "bytes/text.hpp"

namespace hartonomous::checkpoint_detail {

namespace {

struct known_architecture {
  const char* hugging_face;
  const char* gguf;
};
constexpr known_architecture architectures[] = {
    {"LlamaForCausalLM", "llama"}, {"Qwen2ForCausalLM", "qwen2"}, {"Qwen3ForCausalLM", "qwen3"}};

std::string read_architecture(const members& config) {
  const json& names = config.at("architectures");
  if (!names.is_array() || names.size() != 1) refuse("config: architectures is not an array of one name");
  std::string_view const name = text_of(names.front(), "config: architectures[0]");
  for (const known_architecture& a : architectures) {
    if (name == a.hugging_face) return a.gguf;
  }
  not_supported("unknown architecture " + show_name(name),
                "Known are LlamaForCausalLM, Qwen2ForCausalLM and Qwen3ForCausalLM.");
}

// Llama 3.1's rule: long wavelengths are slowed down by the factor, short ones left, those between blended.
std::vector<float> llama3_factors(const network_config& network, const members& rope) {
  double const factor = rope.number("factor").value_or(8);
  double const low = rope.number("low_freq_factor").value_or(1);
  double const high = rope.number("high_freq_factor").value_or(4);
  double const context = rope.natural("original_max_position_embeddings").value_or(8192);
  if (!(factor > 0 && low > 0 && high > low && context > 0)) refuse("config: rope_scaling has factors out of range");
  std::vector<float> factors;
  for (std::uint32_t i = 0; i < network.head_width / 2; ++i) {
    double const frequency = std::pow(network.frequency_base, -2.0 * i / network.head_width);
    double const wavelength = 2 * 3.14159265358979323846 / frequency;
    double const smooth = (context / wavelength - low) / (high - low);
    double const blended = wavelength < context / high  ? 1
                           : wavelength > context / low ? factor
                                                        : 1 / ((1 - smooth) / factor + smooth);
    factors.push_back(static_cast<float>(blended));
  }
  return factors;
}

// Newer versions of transformers write rope_parameters, which hold rope_theta too.
void read_rope(const members& config, network_config& network) {
  const json* parameters = config.find("rope_parameters");
  const json* scaling = parameters != nullptr ? parameters : config.find("rope_scaling");
  network.frequency_base = static_cast<float>(config.number("rope_theta").value_or(10000));
  if (scaling == nullptr) return;
  members const rope(*scaling, parameters != nullptr ? "config: rope_parameters." : "config: rope_scaling.");
  if (auto const base = rope.number("rope_theta")) network.frequency_base = static_cast<float>(*base);
  std::string const old_type = rope.text("type").value_or("default");
  std::string const type = rope.text("rope_type").value_or(old_type);
  if (type == "default") return;
  if (type == "llama3") {
    network.frequency_factors = llama3_factors(network, rope);
  } else if (type == "linear" || type == "yarn") {
    double const factor = rope.number("factor").value_or(1);
    network.frequency_scaling = {type, static_cast<float>(factor), rope.natural("original_max_position_embeddings")};
  } else {
    not_supported("unknown scaling of positions " + show_name(type), "Known are linear, yarn and llama3.");
  }
}

void check_plain(const members& config) {
  std::string const activation = config.text("hidden_act").value_or("silu");
  if (activation != "silu") not_supported("unknown activation " + show_name(activation), "Known is silu.");
  if (config.flag("use_sliding_window").value_or(false))
    not_supported("attention in a sliding window is not supported");
  if (config.find("quantization_config") != nullptr) not_supported("quantized checkpoints are not supported");
}

std::optional<std::uint32_t> read_token(const members& config, const char* key) {
  const json* value = config.find(key);
  if (value == nullptr) return std::nullopt;
  bool const list = value->is_array() && !value->empty();  // several ends of text: the first is the main one
  return natural_of(list ? value->front() : *value, config.name(key));
}

}  // namespace

network_config read_config(const json& value) {
  members const config(value, "config: ");
  network_config network = {};
  network.architecture = read_architecture(config);
  check_plain(config);
  network.blocks = config.positive("num_hidden_layers");
  network.width = config.positive("hidden_size");
  network.inner = config.positive("intermediate_size");
  network.heads = config.positive("num_attention_heads");
  network.key_heads = config.natural("num_key_value_heads").value_or(network.heads);
  network.context = config.positive("max_position_embeddings");
  network.vocabulary = config.positive("vocab_size");
  network.head_width = config.natural("head_dim").value_or(network.width / network.heads);
  if (network.key_heads == 0 || network.heads % network.key_heads != 0) {
    refuse("config: num_attention_heads is not a multiple of num_key_value_heads");
  }
  constexpr std::uint32_t widest_head = 65536;
  if (network.head_width == 0 || network.head_width % 2 != 0 || network.head_width > widest_head) {
    refuse("config: the width of a head is " + std::to_string(network.head_width) + ", not an even number up to 65536");
  }
  if (config.find("head_dim") == nullptr && network.width % network.heads != 0) {
    refuse("config: hidden_size is not a multiple of num_attention_heads");
  }
  network.tied = config.flag("tie_word_embeddings").value_or(false);
  network.epsilon = static_cast<float>(config.number("rms_norm_eps").value_or(1e-6));
  network.bos = read_token(config, "bos_token_id");
  network.eos = read_token(config, "eos_token_id");
  network.padding = read_token(config, "pad_token_id");
  read_rope(config, network);
  return network;
}

void describe(const network_config& config, gguf_metadata& metadata) {
  std::string const prefix = config.architecture + ".";
  auto const set = [&](const char* key, std::uint32_t value) { metadata.set_uint32(prefix + key, value); };
  metadata.set_string("general.architecture", config.architecture);
  set("block_count", config.blocks);
  set("context_length", config.context);
  set("embedding_length", config.width);
  set("feed_forward_length", config.inner);
  set("attention.head_count", config.heads);
  set("attention.head_count_kv", config.key_heads);
  set("attention.key_length", config.head_width);
  set("attention.value_length", config.head_width);
  metadata.set_float(prefix + "attention.layer_norm_rms_epsilon", config.epsilon);
  metadata.set_float(prefix + "rope.freq_base", config.frequency_base);
  set("rope.dimension_count", config.head_width);
  set("vocab_size", config.vocabulary);
  if (config.frequency_scaling) {
    metadata.set_string(prefix + "rope.scaling.type", config.frequency_scaling->type);
    metadata.set_float(prefix + "rope.scaling.factor", config.frequency_scaling->factor);
    if (config.frequency_scaling->original_context) {
      set("rope.scaling.original_context_length", *config.frequency_scaling->original_context);
    }
  }
}

}  // namespace hartonomous::checkpoint_detail
