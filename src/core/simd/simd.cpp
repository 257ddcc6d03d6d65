// The choice of the instruction set (hartonomous/simd.hpp): Highway's, unless a test overrides it.
#include "hartonomous/simd.hpp"

#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/simd.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace hartonomous::HWY_NAMESPACE {
namespace {

std::int64_t this_target() { return HWY_TARGET; }

}  // namespace
}  // namespace hartonomous::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hartonomous {

HWY_EXPORT(this_target);

const char* simd_target() noexcept { return simd_target_name(HWY_DYNAMIC_DISPATCH(this_target)()); }

// Lower bits are better instruction sets.
std::vector<std::int64_t> simd_targets() {
  std::vector<std::int64_t> targets;
  const auto available = static_cast<std::uint64_t>(hwy::SupportedTargets() & HWY_TARGETS);
  for (int bit = 0; bit < 63; ++bit) {
    const std::uint64_t target = std::uint64_t{1} << bit;
    if ((available & target) != 0) targets.push_back(static_cast<std::int64_t>(target));
  }
  return targets;
}

const char* simd_target_name(std::int64_t target) noexcept { return hwy::TargetName(target); }

forced_simd_target::forced_simd_target(std::int64_t target) { hwy::GetChosenTarget().Update(target); }

forced_simd_target::~forced_simd_target() { hwy::GetChosenTarget().Update(hwy::SupportedTargets()); }

}  // namespace hartonomous
#endif  // HWY_ONCE
