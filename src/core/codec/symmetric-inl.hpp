// search_symmetric() and improve_symmetric() of search.hpp for many sub-blocks at once, one in each lane
// (lanes-inl.hpp, wide-inl.hpp).
#if defined(HARTONOMOUS_CODEC_SYMMETRIC_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HARTONOMOUS_CODEC_SYMMETRIC_INL_HPP
#undef HARTONOMOUS_CODEC_SYMMETRIC_INL_HPP
#else
#define HARTONOMOUS_CODEC_SYMMETRIC_INL_HPP
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "codec/search.hpp"
#include "codec/wide-inl.hpp"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET != HWY_SCALAR
namespace hartonomous::codecs::HWY_NAMESPACE {
namespace {

// The results of the search for the sub-blocks of a batch, bit for bit. The levels that search_symmetric() would find
// are half + clamp(nearest_int(inverse * x)), and 0 where inverse is 0 (all numbers negligible).
struct symmetric_fits {
  HWY_ALIGN float scale[batch_sub_blocks];
  HWY_ALIGN float inverse[batch_sub_blocks];
  HWY_ALIGN float total[batch_sub_blocks];  // sum of the numbers' weights
  HWY_ALIGN float valid[batch_sub_blocks];  // of improve_symmetric(), 0: see can_round(); scale is then undefined
};

// The number of largest magnitude, the first of equals; 0 if all are negligible.
template <int Count, class V>
HWY_INLINE V extreme_of(const float* x) {
  V magnitude = width<V>::set(0.0f), extreme = magnitude;
  for (std::size_t i = 0; i < Count; ++i) {
    const V xi = width<V>::load(x + i * width<V>::lanes());
    const auto larger = lt(magnitude, abs(xi));
    magnitude = if_then_else(larger, abs(xi), magnitude);
    extreme = if_then_else(larger, xi, extreme);
  }
  return zero_where(lt(magnitude, width<V>::set(negligible)), extreme);
}

template <class V>
HWY_INLINE V symmetric_level(int half, V value) {
  const V low = width<V>::set(static_cast<float>(-half)), high = width<V>::set(static_cast<float>(half - 1));
  return round(min(max(value, low), high));
}

// Sums of w x l and w l^2 over the levels l for `inverse`. `wx` is w * x.
template <int Count, class V>
HWY_INLINE void sums_at(int half, V inverse, const float* x, const float* w, const float* wx, V& xl, V& l2) {
  xl = l2 = width<V>::set(0.0f);
  for (std::size_t i = 0; i < Count; ++i) {
    const std::size_t at = i * width<V>::lanes();
    // This cannot overflow: |inverse| is at most (half + 0.9) / 1e-15, and the extreme number's level is below half +
    // 1.
    const V level = symmetric_level(half, mul(inverse, width<V>::load(x + at)));
    xl = add(xl, mul(width<V>::load(wx + at), level));
    l2 = add(l2, mul(mul(width<V>::load(w + at), level), level));
  }
}

template <int Count, class V>
HWY_NOINLINE void search_symmetric(int half, const float* HWY_RESTRICT x, const float* HWY_RESTRICT w,
                                   symmetric_fits& fits, std::size_t at) {
  const V zero = width<V>::set(0.0f);
  HWY_ALIGN float wx[Count * widest_lanes];
  V total = zero;
  for (std::size_t i = 0; i < Count; ++i) {
    const std::size_t place = i * width<V>::lanes();
    const V wi = width<V>::load(w + place);
    total = add(total, wi);
    store(mul(wi, width<V>::load(x + place)), wx + place);
  }
  const V extreme = extreme_of<Count, V>(x);
  const auto negligible_all = equal(extreme, zero);

  V best_inverse = div(width<V>::set(static_cast<float>(-half)), extreme);
  V xl = zero, l2 = zero;
  sums_at<Count>(half, best_inverse, x, w, wx, xl, l2);
  V scale = zero_where(equal(l2, zero), div(xl, l2));
  V gain = mul(scale, xl);
  for (int t = -9; t <= 9; ++t) {
    if (t == 0) continue;
    const V inverse = div(width<V>::set(-(static_cast<float>(half) + 0.1f * static_cast<float>(t))), extreme);
    sums_at<Count>(half, inverse, x, w, wx, xl, l2);
    const auto better = both(lt(zero, l2), lt(mul(gain, l2), mul(xl, xl)));
    const V trial_scale = div(xl, l2);
    best_inverse = if_then_else(better, inverse, best_inverse);
    scale = if_then_else(better, trial_scale, scale);
    gain = if_then_else(better, mul(trial_scale, xl), gain);
  }
  store(zero_where(negligible_all, scale), fits.scale + at);
  store(zero_where(negligible_all, best_inverse), fits.inverse + at);
  store(total, fits.total + at);
}

// Where product / divisor, the wanted level, rounds to the current level or lies beyond the end at which that is. This
// avoids a division, for which all other operations would wait. Rounding errors are far below the margin.
template <class V>
HWY_INLINE auto surely_stays(int half, V level, V product, V divisor) {
  const V margin = width<V>::set(0.4999f), far = width<V>::set(1e6f);
  const V lowest = width<V>::set(static_cast<float>(-half)), highest = width<V>::set(static_cast<float>(half - 1));
  const V low = if_then_else(equal(level, lowest), neg(far), sub(level, margin));
  const V high = if_then_else(equal(level, highest), far, add(level, margin));
  const auto within = both(lt(mul(low, divisor), product), lt(product, mul(high, divisor)));
  return both(within, lt(width<V>::set(1e-30f), divisor));  // not where products might be subnormal
}

// One sweep of improve_symmetric(): each level in turn moves to the best one for the scale of the others, if that
// reduces the error. Returns the lanes in which a level moved.
template <int Count, class V>
HWY_INLINE auto improve_once(int half, const float* x, const float* w, const float* wx, float* HWY_RESTRICT levels,
                             V& xl, V& l2, V& invalid) {
  const V zero = width<V>::set(0.0f);
  auto changed = lt(zero, zero);
  for (std::size_t i = 0; i < Count; ++i) {
    const std::size_t at = i * width<V>::lanes();
    const V xi = width<V>::load(x + at), wi = width<V>::load(w + at), wxi = width<V>::load(wx + at);
    const V old_level = width<V>::load(levels + at);
    const V other_xl = sub(xl, mul(wxi, old_level));
    const V other_l2 = sub(l2, mul(mul(wi, old_level), old_level));
    const V product = mul(xi, other_l2);
    const auto counts = lt(zero, other_xl);
    if (none_true(and_not(counts, surely_stays(half, old_level, product, other_xl)))) continue;
    const V wanted = div(product, other_xl);
    invalid = if_then_else(and_not(counts, in_range(wanted)), width<V>::set(1.0f), invalid);
    const V level = symmetric_level(half, wanted);
    const auto other_level = and_not(counts, equal(level, old_level));
    if (none_true(other_level)) continue;
    const V new_xl = add(other_xl, mul(wxi, level));
    const V new_l2 = add(other_l2, mul(mul(wi, level), level));
    const auto better = lt(mul(mul(xl, xl), new_l2), mul(mul(new_xl, new_xl), l2));
    const auto moves = both(both(other_level, lt(zero, new_l2)), better);
    store(if_then_else(moves, level, old_level), levels + at);
    xl = if_then_else(moves, new_xl, xl);
    l2 = if_then_else(moves, new_l2, l2);
    changed = either(changed, moves);
  }
  return changed;
}

// The weights are x^2. A lane that has converged stays unchanged while others continue.
template <int Count, class V>
HWY_NOINLINE void improve_symmetric(int half, const float* HWY_RESTRICT x, symmetric_fits& fits, std::size_t at) {
  const V zero = width<V>::set(0.0f);
  HWY_ALIGN float w[Count * widest_lanes];
  HWY_ALIGN float wx[Count * widest_lanes];
  HWY_ALIGN float levels[Count * widest_lanes];
  const V extreme = extreme_of<Count, V>(x);
  const auto negligible_all = equal(extreme, zero);
  const V inverse = div(width<V>::set(static_cast<float>(-half)), extreme);
  V xl = zero, l2 = zero, invalid = zero;
  for (std::size_t i = 0; i < Count; ++i) {
    const std::size_t place = i * width<V>::lanes();
    const V xi = width<V>::load(x + place);
    const V wi = mul(xi, xi), wxi = mul(wi, xi), level = symmetric_level(half, mul(inverse, xi));
    store(wi, w + place);
    store(wxi, wx + place);
    store(level, levels + place);
    xl = add(xl, mul(wxi, level));
    l2 = add(l2, mul(mul(wi, level), level));
  }
  for (int sweep = 0; sweep < 5; ++sweep) {
    if (none_true(improve_once<Count>(half, x, w, wx, levels, xl, l2, invalid))) break;
  }
  store(zero_where(negligible_all, div(xl, l2)), fits.scale + at);
  store(zero_where(negligible_all, inverse), fits.inverse + at);
  store(zero_unless(either(equal(invalid, zero), negligible_all), width<V>::set(1.0f)), fits.valid + at);
}

template <int Count>
struct symmetric_search {
  int half;
  symmetric_fits& fits;

  template <class V>
  HWY_INLINE void operator()(const float* x, const float* w, std::size_t at) const {
    search_symmetric<Count, V>(half, x, w, fits, at);
  }
};

template <int Count>
struct symmetric_improvement {
  int half;
  symmetric_fits& fits;

  template <class V>
  HWY_INLINE void operator()(const float* x, const float*, std::size_t at) const {
    improve_symmetric<Count, V>(half, x, fits, at);
  }
};

// ---- weight functions ------------------------------------------------------------------------------------------

struct weigh_nothing {
  template <class V>
  HWY_INLINE void operator()(std::size_t, std::size_t, const float*, float*) const {}
};

template <int Count>
struct weigh_by_square {
  template <class V>
  HWY_INLINE void operator()(std::size_t, std::size_t, const float* x, float* HWY_RESTRICT w) const {
    for (std::size_t i = 0; i < Count; ++i) {
      const V xi = width<V>::load(x + i * width<V>::lanes());
      store(mul(xi, xi), w + i * width<V>::lanes());
    }
  }
};

// ---- levels ----------------------------------------------------------------------------------------------------

// Levels 0..2 * half - 1 of `Count` numbers for the scale as stored.
template <int Count>
HWY_INLINE void stored_symmetric_levels(int half, const float* x, float scale, std::int8_t* q) {
  const float_tag d;
  for (std::size_t i = 0; i < Count; i += lane_count()) {
    const ints level = clamp(nearest_int(hn::Div(hn::LoadU(d, x + i), all(scale))), -half, half - 1);
    store_levels(hn::Add(level, hn::Set(int_tag(), half)), reinterpret_cast<std::uint8_t*>(q) + i);
  }
}

// Levels as found by search_symmetric().
template <int Count>
HWY_INLINE void fitted_symmetric_levels(int half, const float* x, float inverse, std::int8_t* q) {
  const float_tag d;
  const int offset = inverse != 0.0f ? half : 0;
  for (std::size_t i = 0; i < Count; i += lane_count()) {
    const ints level = clamp(nearest_int(hn::Mul(hn::LoadU(d, x + i), all(inverse))), -half, half - 1);
    store_levels(hn::Add(level, hn::Set(int_tag(), offset)), reinterpret_cast<std::uint8_t*>(q) + i);
  }
}

}  // namespace
}  // namespace hartonomous::codecs::HWY_NAMESPACE
#endif  // HWY_TARGET
HWY_AFTER_NAMESPACE();

#endif
