// Reading keys (keys.hpp).
#include "architecture/keys.hpp"

#include "hartonomous/error.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace hartonomous::architecture_detail {
namespace {

constexpr std::uint64_t max_number = std::uint64_t{1} << 30;

}  // namespace

void not_supported(const std::string& message, source_location thrown) {
  throw error(sqlstate::feature_not_supported, message, {}, {}, thrown);
}
void broken(const std::string& message, source_location thrown) {
  throw error(sqlstate::object_not_in_prerequisite_state, message, {}, {}, thrown);
}

std::optional<std::uint32_t> keys::number(const std::string& key) const {
  const std::string name = prefix_ + key;
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

std::optional<double> keys::real(const std::string& key) const {
  const std::optional<double> value = metadata_.get_float(prefix_ + key);
  if (value && !std::isfinite(*value)) broken("key \"" + prefix_ + key + "\" is not finite");
  return value;
}

double keys::required_real(const std::string& key) const {
  const std::optional<double> value = real(key);
  if (!value) broken("the model has no key \"" + prefix_ + key + "\"");
  return *value;
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
