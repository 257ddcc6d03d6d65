// Reading keys (keys.hpp).
#include "architecture/keys.hpp"

#include "hartonomous/error.hpp"

#include <algorithm>
#include <cmath>

namespace hartonomous::architecture_detail {
namespace {

constexpr std::uint64_t max_number = std::uint64_t{1} << 30;

// Keys of llama.cpp (src/llama-arch.cpp of v0.5.0) that change what some architecture computes. Sizes are not among
// them: tensors would not have the shapes that follow from the others.
constexpr const char* arithmetic_keys[] = {"activation.situ_beta",
                                           "attention.clamp_kqv",
                                           "attention.indexer.top_k",
                                           "attention.max_alibi_bias",
                                           "attention.output_scale",
                                           "attention.recurrent_layers",
                                           "attention.rope_pattern",
                                           "attention.shared_kv_layers",
                                           "attention.temperature_length",
                                           "attention.temperature_scale",
                                           "attention.value_scale",
                                           "attn_logit_softcapping",
                                           "attn_res.block_size",
                                           "embedding_scale",
                                           "expert_group_scale",
                                           "expert_weights_scale",
                                           "final_logit_softcapping",
                                           "full_attention_interval",
                                           "hyper_connection.count",
                                           "interleave_moe_layer_step",
                                           "leading_dense_block_count",
                                           "logit_scale",
                                           "moe_every_n_layers",
                                           "nextn_predict_layers",
                                           "num_loops",
                                           "rescale_every_n_layers",
                                           "residual_scale",
                                           "rope.dimension_sections",
                                           "rope.scaling.alpha",
                                           "rope.scaling.yarn_attn_factor",
                                           "rope.scaling.yarn_ext_factor",
                                           "rope.scaling.yarn_log_multiplier",
                                           "router_logit_softcapping",
                                           "swiglu_clamp_exp",
                                           "swiglu_clamp_shexp",
                                           "use_parallel_residual"};

}  // namespace

void not_supported(const std::string& message, source_location thrown) {
  throw error(sqlstate::feature_not_supported, message, {}, {}, thrown);
}
void broken(const std::string& message, source_location thrown) {
  throw error(sqlstate::object_not_in_prerequisite_state, message, {}, {}, thrown);
}

std::optional<std::uint32_t> keys::number(const std::string& key) const {
  const std::string name = name_of(key);
  const gguf_kv* kv = metadata_.find(name);
  if (kv == nullptr) return std::nullopt;
  const std::uint64_t value = kv->type == gguf_type::array ? common(name) : *metadata_.get_uint(name);
  if (value > max_number) broken("key \"" + name + "\" is " + std::to_string(value));
  return static_cast<std::uint32_t>(value);
}

std::uint32_t keys::positive(const std::string& key, std::optional<std::uint32_t> otherwise) const {
  const std::optional<std::uint32_t> found = number(key);
  if (!found && !otherwise) broken("the model has no key \"" + prefix_ + key + "\"");
  const std::uint32_t value = found ? *found : *otherwise;
  if (value == 0) broken("key \"" + prefix_ + key + "\" is 0");
  return value;
}

std::optional<std::vector<bool>> keys::flags(const std::string& key, std::uint32_t blocks) const {
  const gguf_kv* kv = metadata_.find(name_of(key));
  if (kv == nullptr || kv->type != gguf_type::array) return std::nullopt;
  std::vector<bool> flags;
  if (kv->element == gguf_type::boolean) {
    for (const char byte : kv->payload) flags.push_back(byte != 0);
  } else {
    const std::vector<std::int64_t> values = *metadata_.get_ints(prefix_ + key);
    for (const std::int64_t value : values) flags.push_back(value != 0);
  }
  if (flags.size() != blocks) broken("key \"" + prefix_ + key + "\" does not have one value for each block");
  return flags;
}

std::optional<double> keys::real(const std::string& key) const {
  const std::optional<double> value = metadata_.get_float(name_of(key));
  if (value && !std::isfinite(*value)) broken("key \"" + prefix_ + key + "\" is not finite");
  return value;
}

double keys::required_real(const std::string& key) const {
  const std::optional<double> value = real(key);
  if (!value) broken("the model has no key \"" + prefix_ + key + "\"");
  return *value;
}

std::string keys::name_of(const std::string& key) const {
  read_.insert(key);
  return prefix_ + key;
}

void keys::check_others() const {
  if (!flag("attention.causal").value_or(true)) refuse("attention.causal");
  for (const char* key : arithmetic_keys) {
    const gguf_kv* kv = metadata_.find(prefix_ + key);
    if (kv != nullptr && !was_read(key) && !changes_nothing(*kv)) {
      not_supported("key \"" + kv->key + "\" is not known to models of this architecture");
    }
  }
}

// Whether all values are 0 or false; scales may be 1.
bool keys::changes_nothing(const gguf_kv& kv) const {
  const bool is_scale = kv.key.find("scale") != std::string::npos;
  if (kv.element == gguf_type::string) return false;
  if (kv.type != gguf_type::array && (kv.element == gguf_type::f32 || kv.element == gguf_type::f64)) {
    const double value = *metadata_.get_float(kv.key);
    return value == 0.0 || (is_scale && value == 1.0);
  }
  return std::all_of(kv.payload.begin(), kv.payload.end(), [](char byte) { return byte == 0; });
}

// The value of an array of one number per block, all of which must be equal.
std::uint64_t keys::common(const std::string& name) const {
  const std::vector<std::int64_t> values = *metadata_.get_ints(name);
  if (values.empty() || values.front() < 0) broken("key \"" + name + "\" is empty or negative");
  if (std::any_of(values.begin(), values.end(), [&](std::int64_t v) { return v != values.front(); })) {
    not_supported("key \"" + name + "\" differs between blocks");
  }
  return static_cast<std::uint64_t>(values.front());
}

}  // namespace hartonomous::architecture_detail
