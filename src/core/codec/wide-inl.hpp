// Vectors one or two registers wide: the same search runs over either.
//
// A sum over a sub-block must be taken number by number, so every addition waits for the one before it. Of two
// independent sums side by side one works while the other waits: that makes up to 1.4 times the speed.
#if defined(HARTONOMOUS_CODEC_WIDE_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HARTONOMOUS_CODEC_WIDE_INL_HPP
#undef HARTONOMOUS_CODEC_WIDE_INL_HPP
#else
#define HARTONOMOUS_CODEC_WIDE_INL_HPP
#endif

#include <hwy/highway.h>

#include "codec/lanes-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous {
namespace codecs {
namespace HWY_NAMESPACE {
namespace {

#if HWY_HAVE_SCALABLE  // such vectors cannot be members: one register only

using wide_floats = floats;

#define HARTONOMOUS_WIDE_UNARY(result, name, type, op) \
  HWY_INLINE result name(type a) { return op(a); }
#define HARTONOMOUS_WIDE_BINARY(result, name, type, op) \
  HWY_INLINE result name(type a, type b) { return op(a, b); }
#define HARTONOMOUS_WIDE_BLEND(name, op) \
  HWY_INLINE floats name(mask m, floats a) { return op(m, a); }

#else

struct wide_floats {
  floats first, second;
};
struct wide_mask {
  mask first, second;
};

#define HARTONOMOUS_WIDE_UNARY(result, name, type, op) \
  HWY_INLINE result name(type a) { return op(a); }     \
  HWY_INLINE wide_##result name(wide_##type a) { return {op(a.first), op(a.second)}; }
#define HARTONOMOUS_WIDE_BINARY(result, name, type, op)       \
  HWY_INLINE result name(type a, type b) { return op(a, b); } \
  HWY_INLINE wide_##result name(wide_##type a, wide_##type b) { return {op(a.first, b.first), op(a.second, b.second)}; }
#define HARTONOMOUS_WIDE_BLEND(name, op)                        \
  HWY_INLINE floats name(mask m, floats a) { return op(m, a); } \
  HWY_INLINE wide_floats name(wide_mask m, wide_floats a) { return {op(m.first, a.first), op(m.second, a.second)}; }

HWY_INLINE wide_floats if_then_else(wide_mask m, wide_floats a, wide_floats b) {
  return {hn::IfThenElse(m.first, a.first, b.first), hn::IfThenElse(m.second, a.second, b.second)};
}
HWY_INLINE void store(wide_floats value, float* to) {
  const float_tag d;
  hn::Store(value.first, d, to);
  hn::Store(value.second, d, to + lane_count());
}

#endif

HWY_INLINE floats if_then_else(mask m, floats a, floats b) { return hn::IfThenElse(m, a, b); }
HWY_INLINE void store(floats value, float* to) { hn::Store(value, float_tag(), to); }

HARTONOMOUS_WIDE_UNARY(floats, abs, floats, hn::Abs)
HARTONOMOUS_WIDE_UNARY(floats, neg, floats, hn::Neg)
HARTONOMOUS_WIDE_UNARY(floats, sqrt, floats, hn::Sqrt)
HARTONOMOUS_WIDE_UNARY(floats, round, floats, nearest)
HARTONOMOUS_WIDE_UNARY(mask, in_range, floats, can_round)
HARTONOMOUS_WIDE_BINARY(floats, add, floats, hn::Add)
HARTONOMOUS_WIDE_BINARY(floats, sub, floats, hn::Sub)
HARTONOMOUS_WIDE_BINARY(floats, mul, floats, hn::Mul)
HARTONOMOUS_WIDE_BINARY(floats, div, floats, hn::Div)
HARTONOMOUS_WIDE_BINARY(floats, min, floats, hn::Min)
HARTONOMOUS_WIDE_BINARY(floats, max, floats, hn::Max)
HARTONOMOUS_WIDE_BINARY(mask, lt, floats, hn::Lt)
HARTONOMOUS_WIDE_BINARY(mask, le, floats, hn::Le)
HARTONOMOUS_WIDE_BINARY(mask, both, mask, hn::And)
HARTONOMOUS_WIDE_BINARY(mask, either, mask, hn::Or)
HARTONOMOUS_WIDE_BLEND(zero_where, hn::IfThenZeroElse)
HARTONOMOUS_WIDE_BLEND(zero_unless, hn::IfThenElseZero)

#undef HARTONOMOUS_WIDE_UNARY
#undef HARTONOMOUS_WIDE_BINARY
#undef HARTONOMOUS_WIDE_BLEND

// What a search over vectors of type V needs besides: their lanes, loads, and one number in all lanes.
template <class V>
struct width {
  static HWY_INLINE std::size_t lanes() { return lane_count(); }
  static HWY_INLINE V load(const float* from) { return hn::Load(float_tag(), from); }
  static HWY_INLINE V set(float value) { return all(value); }
};

#if !HWY_HAVE_SCALABLE
template <>
struct width<wide_floats> {
  static HWY_INLINE std::size_t lanes() { return 2 * lane_count(); }
  static HWY_INLINE wide_floats load(const float* from) {
    const float_tag d;
    return {hn::Load(d, from), hn::Load(d, from + lane_count())};
  }
  static HWY_INLINE wide_floats set(float value) { return {all(value), all(value)}; }
};
#endif

// ---- weights by importance -------------------------------------------------------------------------------------

// importance_weights() of search.hpp, sub-block by sub-block.
template <int Count>
struct weigh_by_importance {
  const float* importance;   // of the numbers of the batch
  const float* mean_square;  // one a sub-block of the batch, aligned

  template <class V>
  HWY_INLINE void operator()(std::size_t at, std::size_t group, const float* x, float* HWY_RESTRICT w) const {
    const std::size_t lanes = width<V>::lanes();
    transpose<Count>(importance + at * Count, group, lanes, w);
    const V mean = width<V>::load(mean_square + at);
    for (std::size_t i = 0; i < Count; ++i) {
      const V xi = width<V>::load(x + i * lanes);
      const V size = sqrt(add(mean, mul(xi, xi)));
      store(mul(width<V>::load(w + i * lanes), size), w + i * lanes);
    }
  }
};

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace codecs
}  // namespace hartonomous
HWY_AFTER_NAMESPACE();

#endif
