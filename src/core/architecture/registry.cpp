// Finds an architecture by its name or by the name of a checkpoint's class (registry.hpp). To add one, add a file to
// this folder and an entry to all().
#include "architecture/registry.hpp"

#include "bytes/text.hpp"
#include "hartonomous/error.hpp"

#include <array>
#include <cstddef>
#include <vector>

namespace hartonomous::architecture_detail {
namespace {

// Created at the first use, so that the order in which files initialize their constants does not matter.
const auto& all() {
  static const std::array known = {&llama, &mistral3, &qwen2,   &qwen2moe,   &qwen3, &qwen3moe, &gemma2,     &gemma3,
                                   &phi3,  &gpt_oss,  &granite, &granitemoe, &olmo2, &smollm3,  &starcoder2, &gpt2};
  return known;
}

// "a, b and c"
std::string listed(const std::vector<std::string>& names) {
  std::string list;
  for (std::size_t i = 0; i < names.size(); ++i) {
    list += i == 0 ? "" : i + 1 == names.size() ? " and " : ", ";
    list += names[i];
  }
  return list;
}

}  // namespace

const network_architecture& find_architecture(const std::string& name) {
  std::vector<std::string> names;
  for (const network_architecture* one : all()) {
    if (name == one->name) return *one;
    names.emplace_back(one->name);
  }
  throw error(sqlstate::feature_not_supported, "models of architecture \"" + name + "\" cannot be run", {},
              listed(names) + " can; others are measured by a function of your own.");
}

known_checkpoint find_checkpoint_class(std::string_view name) {
  std::vector<std::string> names;
  for (const network_architecture* one : all()) {
    for (const checkpoint_class& model_class : one->checkpoint_classes) {
      if (name == model_class.name) return {*one, model_class};
      names.emplace_back(model_class.name);
    }
  }
  throw error(sqlstate::feature_not_supported, "unknown architecture " + show_name(name),
              "Known are " + listed(names) + ".");
}

}  // namespace hartonomous::architecture_detail
