// The table of roles: the part of a name from which a role is recognized.
#pragma once

#include <cstdint>
#include <string_view>

#include "hartonomous/tensor_name.hpp"

namespace hartonomous::tensor_detail {

// A stem is a name without the block's number and what precedes it, and without ".weight" or ".bias": attn_q of
// blk.3.attn_q.weight, mlp.experts.7.down_proj of model.layers.0.mlp.experts.7.down_proj.weight.
struct parsed_stem {
  tensor_role role;
  bool known_to_mixtures;
};
parsed_stem role_of_stem(std::string_view stem, bool in_block);

}  // namespace hartonomous::tensor_detail
