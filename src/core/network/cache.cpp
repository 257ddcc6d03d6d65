// The cache of keys and values (hartonomous/network.hpp).
#include "hartonomous/network.hpp"

namespace hartonomous {

kv_cache::kv_cache(const hyperparameters& config, std::uint32_t capacity) : capacity_(capacity) {
  for (std::uint32_t block = 0; block < config.blocks; ++block) {
    keys_.emplace_back(config.kv_width() * capacity);
    values_.emplace_back(config.kv_width() * capacity);
  }
}

std::uint64_t kv_cache::bytes(const hyperparameters& config, std::uint32_t capacity) noexcept {
  return 2 * sizeof(float) * config.blocks * config.kv_width() * capacity;
}

}  // namespace hartonomous
