// Rounding to the levels of a grid, in vectors of rows. Every operation is one that IEEE arithmetic defines, in a fixed
// order, so that all instruction sets give the same bits.
#if defined(HARTONOMOUS_HESSIAN_LEVELS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HARTONOMOUS_HESSIAN_LEVELS_INL_HPP
#undef HARTONOMOUS_HESSIAN_LEVELS_INL_HPP
#else
#define HARTONOMOUS_HESSIAN_LEVELS_INL_HPP
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "codec/half-inl.hpp"
#include "codec/iq4_nl_iq4_xs.hpp"
#include "codec/lanes-inl.hpp"
#include "hessian/grid.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::hessian_detail::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
namespace lanes = codecs::HWY_NAMESPACE;
using lanes::all;
using lanes::float_tag;
using lanes::floats;
using lanes::int_tag;
using lanes::mask;
using lanes::max_lanes;

inline constexpr int longest_sub_block = 32;
inline constexpr int most_sub_blocks = 16;

// A column of some rows.
HWY_INLINE floats load(const float* from) { return hn::Load(float_tag(), from); }
HWY_INLINE void store(floats value, float* to) { hn::Store(value, float_tag(), to); }

HWY_INLINE floats load_level(const std::int8_t* from) {
  const hn::Rebind<std::int8_t, float_tag> bytes;
  return hn::ConvertTo(float_tag(), hn::PromoteTo(int_tag(), hn::LoadU(bytes, from)));
}
HWY_INLINE void store_level(floats level, std::int8_t* to) {
  const hn::Rebind<std::int8_t, float_tag> bytes;
  hn::StoreU(hn::DemoteTo(bytes, hn::ConvertTo(int_tag(), level)), bytes, to);
}

// The half precision number nearest to each; infinity if it is too large.
HWY_INLINE floats to_half(floats value) { return lanes::to_floats(lanes::to_halves(value)); }

HWY_INLINE floats clamp(floats value, float low, float high) { return hn::Min(hn::Max(value, all(low)), all(high)); }

// Zero for scales that count as zero; all levels are then 0 (or the one that is nearest to 0).
HWY_INLINE floats reciprocal(floats scale) {
  return hn::IfThenElseZero(hn::Ge(hn::Abs(scale), all(1e-30f)), hn::Div(all(1.0f), scale));
}

// The level nearest to weight / scale.
template <bool uneven>
HWY_INLINE floats level_of(const grid& g, floats scaled) {
  if constexpr (!uneven) return clamp(lanes::nearest(scaled), g.low, g.high);
  floats level = all(static_cast<float>(codecs::uneven_values[0]));
  for (int k = 0; k < 15; ++k) {
    level = hn::IfThenElse(hn::Ge(scaled, all(codecs::uneven_middles[k])),
                           all(static_cast<float>(codecs::uneven_values[k + 1])), level);
  }
  return level;
}

template <bool offsets, bool uneven>
HWY_INLINE floats level_for(const grid& g, floats x, floats inverse, floats offset) {
  if constexpr (offsets) return level_of<uneven>(g, hn::Mul(hn::Sub(x, offset), inverse));
  return level_of<uneven>(g, hn::Mul(x, inverse));
}

// As the codecs decode: the product and the sum are rounded to float one after the other.
template <bool offsets>
HWY_INLINE floats value_of(floats level, floats scale, floats offset) {
  if constexpr (offsets) return hn::Add(hn::Mul(scale, level), offset);
  return hn::Mul(scale, level);
}

}  // namespace
}  // namespace hartonomous::hessian_detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
