// Rotary positions: what YaRN multiplies with.
#include "network/rope.hpp"

#include <cmath>

#include "gtest/gtest.h"

namespace hartonomous {
namespace {

// The cosine of position 0 is the magnitude itself.
double magnitude(double factor, double given) {
  rope_parameters c = {};
  c.dimensions = 8;
  c.base = 10000;
  c.original_context = 64;
  c.scale = 1 / factor;
  c.yarn = true;
  c.magnitude = given;
  c.beta_fast = 32;
  c.beta_slow = 1;
  return static_cast<double>(*network_detail::rope_table(c, {}, 0, 1).cosines(0));
}

TEST(Rope, YarnMultipliesWithWhatTheFactorImplies) {
  EXPECT_NEAR(magnitude(4, 1), 1 + 0.1 * std::log(4.0), 1e-6);
  EXPECT_NEAR(magnitude(4, 1 / (1 + 0.1 * std::log(4.0))), 1, 1e-6);  // a config's attention_factor of 1
  EXPECT_NEAR(magnitude(1, 1), 1, 1e-6);
}

TEST(Rope, AFactorBelowOneLeavesTheMagnitude) { EXPECT_NEAR(magnitude(0.5, 1), 1, 1e-6); }

}  // namespace
}  // namespace hartonomous
