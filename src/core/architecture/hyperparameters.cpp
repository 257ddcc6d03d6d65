// Hyperparameters from a GGUF file's metadata (hartonomous/hyperparameters.hpp): what all architectures have in common.
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
  if (type != "none" && type != "linear" && type != "yarn") {
    not_supported("position scaling \"" + type + "\" is not known");
  }
  double factor = key.real("rope.scaling.factor").value_or(key.real("rope.scale_linear").value_or(0.0));
  if (factor < 0.0) broken("the factor of position scaling is negative");
  if (type == "none" || factor == 0.0) factor = 1.0;
  c.rope.scale = 1.0 / factor;
  c.rope.yarn = type == "yarn";
  c.rope.original_context = key.positive("rope.scaling.original_context_length", c.context);
  c.rope.magnitude = key.real("rope.scaling.attn_factor").value_or(1.0);
  c.rope.beta_fast = key.real("rope.scaling.yarn_beta_fast").value_or(32.0);
  c.rope.beta_slow = key.real("rope.scaling.yarn_beta_slow").value_or(1.0);
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
  c.heads = key.positive("attention.head_count");
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

}  // namespace

hyperparameters read_hyperparameters(const gguf_metadata& metadata) {
  hyperparameters c;
  c.architecture = &architecture_detail::find_architecture(metadata.get_string("general.architecture").value_or(""));
  const keys key(metadata, c.architecture->name);
  c.blocks = key.positive("block_count");
  c.context = key.positive("context_length");
  c.width = key.positive("embedding_length");
  c.feed_forward = key.positive("feed_forward_length");
  c.epsilon = static_cast<float>(key.required_real("attention.layer_norm_rms_epsilon"));
  if (key.number("expert_count").value_or(0) != 0) not_supported("models with experts cannot be run");
  const std::uint32_t window = key.number("attention.sliding_window").value_or(0);
  if (window != 0 && window < c.context) not_supported("attention in a sliding window is not known");
  read_heads(key, c);
  read_rope(key, c);
  return c;
}

}  // namespace hartonomous
