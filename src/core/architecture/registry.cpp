// Finding an architecture by its name (registry.hpp). A new one is a file beside this one and an entry in all().
#include "architecture/registry.hpp"

#include "hartonomous/error.hpp"

#include <array>
#include <cstddef>

namespace hartonomous::architecture_detail {
namespace {

using architectures = std::array<const network_architecture*, 3>;

// Made at the first use, so that it does not matter which file's constants are initialized first.
const architectures& all() {
  static const architectures known = {&llama, &qwen2, &qwen3};
  return known;
}

// "a, b and c"
std::string names_of_all() {
  std::string names;
  const std::size_t count = all().size();
  for (std::size_t i = 0; i < count; ++i) {
    names += i == 0 ? "" : i + 1 == count ? " and " : ", ";
    names += all()[i]->name;
  }
  return names;
}

}  // namespace

const network_architecture& find_architecture(const std::string& name) {
  for (const network_architecture* one : all()) {
    if (name == one->name) return *one;
  }
  throw error(sqlstate::feature_not_supported, "models of architecture \"" + name + "\" cannot be run", {},
              names_of_all() + " can; others are measured by a function of your own.");
}

}  // namespace hartonomous::architecture_detail
