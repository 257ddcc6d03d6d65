// Vectors of one or two registers, over either of which the same search runs.
//
// A sum over a sub-block must be taken number by number, so every addition waits for the one before. With two
// independent sums side by side, one can proceed while the other waits: up to 1.4 times the speed. (Four registers gain
// nothing more.)
#if defined(HARTONOMOUS_CODEC_WIDE_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HARTONOMOUS_CODEC_WIDE_INL_HPP
#undef HARTONOMOUS_CODEC_WIDE_INL_HPP
#else
#define HARTONOMOUS_CODEC_WIDE_INL_HPP
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "codec/lanes-inl.hpp"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET != HWY_SCALAR
namespace hartonomous::codecs::HWY_NAMESPACE {
namespace {

HWY_INLINE mask without(mask a, mask b) { return hn::AndNot(b, a); }
HWY_INLINE bool none_true(mask m) { return hn::AllFalse(float_tag(), m); }
HWY_INLINE floats if_then_else(mask m, floats a, floats b) { return hn::IfThenElse(m, a, b); }
HWY_INLINE void store(floats value, float* to) { hn::Store(value, float_tag(), to); }

// What a search over vectors of type V needs: their number of lanes, loads, and broadcasting a number.
template <class V>
struct width {
  static HWY_INLINE std::size_t lanes() { return lane_count(); }
  static HWY_INLINE V load(const float* from) { return hn::Load(float_tag(), from); }
  static HWY_INLINE V set(float value) { return all(value); }
};

#if HWY_HAVE_SCALABLE  // such vectors cannot be members: one register only

using wide_floats = floats;

#define HARTONOMOUS_WIDE(name, op) \
  template <class... Vs>           \
  HWY_INLINE auto name(Vs... v) {  \
    return op(v...);               \
  }

#else

template <class V>
struct two {
  V first, second;
};
using wide_floats = two<floats>;
using widest_floats = two<two<floats> >;

// name(vectors) applies op register by register.
#define HARTONOMOUS_WIDE(name, op)                                                                              \
  template <class V, class... Vs>                                                                               \
  HWY_INLINE auto name(V v, Vs... vs) {                                                                         \
    return op(v, vs...);                                                                                        \
  }                                                                                                             \
  template <class V, class... Vs>                                                                               \
  HWY_INLINE auto name(two<V> v, two<Vs>... vs) {                                                               \
    return two<decltype(name(v.first, vs.first...))>{name(v.first, vs.first...), name(v.second, vs.second...)}; \
  }

template <class M>
HWY_INLINE bool none_true(two<M> m) {
  return none_true(m.first) && none_true(m.second);
}
template <class M, class V>
HWY_INLINE two<V> if_then_else(two<M> m, two<V> a, two<V> b) {
  return {if_then_else(m.first, a.first, b.first), if_then_else(m.second, a.second, b.second)};
}
template <class V>
HWY_INLINE void store(two<V> value, float* to) {
  store(value.first, to);
  store(value.second, to + width<V>::lanes());
}

template <class V>
struct width<two<V> > {
  static HWY_INLINE std::size_t lanes() { return 2 * width<V>::lanes(); }
  static HWY_INLINE two<V> load(const float* from) {
    return {width<V>::load(from), width<V>::load(from + width<V>::lanes())};
  }
  static HWY_INLINE two<V> set(float value) { return {width<V>::set(value), width<V>::set(value)}; }
};

#endif

HARTONOMOUS_WIDE(abs, hn::Abs)
HARTONOMOUS_WIDE(neg, hn::Neg)
HARTONOMOUS_WIDE(sqrt, hn::Sqrt)
HARTONOMOUS_WIDE(round, nearest)
HARTONOMOUS_WIDE(in_range, can_round)
HARTONOMOUS_WIDE(add, hn::Add)
HARTONOMOUS_WIDE(sub, hn::Sub)
HARTONOMOUS_WIDE(mul, hn::Mul)
HARTONOMOUS_WIDE(div, hn::Div)
HARTONOMOUS_WIDE(min, hn::Min)
HARTONOMOUS_WIDE(max, hn::Max)
HARTONOMOUS_WIDE(lt, hn::Lt)
HARTONOMOUS_WIDE(le, hn::Le)
HARTONOMOUS_WIDE(equal, hn::Eq)
HARTONOMOUS_WIDE(both, hn::And)
HARTONOMOUS_WIDE(either, hn::Or)
HARTONOMOUS_WIDE(and_not, without)
HARTONOMOUS_WIDE(zero_where, hn::IfThenZeroElse)
HARTONOMOUS_WIDE(zero_unless, hn::IfThenElseZero)

#undef HARTONOMOUS_WIDE

// ---- weights with importance -----------------------------------------------------------------------------------

// importance_weights() of search.hpp for each sub-block.
template <int Count>
struct weigh_by_importance {
  const float* importance;   // of the numbers of the batch
  const float* mean_square;  // one per sub-block of the batch, aligned

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

// ---- groups ----------------------------------------------------------------------------------------------------

template <int Count, class V, class Weigh, class Search>
HWY_INLINE std::size_t search_groups_of(const float* x, std::size_t at, std::size_t sub_blocks, std::size_t rest,
                                        const Weigh& weigh, const Search& search) {
  HWY_ALIGN float group_x[Count * widest_lanes];
  HWY_ALIGN float group_w[Count * widest_lanes];
  const std::size_t lanes = width<V>::lanes();
  for (; at + rest < sub_blocks; at += lanes) {
    const std::size_t group = std::min(lanes, sub_blocks - at);
    transpose<Count>(x + at * Count, group, lanes, group_x);
    weigh.template operator()<V>(at, group, group_x, group_w);
    search.template operator()<V>(group_x, group_w, at);
  }
  return at;
}

// Searches `sub_blocks` consecutive sub-blocks of Count numbers, a group at a time: weigh<V>(at, group, x, w) computes
// the weights w of the transposed numbers x of the `group` sub-blocks from sub-block `at` on, which search<V>(x, w, at)
// then uses.
template <int Count, class Weigh, class Search>
HWY_INLINE void search_groups(const float* x, std::size_t sub_blocks, const Weigh& weigh, const Search& search) {
  // What fits into one register is left to the single-register search.
  const std::size_t at = search_groups_of<Count, wide_floats>(x, 0, sub_blocks, lane_count(), weigh, search);
  search_groups_of<Count, floats>(x, at, sub_blocks, 0, weigh, search);
}

HWY_INLINE bool all_valid(const float* valid, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (valid[i] == 0.0f) return false;
  }
  return true;
}

}  // namespace
}  // namespace hartonomous::codecs::HWY_NAMESPACE
#endif  // HWY_TARGET
HWY_AFTER_NAMESPACE();

#endif
