// Rotary positions: the angles (rope.hpp). YaRN leaves fast pairs as they are, scales the positions of
// slow ones and mixes both in between.
#include "network/rope.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace hartonomous::network_detail {
namespace {

constexpr double pi = 3.14159265358979323846;

// The pair that turns `rotations` times over the original context.
double pair_of(const rope_parameters& c, double rotations) {
  return c.dimensions * std::log(c.original_context / (rotations * 2.0 * pi)) / (2.0 * std::log(c.base));
}

// How much of pair i keeps its own speed, 0 to 1.
double kept_speed(const rope_parameters& c, double i) {
  const double low = std::max(0.0, std::floor(pair_of(c, c.beta_fast)));
  const double high = std::min(c.dimensions - 1.0, std::ceil(pair_of(c, c.beta_slow)));
  return 1.0 - std::clamp((i - low) / std::max(0.001, high - low), 0.0, 1.0);
}

}  // namespace

rope_table::rope_table(const rope_parameters& config, span<const float> factors, std::uint32_t first,
                       std::uint32_t count)
    : first_(first), pairs_(config.dimensions / 2), cosines_(pairs_ * count), sines_(pairs_ * count) {
  // Positions that are drawn apart instead of pressed together (a factor below 1) leave the magnitude as it is.
  const double growth = config.yarn ? std::max(0.0, std::log(1.0 / config.scale)) : 0.0;
  const double magnitude = config.magnitude * (1.0 + 0.1 * growth);
  for (std::size_t i = 0; i < pairs_; ++i) {
    const double own = std::pow(config.base, -2.0 * static_cast<double>(i) / config.dimensions) /
                       (factors.empty() ? 1.0 : static_cast<double>(factors[i]));
    const double kept = config.yarn ? kept_speed(config, static_cast<double>(i)) : 0.0;
    const double speed = own * (config.scale * (1.0 - kept) + kept);
    for (std::size_t p = 0; p < count; ++p) {
      const double angle = static_cast<double>(first_ + p) * speed;
      cosines_[p * pairs_ + i] = static_cast<float>(std::cos(angle) * magnitude);
      sines_[p * pairs_ + i] = static_cast<float>(std::sin(angle) * magnitude);
    }
  }
}

}  // namespace hartonomous::network_detail
