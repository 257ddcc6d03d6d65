// Reading config.json (config.hpp).
#include "checkpoint/config.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <cstdint>
#include <string_view>

#include "architecture/registry.hpp"
#include "bytes/text.hpp"
#include "checkpoint/config_members.hpp"

namespace hartonomous::checkpoint_detail {

namespace {

using architecture_detail::known_checkpoint;

known_checkpoint read_architecture(const members& config) {
  const json& names = config.at("architectures");
  if (!names.is_array() || names.size() != 1) refuse("config: architectures is not an array of one name");
  return architecture_detail::find_checkpoint_class(text_of(names.front(), "config: architectures[0]"));
}

// Rotary positions of only a part of each head are not supported.
void require_whole_heads(const members& at) {
  for (const char* key : {"partial_rotary_factor", "rotary_pct", "rope_pct"}) {
    if (at.number(key).value_or(1) != 1) not_supported(at.name(key) + " is not 1");
  }
}

// Llama 3.1's rule: the frequencies of long wavelengths are divided by the factor, those of short ones are unchanged,
// and those between are blended.
std::vector<float> llama3_factors(const hyperparameters& network, const members& rope,
                                  std::optional<std::uint32_t> original) {
  const double factor = rope.number("factor").value_or(8);
  const double low = rope.number("low_freq_factor").value_or(1);
  const double high = rope.number("high_freq_factor").value_or(4);
  const double context = original.value_or(8192);
  if (!(factor > 0 && low > 0 && high > low && context > 0)) refuse("config: rope_scaling has factors out of range");
  std::vector<float> factors;
  for (std::uint32_t i = 0; i < network.head_size / 2; ++i) {
    const double frequency = std::pow(network.rope.base, -2.0 * i / network.head_size);
    const double wavelength = 2 * 3.14159265358979323846 / frequency;
    const double smooth = (context / wavelength - low) / (high - low);
    const double blended = wavelength < context / high  ? 1
                           : wavelength > context / low ? factor
                                                        : 1 / ((1 - smooth) / factor + smooth);
    factors.push_back(static_cast<float>(blended));
  }
  return factors;
}

// The factor of queries and keys that transformers uses for YaRN: a number of the config, or a function of the factor.
double yarn_magnitude(const members& rope, double factor) {
  const auto grown = [&](double scale) { return factor <= 1 ? 1 : 0.1 * scale * std::log(factor) + 1; };
  if (const auto given = rope.number("attention_factor")) return *given;
  const double scale = rope.number("mscale").value_or(0);
  const double scale_of_all = rope.number("mscale_all_dim").value_or(0);
  return scale != 0 && scale_of_all != 0 ? grown(scale) / grown(scale_of_all) : grown(1);
}

// These members have a meaning only for llama.cpp's converter and others, not for transformers, so only the value 1 is
// accepted.
void require_one(const members& rope, const char* key) {
  if (rope.number(key).value_or(1) != 1) not_supported(rope.name(key) + " is not 1");
}

void read_yarn(const members& rope, rope_parameters& out) {
  if (!rope.flag("truncate").value_or(true)) not_supported(rope.name("truncate") + " is false");
  require_one(rope, "attn_factor");
  require_one(rope, "extrapolation_factor");
  // llama.cpp always multiplies by the value that the factor implies.
  const double implied = out.factor <= 1 ? 1 : 0.1 * std::log(out.factor) + 1;
  const double magnitude = yarn_magnitude(rope, out.factor);
  if (!(magnitude > 0)) refuse("config: rope_scaling has factors out of range");
  if (magnitude != implied) out.magnitude = magnitude / implied;
  // transformers treats 0 as missing, too.
  const double fast = rope.number("beta_fast").value_or(0);
  const double slow = rope.number("beta_slow").value_or(0);
  if (fast != 0) out.beta_fast = fast;
  if (slow != 0) out.beta_slow = slow;
  const double slowest = out.beta_slow.value_or(1);
  if (!(slowest > 0 && out.beta_fast.value_or(32) > slowest)) {
    refuse("config: rope_scaling has factors out of range");
  }
}

// A member that is not known here may change how positions are scaled.
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

double read_factor(const members& rope, const hyperparameters& network, std::optional<std::uint32_t> original) {
  std::optional<double> factor = rope.number("factor");
  if (!factor && original && *original > 0) factor = static_cast<double>(network.context) / *original;
  if (!factor) refuse(rope.name("factor") + " is missing");
  if (!(*factor > 0)) refuse("config: rope_scaling has factors out of range");
  return *factor;
}

// Newer versions of transformers write rope_parameters, which also hold rope_theta.
void read_rope(const members& config, checkpoint_config& out) {
  hyperparameters& network = out.network;
  const json* parameters = config.find("rope_parameters");
  const json* scaling = parameters != nullptr ? parameters : config.find("rope_scaling");
  const auto as_float = [](double value) { return static_cast<double>(static_cast<float>(value)); };
  network.rope.base = as_float(config.number("rope_theta").value_or(10000));
  if (scaling == nullptr) return;
  std::string const where = parameters != nullptr ? "config: rope_parameters." : "config: rope_scaling.";
  const members rope(*scaling, where);
  if (const auto base = rope.number("rope_theta")) network.rope.base = as_float(*base);
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
    out.rope_factors = llama3_factors(network, rope, original);
    return;
  }
  network.rope.scaling = type == "yarn" ? rope_scaling::yarn : rope_scaling::linear;
  network.rope.factor = read_factor(rope, network, type == "yarn" ? original : std::nullopt);
  network.rope.original_context = original;
  if (type == "yarn") read_yarn(rope, network.rope);
}

// Refuses layers with a limited window, with attention to later tokens, or without attention.
void check_attention(const members& config, const checkpoint_class& model_class, const hyperparameters& network) {
  const bool is_on = model_class.has_window ? config.find("sliding_window") != nullptr || !config.has("sliding_window")
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
  if (activation != "silu" && activation != "swish") {  // two names of the same function
    not_supported("unknown activation " + show_name(activation), "Known is silu, which is also called swish.");
  }
  require_whole_heads(config);
}

// The size of blocks: an array of two numbers.
void read_scale_blocks(const members& at, const char* key, checkpoint_config& out) {
  const json* size = at.find(key);
  if (size == nullptr) return;
  if (!size->is_array() || size->size() != 2) refuse(at.name(key) + " is not an array of two numbers");
  out.scale_block_rows = natural_of((*size)[0], at.name(key));
  out.scale_block_columns = natural_of((*size)[1], at.name(key));
  if (out.scale_block_rows == 0 || out.scale_block_columns == 0) refuse(at.name(key) + " is not positive");
}

// llm-compressor's groups say how the layers are quantized, in each group with the same members.
void read_compressed(const members& quantized, checkpoint_config& out) {
  std::string const kind = quantized.text("format").value_or("");
  if (kind != "float-quantized" && kind != "naive-quantized" && kind != "int-quantized") {
    not_supported("checkpoints of format " + show_name(kind) + " are not supported",
                  "Known are float-quantized, int-quantized and naive-quantized.");
  }
  const json* groups = quantized.find("config_groups");
  if (groups == nullptr || !groups->is_object()) return;
  for (const auto& group : groups->items()) {
    const members at(group.value(), quantized.name("config_groups.") + group.key() + ".");
    if (at.find("weights") == nullptr) continue;
    const members weights = at.object("weights");
    if (weights.natural("num_bits").value_or(8) != 8) not_supported(weights.name("num_bits") + " is not 8");
    if (!weights.flag("symmetric").value_or(true)) not_supported(weights.name("symmetric") + " is false");
    read_scale_blocks(weights, "block_structure", out);
  }
}

// Quantized checkpoints whose matrices are 8-bit numbers times factors, which are read as the weights that they stand
// for. Their inputs are not quantized here.
void read_quantization(const members& config, checkpoint_config& out) {
  if (config.find("compression_config") != nullptr) not_supported("quantized checkpoints are not supported");
  if (config.find("quantization_config") == nullptr) return;
  const members quantized = config.object("quantization_config");
  std::string const method = quantized.text("quant_method").value_or("");
  if (method == "compressed-tensors") {
    read_compressed(quantized, out);
  } else if (method == "modelopt") {
    std::string const algorithm = quantized.text("quant_algo").value_or("");
    if (algorithm != "FP8")
      not_supported("quantized checkpoints of method " + show_name(algorithm) + " are not supported");
  } else if (method == "fp8" || method == "fbgemm_fp8") {
    read_scale_blocks(quantized, "weight_block_size", out);
  } else {
    not_supported("quantized checkpoints of method " + show_name(method) + " are not supported",
                  "Known are fp8, fbgemm_fp8, compressed-tensors and modelopt, all with 8 bits.");
  }
}

// The members of PEFT's adapter_config.json, beside those of the base model's config.
void read_adapter(const members& config, checkpoint_config& out) {
  const auto type = config.text("peft_type");
  if (!type) return;
  if (*type != "LORA") not_supported("adapters of type " + show_name(*type) + " are not supported", "Known is LORA.");
  for (const char* key : {"use_dora", "fan_in_fan_out", "lora_bias"}) {
    if (config.flag(key).value_or(false)) not_supported(config.name(key) + " is true");
  }
  for (const char* key : {"alpha_pattern", "modules_to_save", "layer_replication", "trainable_token_indices"}) {
    const json* value = config.find(key);
    if (value != nullptr && !value->empty()) not_supported(config.name(key) + " is not empty");
  }
  double alpha = config.number("lora_alpha").value_or(8);
  if (config.flag("use_rslora").value_or(false)) {  // scaled by alpha / sqrt(rank)
    const json* ranks = config.find("rank_pattern");
    if (ranks != nullptr && !ranks->empty()) not_supported("use_rslora with ranks that differ between tensors");
    alpha *= std::sqrt(static_cast<double>(config.positive("r")));
  }
  out.adapter_alpha = static_cast<float>(alpha);
}

// Only models in which every block has experts are supported, and in which the weights of the experts used are
// normalized to sum to 1, as llama.cpp does.
void check_experts(const members& config, const hyperparameters& network) {
  if (network.experts == 0) return;
  if (network.experts_used > network.experts) refuse("config: num_experts_per_tok is more than num_experts");
  if (!config.flag("norm_topk_prob").value_or(false)) not_supported(config.name("norm_topk_prob") + " is not true");
  if (config.natural("decoder_sparse_step").value_or(1) != 1) {
    not_supported(config.name("decoder_sparse_step") + " is not 1");
  }
  const json* dense = config.find("mlp_only_layers");
  if (dense != nullptr && !dense->empty()) not_supported(config.name("mlp_only_layers") + " is not empty");
}

std::optional<std::uint32_t> read_token(const members& config, const char* key) {
  const json* value = config.find(key);
  if (value == nullptr) return std::nullopt;
  const bool list = value->is_array() && !value->empty();  // several EOS tokens: the first is the main one
  const json& first = list ? value->front() : *value;
  if (first.is_number_integer() && first == -1) return std::nullopt;  // old configs' way of saying that there is none
  return natural_of(first, config.name(key));
}

void read_heads(const members& config, hyperparameters& network) {
  network.kv_heads = config.natural("num_key_value_heads").value_or(network.heads);
  network.head_size = config.natural("head_dim").value_or(network.width / network.heads);
  if (network.kv_heads == 0 || network.heads % network.kv_heads != 0) {
    refuse("config: num_attention_heads is not a multiple of num_key_value_heads");
  }
  constexpr std::uint32_t widest_head = 65536;
  if (network.head_size == 0 || network.head_size % 2 != 0 || network.head_size > widest_head) {
    refuse("config: the width of a head is " + std::to_string(network.head_size) + ", not an even number up to 65536");
  }
  if (config.find("head_dim") == nullptr && network.width % network.heads != 0) {
    refuse("config: hidden_size is not a multiple of num_attention_heads");
  }
  network.attention_scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(network.head_size)));
  network.rope.dimensions = network.head_size;
}

}  // namespace

checkpoint_config read_config(const json& value) {
  const members config(value, "config: ");
  checkpoint_config out;
  hyperparameters& network = out.network;
  const known_checkpoint known = read_architecture(config);
  network.architecture = &known.architecture;
  network.rope.pairs = known.architecture.pairs;
  check_plain(config);
  for (const named_size& size : known.architecture.sizes) network.*size.value = config.positive(size.member);
  out.vocabulary = config.positive("vocab_size");
  read_heads(config, network);
  read_quantization(config, out);
  read_adapter(config, out);
  check_attention(config, known.model_class, network);
  check_experts(config, network);
  out.tied = config.flag("tie_word_embeddings").value_or(false);
  network.epsilon = static_cast<float>(config.number("rms_norm_eps").value_or(1e-6));
  out.bos = read_token(config, "bos_token_id");
  out.eos = read_token(config, "eos_token_id");
  out.padding = read_token(config, "pad_token_id");
  read_rope(config, out);
  if (!out.adapter_alpha) out.unknown_members = check_members(value, known.architecture);
  return out;
}

}  // namespace hartonomous::checkpoint_detail
