// Finding an architecture by its name (registry.hpp). A new one is a file beside this one and a line in `all`.
#include "architecture/registry.hpp"

#include "hartonomous/error.hpp"

#include <cstddef>
#include <iterator>

namespace hartonomous::architecture_detail {
namespace {

const network_architecture* const all[] = {&llama, &qwen2, &qwen3};

// "a, b and c"
std::string names_of_all() {
  std::string names;
  const std::size_t count = std::size(all);
  for (std::size_t i = 0; i < count; ++i) {
    names += i == 0 ? "" : i + 1 == count ? " and " : ", ";
    names += all[i]->name;
  }
  return names;
}

}  // namespace

const network_architecture& find_architecture(const std::string& name) {
  for (const network_architecture* one : all) {
    if (name == one->name) return *one;
  }
  throw error(sqlstate::feature_not_supported, "models of architecture \"" + name + "\" cannot be run", {},
              names_of_all() + " can; others are measured by a function of your own.");
}

}  // namespace hartonomous::architecture_detail
