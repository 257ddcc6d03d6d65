// The angles of rotary positions (rope.hpp). YaRN leaves fast pairs unchanged, scales the positions of slow ones, and
// blends the two in between.
#include "network/rope.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace hartonomous::network_detail {
namespace {

constexpr double pi = 3.14159265358979323846;

// The index of the pair that makes `rotations` rotations over the original context.
double pair_of(const rope_parameters& c, double original_context, double rotations) {
  return c.dimensions * std::log(original_context / (rotations * 2.0 * pi)) / (2.0 * std::log(c.base));
}

// The share, 0 to 1, of pair i's unscaled speed.
double kept_speed(const rope_parameters& c, double original_context, double i) {
  const double low = std::max(0.0, std::floor(pair_of(c, original_context, c.beta_fast.value_or(32.0))));
  const double high = std::min(c.dimensions - 1.0, std::ceil(pair_of(c, original_context, c.beta_slow.value_or(1.0))));
  return 1.0 - std::clamp((i - low) / std::max(0.001, high - low), 0.0, 1.0);
}

}  // namespace

rope_table::rope_table(const rope_parameters& rope, std::uint32_t context, span<const float> factors,
                       std::uint32_t first, std::uint32_t count)
    : first_(first), pairs_(rope.dimensions / 2), cosines_(pairs_ * count), sines_(pairs_ * count) {
  const bool yarn = rope.scaling == rope_scaling::yarn;
  const double scale = 1.0 / rope.factor, original_context = rope.original_context.value_or(context);
  // A factor below 1 spreads positions instead of compressing them; it leaves the magnitude unchanged.
  const double growth = yarn ? std::max(0.0, std::log(rope.factor)) : 0.0;
  const double magnitude = rope.magnitude.value_or(1.0) * (1.0 + 0.1 * growth);
  for (std::size_t i = 0; i < pairs_; ++i) {
    const double own = std::pow(rope.base, -2.0 * static_cast<double>(i) / rope.dimensions) /
                       (factors.empty() ? 1.0 : static_cast<double>(factors[i]));
    const double kept = yarn ? kept_speed(rope, original_context, static_cast<double>(i)) : 0.0;
    const double speed = own * (scale * (1.0 - kept) + kept);
    for (std::size_t p = 0; p < count; ++p) {
      const double angle = static_cast<double>(first_ + p) * speed;
      cosines_[p * pairs_ + i] = static_cast<float>(std::cos(angle) * magnitude);
      sines_[p * pairs_ + i] = static_cast<float>(std::sin(angle) * magnitude);
    }
  }
}

}  // namespace hartonomous::network_detail
