// Hyperparameters from a GGUF file's metadata, and back (hartonomous/hyperparameters.hpp): the part that all
// architectures share.
#include "hartonomous/hyperparameters.hpp"

#include "architecture/keys.hpp"
#include "architecture/registry.hpp"

#include <cmath>

namespace hartonomous {
namespace {

using architecture_detail::broken;
using architecture_detail::keys;
using architecture_detail::not_supported;

void read_scaling(const keys& key, hyperparameters& c) {
  const std::string type = key.text("rope.scaling.type").value_or("linear");
  c.long_factors = type == "longrope" && c.architecture->parts.long_factors;
  if (type != "none" && type != "linear" && type != "yarn" && !c.long_factors) {
    not_supported("position scaling \"" + type + "\" is not known to models of architecture " + c.architecture->name);
  }
  double factor = key.real("rope.scaling.factor").value_or(key.real("rope.scale_linear").value_or(0.0));
  if (factor < 0.0) broken("the factor of position scaling is negative");
  if (type == "none" || factor == 0.0) factor = 1.0;
  c.rope.scaling = type == "yarn"   ? rope_scaling::yarn
                   : type == "none" ? rope_scaling::none
                                    : rope_scaling::linear;  // also with factors of its own, as those of longrope
  c.rope.factor = factor;
  c.rope.original_context = key.positive("rope.scaling.original_context_length", c.context);
  c.rope.magnitude = key.real("rope.scaling.attn_factor");
  c.rope.beta_fast = key.real("rope.scaling.yarn_beta_fast");
  c.rope.beta_slow = key.real("rope.scaling.yarn_beta_slow");
}

void write_scaling(const rope_parameters& rope, const std::string& prefix, gguf_metadata& metadata) {
  if (rope.scaling == rope_scaling::none) return;
  const auto set = [&](const char* key, std::optional<double> value) {
    if (value) metadata.set_float(prefix + key, static_cast<float>(*value));
  };
  metadata.set_string(prefix + "type", rope.scaling == rope_scaling::yarn ? "yarn" : "linear");
  set("factor", rope.factor);
  if (rope.original_context) metadata.set_uint32(prefix + "original_context_length", *rope.original_context);
  set("attn_factor", rope.magnitude);
  set("yarn_beta_fast", rope.beta_fast);
  set("yarn_beta_slow", rope.beta_slow);
}

void read_rope(const keys& key, hyperparameters& c) {
  c.rope.pairs = c.architecture->pairs;
  c.rope.dimensions = key.positive("rope.dimension_count", c.head_size);
  if (c.rope.dimensions % 2 != 0 || c.rope.dimensions > c.head_size ||
      (c.architecture->turns_whole_heads && c.rope.dimensions != c.head_size)) {
    broken("rotary positions of " + std::to_string(c.rope.dimensions) + " dimensions do not fit heads of " +
           std::to_string(c.head_size));
  }
  c.rope.base = key.real("rope.freq_base").value_or(10000.0);
  if (c.rope.base <= 1.0) broken("the base of rotary positions is not above 1");
  read_scaling(key, c);
}

void read_heads(const keys& key, hyperparameters& c) {
  c.kv_heads = key.positive("attention.head_count_kv", c.heads);
  if (c.heads % c.kv_heads != 0) {
    broken(std::to_string(c.heads) + " heads cannot share " + std::to_string(c.kv_heads) + " heads of keys and values");
  }
  c.head_size = key.positive("attention.key_length", c.width / c.heads);
  if (key.positive("attention.value_length", c.head_size) != c.head_size) {
    not_supported("heads whose values have another size than keys are not known");
  }
  const double scale = key.real("attention.scale").value_or(0.0);
  c.attention_scale = static_cast<float>(scale != 0.0 ? scale : 1.0 / std::sqrt(static_cast<double>(c.head_size)));
}

void read_routing(const keys& key, hyperparameters& c) {
  if (c.experts == 0) {
    if (key.number("expert_count").value_or(0) == 0) return;
    not_supported(std::string("models of architecture ") + c.architecture->name + " with experts cannot be run");
  }
  if (c.experts_used > c.experts) {
    broken(std::to_string(c.experts_used) + " experts of " + std::to_string(c.experts) + " cannot be used");
  }
  if (key.number("expert_group_count").value_or(0) > 1) not_supported("experts in groups are not known");
  const router_weights weights = c.architecture->parts.router;
  // Numbers of GGUF: 1 is the softmax of all experts, 3 that of the chosen ones.
  const std::uint32_t function = key.number("expert_gating_func").value_or(0);
  if (function != 0 && function != (weights == router_weights::softmax ? 3 : 1)) key.refuse("expert_gating_func");
  const bool shares = weights == router_weights::shares;
  if (weights != router_weights::softmax && key.flag("expert_weights_norm").value_or(shares) != shares) {
    key.refuse("expert_weights_norm");
  }
}

// A window that is not shorter than the context is none.
void check_window(const keys& key, const hyperparameters& c) {
  const std::uint32_t window = key.number("attention.sliding_window").value_or(0);
  if (window != 0 && window < c.context) not_supported("attention in a sliding window is not known");
}

}  // namespace

hyperparameters read_hyperparameters(const gguf_metadata& metadata) {
  hyperparameters c;
  c.architecture = &architecture_detail::find_architecture(metadata.get_string("general.architecture").value_or(""));
  const keys key(metadata, c.architecture->name);
  for (const named_size& size : c.architecture->sizes) c.*size.value = key.positive(size.key);
  c.epsilon = static_cast<float>(key.required_real(c.architecture->parts.norm == norm_kind::layer
                                                       ? "attention.layer_norm_epsilon"
                                                       : "attention.layer_norm_rms_epsilon"));
  read_heads(key, c);
  if (!c.architecture->parts.learned_positions) read_rope(key, c);
  if (c.architecture->read_more != nullptr) c.architecture->read_more(key, c);
  read_routing(key, c);
  if (!key.was_read("attention.sliding_window")) check_window(key, c);
  key.check_others();
  return c;
}

void write_hyperparameters(const hyperparameters& c, std::uint32_t vocabulary, gguf_metadata& metadata) {
  const std::string prefix = std::string(c.architecture->name) + ".";
  const auto set = [&](const char* key, std::uint32_t value) { metadata.set_uint32(prefix + key, value); };
  metadata.set_string("general.architecture", c.architecture->name);
  for (const named_size& size : c.architecture->sizes) set(size.key, c.*size.value);
  set("attention.head_count_kv", c.kv_heads);
  set("attention.key_length", c.head_size);
  set("attention.value_length", c.head_size);
  metadata.set_float(prefix + "attention.layer_norm_rms_epsilon", c.epsilon);
  metadata.set_float(prefix + "rope.freq_base", static_cast<float>(c.rope.base));
  set("rope.dimension_count", c.rope.dimensions);
  set("vocab_size", vocabulary);
  write_scaling(c.rope, prefix + "rope.scaling.", metadata);
}

}  // namespace hartonomous
