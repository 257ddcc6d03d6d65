// The parts of a block as a forward pass went through them, for the pass in the opposite direction (inside
// src/core/network only).
#pragma once

#include <string>
#include <vector>

namespace hartonomous::network_detail {

// The parts in block_pass.hpp through which gradients can go.
enum class block_part { norm, projections, head_norms, rotation, attention, output_projection, feed_forward, addition };

// A part, and numbers that it or a later part overwrites although its derivative depends on them.
struct recorded_part {
  block_part part;
  std::string norm;                  // of a norm: its name
  std::vector<float> first, second;  // norm: x; head_norms: q and k; attention: q; feed_forward: gate, before silu
};

// In the order in which they were applied.
using tape = std::vector<recorded_part>;

}  // namespace hartonomous::network_detail
