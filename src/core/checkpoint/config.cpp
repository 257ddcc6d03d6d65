// Reading config.json, and saying it in GGUF's keys.
#include "checkpoint/config.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <cstdint>
#include <string_view>

#include "bytes/text.hpp"

namespace hartonomous::checkpoint_detail {

namespace {

struct known_architecture {
  const char* hugging_face;
  const char* gguf;
  // Attention is in a window wherever the config has one, or says nothing of it; otherwise use_sliding_window says so.
  bool has_window;
};
constexpr known_architecture architectures[] = {{"LlamaForCausalLM", "llama", false},
                                                {"MistralForCausalLM", "llama", true},
                                                {"Qwen2ForCausalLM", "qwen2", false},
                                                {"Qwen3ForCausalLM", "qwen3", false}};

const known_architecture& read_architecture(const members& config) {
  const json& names = config.at("architectures");
  if (!names.is_array() || names.size() != 1) refuse("config: architectures is not an array of one name");
  std::string_view const name = text_of(names.front(), "config: architectures[0]");
  for (const known_architecture& a : architectures) {
    if (name == a.hugging_face) return a;
  }
  not_supported("unknown architecture " + show_name(name),
                "Known are LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM and Qwen3ForCausalLM.");
}

// Positions that turn only a part of each head.
void require_whole_heads(const members& at) {
  for (const char* key : {"partial_rotary_factor", "rotary_pct", "rope_pct"}) {
    if (at.number(key).value_or(1) != 1) not_supported(at.name(key) + " is not 1");
  }
}

// Llama 3.1's rule: long wavelengths are slowed down by the factor, short ones left, those between blended.
std::vector<float> llama3_factors(const network_config& network, const members& rope,
                                  std::optional<std::uint32_t> original) {
  const double factor = rope.number("factor").value_or(8);
  const double low = rope.number("low_freq_factor").value_or(1);
  const double high = rope.number("high_freq_factor").value_or(4);
  const double context = original.value_or(8192);
  if (!(factor > 0 && low > 0 && high > low && context > 0)) refuse("config: rope_scaling has factors out of range");
  std::vector<float> factors;
  for (std::uint32_t i = 0; i < network.head_width / 2; ++i) {
    const double frequency = std::pow(network.frequency_base, -2.0 * i / network.head_width);
    const double wavelength = 2 * 3.14159265358979323846 / frequency;
    const double smooth = (context / wavelength - low) / (high - low);
    const double blended = wavelength < context / high  ? 1
                           : wavelength > context / low ? factor
                                                        : 1 / ((1 - smooth) / factor + smooth);
    factors.push_back(static_cast<float>(blended));
  }
  return factors;
}

// What YaRN multiplies queries and keys with in transformers: a number of the config, or a function of the factor.
double yarn_magnitude(const members& rope, double factor) {
  const auto grown = [&](double scale) { return factor <= 1 ? 1 : 0.1 * scale * std::log(factor) + 1; };
  if (const auto given = rope.number("attention_factor")) return *given;
  const double scale = rope.number("mscale").value_or(0);
  const double scale_of_all = rope.number("mscale_all_dim").value_or(0);
  return scale != 0 && scale_of_all != 0 ? grown(scale) / grown(scale_of_all) : grown(1);
}

// What the converter of llama.cpp and others read, and transformers does not, in other senses than that of 1.
void require_one(const members& rope, const char* key) {
  if (rope.number(key).value_or(1) != 1) not_supported(rope.name(key) + " is not 1");
}

void read_yarn(const members& rope, network_config::scaling& scaling) {
  if (!rope.flag("truncate").value_or(true)) not_supported(rope.name("truncate") + " is false");
  require_one(rope, "attn_factor");
  require_one(rope, "extrapolation_factor");
  // llama.cpp multiplies with what the factor implies in any case.
  const double implied = scaling.factor <= 1 ? 1 : 0.1 * std::log(scaling.factor) + 1;
  const double magnitude = yarn_magnitude(rope, scaling.factor);
  if (!(magnitude > 0)) refuse("config: rope_scaling has factors out of range");
  if (magnitude != implied) scaling.magnitude = magnitude / implied;
  // 0 counts as missing in transformers, too.
  const double fast = rope.number("beta_fast").value_or(0);
  const double slow = rope.number("beta_slow").value_or(0);
  if (fast != 0) scaling.beta_fast = fast;
  if (slow != 0) scaling.beta_slow = slow;
  const double slowest = scaling.beta_slow.value_or(1);
  if (!(slowest > 0 && scaling.beta_fast.value_or(32) > slowest)) {
    refuse("config: rope_scaling has factors out of range");
  }
}

// Positions are scaled in many ways: a member that is not known here may change them.
void check_rope_members(const json& rope, const std::string& where) {
  static constexpr const char* known[] = {
      "type",      "rope_type",           "rope_theta",      "factor",           "original_max_position_embeddings",
      "beta_fast", "beta_slow",           "mscale",          "mscale_all_dim",   "attention_factor",
      "truncate",  "attn_factor",         "low_freq_factor", "high_freq_factor", "partial_rotary_factor",
      "finetuned", "extrapolation_factor"};
  for (const auto& item : rope.items()) {
    const bool is_known = std::any_of(std::begin(known), std::end(known), [&](auto k) { return item.key() == k; });
    if (!is_known && !item.value().is_null()) not_supported("unknown member " + where + item.key());
  }
}

double read_factor(const members& rope, const network_config& network, std::optional<std::uint32_t> original) {
  std::optional<double> factor = rope.number("factor");
  if (!factor && original && *original > 0) factor = static_cast<double>(network.context) / *original;
  if (!factor) refuse(rope.name("factor") + " is missing");
  if (!(*factor > 0)) refuse("config: rope_scaling has factors out of range");
  return *factor;
}

// Newer versions of transformers write rope_parameters, which hold rope_theta too.
void read_rope(const members& config, network_config& network) {
  const json* parameters = config.find("rope_parameters");
  const json* scaling = parameters != nullptr ? parameters : config.find("rope_scaling");
  network.frequency_base = static_cast<float>(config.number("rope_theta").value_or(10000));
  if (scaling == nullptr) return;
  std::string const where = parameters != nullptr ? "config: rope_parameters." : "config: rope_scaling.";
  const members rope(*scaling, where);
  if (const auto base = rope.number("rope_theta")) network.frequency_base = static_cast<float>(*base);
  require_whole_heads(rope);
  std::string const old_type = rope.text("type").value_or("default");
  std::string const type = rope.text("rope_type").value_or(old_type);
  if (rope.find("full_attention") != nullptr || rope.find("sliding_attention") != nullptr) {
    not_supported("positions that differ between kinds of layers are not supported");
  }
  if (type == "default") return;
  if (type != "llama3" && type != "linear" && type != "yarn") {
    not_supported("unknown scaling of positions " + show_name(type), "Known are linear, yarn and llama3.");
  }
  check_rope_members(*scaling, where);
  const auto original = rope.find("original_max_position_embeddings") != nullptr
                            ? rope.natural("original_max_position_embeddings")
                            : config.natural("original_max_position_embeddings");
  if (type == "llama3") {
    network.frequency_factors = llama3_factors(network, rope, original);
    return;
  }
  network_config::scaling out;
  out.type = type;
  out.factor = read_factor(rope, network, type == "yarn" ? original : std::nullopt);
  out.original_context = original;
  if (type == "yarn") read_yarn(rope, out);
  network.frequency_scaling = out;
}

// Layers whose attention does not reach back to the beginning, looks ahead, or is none.
void check_attention(const members& config, const known_architecture& architecture, const network_config& network) {
  const bool is_on = architecture.has_window ? config.find("sliding_window") != nullptr || !config.has("sliding_window")
                                             : config.flag("use_sliding_window").value_or(false) &&
                                                   config.natural("max_window_layers").value_or(0) < network.blocks;
  if (is_on && config.natural("sliding_window").value_or(0) < network.context) {
    not_supported("attention in a sliding window is not supported",
                  "The window is shorter than max_position_embeddings.");
  }
  if (const json* kinds = config.find("layer_types")) {
    if (!kinds->is_array()) refuse("config: layer_types is not an array");
    for (const json& kind : *kinds) {
      std::string_view const name = text_of(kind, "config: layer_types[]");
      if (name != "full_attention") not_supported("layers of type " + show_name(name) + " are not supported");
    }
  }
  if (!config.flag("is_causal").value_or(true)) not_supported("attention that looks ahead is not supported");
}

void check_plain(const members& config) {
  std::string const activation = config.text("hidden_act").value_or("silu");
  if (activation != "silu" && activation != "swish") {  // two names of one function
    not_supported("unknown activation " + show_name(activation), "Known is silu, which is also called swish.");
  }
  for (const char* key : {"quantization_config", "compression_config"}) {
    if (config.find(key) != nullptr) not_supported("quantized checkpoints are not supported");
  }
  require_whole_heads(config);
}

std::optional<std::uint32_t> read_token(const members& config, const char* key) {
  const json* value = config.find(key);
  if (value == nullptr) return std::nullopt;
  const bool list = value->is_array() && !value->empty();  // several ends of text: the first is the main one
  const json& first = list ? value->front() : *value;
  if (first.is_number_integer() && first == -1) return std::nullopt;  // as old configs say that there is none
  return natural_of(first, config.name(key));
}

}  // namespace

network_config read_config(const json& value) {
  const members config(value, "config: ");
  network_config network = {};
  const known_architecture& architecture = read_architecture(config);
  network.architecture = architecture.gguf;
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
  check_attention(config, architecture, network);
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
  const auto set = [&](const char* key, std::uint32_t value) { metadata.set_uint32(prefix + key, value); };
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
    const auto number = [&](const char* key, std::optional<double> value) {
      if (value) metadata.set_float(prefix + key, static_cast<float>(*value));
    };
    number("rope.scaling.factor", config.frequency_scaling->factor);
    if (config.frequency_scaling->original_context) {
      set("rope.scaling.original_context_length", *config.frequency_scaling->original_context);
    }
    number("rope.scaling.attn_factor", config.frequency_scaling->magnitude);
    number("rope.scaling.yarn_beta_fast", config.frequency_scaling->beta_fast);
    number("rope.scaling.yarn_beta_slow", config.frequency_scaling->beta_slow);
  }
}

}  // namespace hartonomous::checkpoint_detail
