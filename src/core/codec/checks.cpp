// The checks of checks.hpp with vector instructions.
#include "codec/checks.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/checks.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include <cfloat>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace hartonomous::codecs::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using float_tag = hn::ScalableTag<float>;
using bits_tag = hn::ScalableTag<std::uint32_t>;

// As unsigned numbers, distances from the start of the range are smallest for values within the range.
bool any_in_range(const magnitude_range& range, const float* values, std::size_t count) {
  const bits_tag u;
  const std::size_t lanes = hn::Lanes(u);
  const auto first = hn::Set(u, range.first);
  auto nearest = hn::Set(u, range.last - range.first + 1);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto magnitude = hn::BitCast(u, hn::Abs(hn::LoadU(float_tag(), values + i)));
    nearest = hn::Min(nearest, hn::Sub(magnitude, first));
  }
  bool any = hn::GetLane(hn::MinOfLanes(u, nearest)) <= range.last - range.first;
  for (; i < count; ++i) any |= range.contains(values[i]);
  return any;
}

// As unsigned numbers, the bits of a valid value are below those of infinity once a negative zero has become positive.
bool all_finite_positive(const float* values, std::size_t count) {
  const float_tag d;
  const bits_tag u;
  const std::size_t lanes = hn::Lanes(d);
  auto largest = hn::Zero(u);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    largest = hn::Max(largest, hn::BitCast(u, hn::Add(hn::LoadU(d, values + i), hn::Zero(d))));
  }
  bool all = hn::GetLane(hn::MaxOfLanes(u, largest)) < infinity_bits;
  for (; i < count; ++i) all &= values[i] >= 0.0f && values[i] <= FLT_MAX;
  return all;
}

}  // namespace
}  // namespace hartonomous::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hartonomous::codecs {
namespace {

HWY_EXPORT(any_in_range);
HWY_EXPORT(all_finite_positive);

}  // namespace

bool any_in_range(const magnitude_range& range, const float* values, std::size_t count) noexcept {
  return HWY_DYNAMIC_DISPATCH(any_in_range)(range, values, count);
}

bool all_finite_positive(const float* values, std::size_t count) noexcept {
  return HWY_DYNAMIC_DISPATCH(all_finite_positive)(values, count);
}

}  // namespace hartonomous::codecs
#endif  // HWY_ONCE
