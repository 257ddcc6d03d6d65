// smollm3: llama without rotations in every fourth block.
#include "architecture/blocks.hpp"
#include "architecture/registry.hpp"

namespace hartonomous::architecture_detail {
namespace {

void read_more(const keys& key, hyperparameters& c) {
  if (key.number("expert_count").value_or(0) != 0) key.refuse("expert_count");
  for (std::uint32_t block = 0; block < c.blocks; ++block) c.unrotated.push_back((block + 1) % 4 == 0);
}

}  // namespace

const network_architecture smollm3 = {"smollm3", {}, dense_sizes, rope_pairs::adjacent, true, {}, read_more};

}  // namespace hartonomous::architecture_detail
