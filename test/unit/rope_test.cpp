// Rotary positions: what YaRN multiplies with.
#include "network/rope.hpp"

#include <cmath>

#include "gtest/gtest.h"

namespace hartonomous {
namespace {

// The cosine of position 0 is the magnitude itself.
double magnitude(double factor, double given) {
  hyperparameters c;
  c.rope.dimensions = 8;
  c.rope.original_context = 64;
  c.rope.scaling = rope_scaling::yarn;
  c.rope.factor = factor;
  c.rope.magnitude = given;
  return static_cast<double>(*network_detail::rope_table(c.rope, 0, {}, 0, 1).cosines(0));
}

TEST(Rope, YarnMultipliesWithWhatTheFactorImplies) {
  EXPECT_NEAR(magnitude(4, 1), 1 + 0.1 * std::log(4.0), 1e-6);
  EXPECT_NEAR(magnitude(4, 1 / (1 + 0.1 * std::log(4.0))), 1, 1e-6);  // a config's attention_factor of 1
  EXPECT_NEAR(magnitude(1, 1), 1, 1e-6);
}

TEST(Rope, AFactorBelowOneLeavesTheMagnitude) { EXPECT_NEAR(magnitude(0.5, 1), 1, 1e-6); }

}  // namespace
}  // namespace hartonomous
