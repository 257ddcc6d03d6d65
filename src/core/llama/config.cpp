// Hyperparameters from a GGUF file's metadata (hartonomous/llama.hpp).
#include "hartonomous/error.hpp"
#include "hartonomous/llama.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace hartonomous {
namespace {

[[noreturn]] void refuse(const std::string& message) { throw error(sqlstate::feature_not_supported, message); }
[[noreturn]] void broken(const std::string& message) {
  throw error(sqlstate::object_not_in_prerequisite_state, message);
}

// Reads keys under the architecture's name.
class keys {
 public:
  keys(const gguf_metadata& metadata, std::string architecture)
      : metadata_(metadata), prefix_(std::move(architecture) + ".") {}

  std::optional<std::uint32_t> number(const std::string& key) const {
    const std::string name = prefix_ + key;
    const gguf_kv* kv = metadata_.find(name);
    if (kv == nullptr) return std::nullopt;
    const std::uint64_t value = kv->type == gguf_type::array ? common(name) : *metadata_.get_uint(name);
    if (value > max_number) broken("key \"" + name + "\" is " + std::to_string(value));
    return static_cast<std::uint32_t>(value);
  }
  std::uint32_t positive(const std::string& key, std::optional<std::uint32_t> otherwise = std::nullopt) const {
    const std::optional<std::uint32_t> found = number(key);
    if (!found && !otherwise) broken("the model has no key \"" + prefix_ + key + "\"");
    const std::uint32_t value = found ? *found : *otherwise;
    if (value == 0) broken("key \"" + prefix_ + key + "\" is 0");
    return value;
  }
  std::optional<double> real(const std::string& key) const {
    const std::optional<double> value = metadata_.get_float(prefix_ + key);
    if (value && !std::isfinite(*value)) broken("key \"" + prefix_ + key + "\" is not finite");
    return value;
  }
  std::optional<std::string> text(const std::string& key) const { return metadata_.get_string(prefix_ + key); }
  std::optional<bool> flag(const std::string& key) const { return metadata_.get_bool(prefix_ + key); }

 private:
  static constexpr std::uint64_t max_number = std::uint64_t{1} << 30;

  // The one value of an array of one number a block.
  std::uint64_t common(const std::string& name) const {
    const std::vector<std::int64_t> values = *metadata_.get_ints(name);
    if (values.empty() || values.front() < 0) broken("key \"" + name + "\" is empty or negative");
    if (std::any_of(values.begin(), values.end(), [&](std::int64_t v) { return v != values.front(); })) {
      refuse("key \"" + name + "\" differs between blocks");
    }
    return static_cast<std::uint64_t>(values.front());
  }

  const gguf_metadata& metadata_;
  std::string prefix_;
};

void read_scaling(const keys& key, llama_config& c) {
  const std::string type = key.text("rope.scaling.type").value_or("linear");
  if (type != "none" && type != "linear" && type != "yarn") refuse("position scaling \"" + type + "\" is not known");
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

void read_rope(const keys& key, llama_config& c) {
  c.rope.halves = c.architecture != "llama";
  c.rope.dimensions = key.positive("rope.dimension_count", c.head_size);
  if (c.rope.dimensions % 2 != 0 || c.rope.dimensions > c.head_size ||
      (c.architecture == "llama" && c.rope.dimensions != c.head_size)) {
    broken("rotary positions of " + std::to_string(c.rope.dimensions) + " dimensions do not fit heads of " +
           std::to_string(c.head_size));
  }
  c.rope.base = key.real("rope.freq_base").value_or(10000.0);
  if (c.rope.base <= 1.0) broken("the base of rotary positions is not above 1");
  read_scaling(key, c);
}

void read_heads(const keys& key, llama_config& c) {
  c.heads = key.positive("attention.head_count");
  c.kv_heads = key.positive("attention.head_count_kv", c.heads);
  if (c.heads % c.kv_heads != 0) {
    broken(std::to_string(c.heads) + " heads cannot share " + std::to_string(c.kv_heads) + " heads of keys and values");
  }
  c.head_size = key.positive("attention.key_length", c.width / c.heads);
  if (key.positive("attention.value_length", c.head_size) != c.head_size)
    refuse("heads whose values have another size than keys are not known");
  const double scale = key.real("attention.scale").value_or(0.0);
  c.attention_scale = static_cast<float>(scale != 0.0 ? scale : 1.0 / std::sqrt(static_cast<double>(c.head_size)));
}

}  // namespace

llama_config read_llama_config(const gguf_metadata& metadata) {
  llama_config c;
  c.architecture = metadata.get_string("general.architecture").value_or("");
  if (c.architecture != "llama" && c.architecture != "qwen2" && c.architecture != "qwen3") {
    throw error(sqlstate::feature_not_supported, "models of architecture \"" + c.architecture + "\" cannot be run", {},
                "llama, qwen2 and qwen3 can; others are measured by a function of your own.");
  }
  const keys key(metadata, c.architecture);
  c.blocks = key.positive("block_count");
  c.context = key.positive("context_length");
  c.width = key.positive("embedding_length");
  c.feed_forward = key.positive("feed_forward_length");
  const std::optional<double> epsilon = key.real("attention.layer_norm_rms_epsilon");
  if (!epsilon) broken("the model has no key \"" + c.architecture + ".attention.layer_norm_rms_epsilon\"");
  c.epsilon = static_cast<float>(*epsilon);
  if (key.number("expert_count").value_or(0) != 0) refuse("models with experts cannot be run");
  const std::uint32_t window = key.number("attention.sliding_window").value_or(0);
  if (window != 0 && window < c.context) refuse("attention in a sliding window is not known");
  c.head_norms = c.architecture == "qwen3";
  read_heads(key, c);
  read_rope(key, c);
  return c;
}

}  // namespace hartonomous
