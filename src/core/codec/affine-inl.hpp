// search_affine() of search.hpp for many sub-blocks at once, one in each lane (lanes-inl.hpp, wide-inl.hpp).
#if defined(HARTONOMOUS_CODEC_AFFINE_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HARTONOMOUS_CODEC_AFFINE_INL_HPP
#undef HARTONOMOUS_CODEC_AFFINE_INL_HPP
#else
#define HARTONOMOUS_CODEC_AFFINE_INL_HPP
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "codec/wide-inl.hpp"
#include "codec/search.hpp"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET != HWY_SCALAR
namespace hartonomous::codecs::HWY_NAMESPACE {
namespace {

// The results of search_affine() for the sub-blocks of a batch, bit for bit. The levels it would find are
// clamp(nearest_int(inverse * (x - low))); inverse is 0 where scale is 0 because the numbers have no spread.
struct affine_fits {
  HWY_ALIGN float scale[batch_sub_blocks];
  HWY_ALIGN float minimum[batch_sub_blocks];
  HWY_ALIGN float inverse[batch_sub_blocks];
  HWY_ALIGN float low[batch_sub_blocks];
  HWY_ALIGN float total[batch_sub_blocks];  // sum of the numbers' weights
  HWY_ALIGN float valid[batch_sub_blocks];  // 0 if can_round() is false; the other results are then undefined
};

template <class V>
HWY_INLINE V affine_level(float top, V inverse, V low, V x) {
  const V raw = mul(inverse, sub(x, low));
  return round(min(max(raw, width<V>::set(0.0f)), width<V>::set(top)));
}

// The levels of one trial, as floats, and their least squares fit. The scale is NaN if there is no fit.
template <int Count, class V>
HWY_INLINE void solve_affine(float top, V inverse, V start, V sum_w, V sum_x, const float* x, const float* w,
                             float* HWY_RESTRICT levels, V& scale, V& low) {
  const V zero = width<V>::set(0.0f);
  V q1 = zero, q2 = zero, qx = zero;  // sums of w q, w q^2, w q x
  for (std::size_t i = 0; i < Count; ++i) {
    const std::size_t at = i * width<V>::lanes();
    const V xi = width<V>::load(x + at);
    const V level = affine_level(top, inverse, start, xi);
    store(level, levels + at);
    const V wq = mul(width<V>::load(w + at), level);
    q1 = add(q1, wq);
    q2 = add(q2, mul(wq, level));
    qx = add(qx, mul(wq, xi));
  }
  const V determinant = sub(mul(sum_w, q2), mul(q1, q1));
  scale = div(sub(mul(sum_w, qx), mul(sum_x, q1)), determinant);
  low = div(sub(mul(q2, sum_x), mul(q1, qx)), determinant);
  const auto positive = lt(zero, low);
  scale = if_then_else(positive, div(qx, q2), scale);
  low = zero_where(positive, low);
  scale = if_then_else(lt(zero, determinant), scale, width<V>::set(std::numeric_limits<float>::quiet_NaN()));
}

// NaN if the scale is not finite.
template <int Count, bool AbsoluteError, class V>
HWY_INLINE V affine_error(V scale, V low, const float* x, const float* w, const float* levels) {
  V total = width<V>::set(0.0f);
  for (std::size_t i = 0; i < Count; ++i) {
    const std::size_t at = i * width<V>::lanes();
    const V difference = sub(add(mul(scale, width<V>::load(levels + at)), low), width<V>::load(x + at));
    V error = AbsoluteError ? abs(difference) : mul(difference, difference);
    total = add(total, mul(width<V>::load(w + at), error));
  }
  return total;
}

// Searches the group of sub-blocks that starts with sub-block `at` of the batch; x and w are transposed.
template <int Count, bool AbsoluteError, class V>
HWY_NOINLINE void search_affine(const affine_plan& plan, const float* HWY_RESTRICT x, const float* HWY_RESTRICT w,
                                affine_fits& fits, std::size_t at) {
  const V zero = width<V>::set(0.0f);
  HWY_ALIGN float levels[Count * widest_lanes];

  V lowest = width<V>::load(x), high = lowest;
  V sum_w = width<V>::load(w), sum_x = mul(sum_w, lowest);
  for (std::size_t i = 1; i < Count; ++i) {
    const V xi = width<V>::load(x + i * width<V>::lanes()), wi = width<V>::load(w + i * width<V>::lanes());
    lowest = if_then_else(lt(xi, lowest), xi, lowest);  // the first of equals, because zeros have signs
    high = if_then_else(lt(high, xi), xi, high);
    sum_w = add(sum_w, wi);
    sum_x = add(sum_x, mul(wi, xi));
  }
  const V first_low = zero_where(lt(zero, lowest), lowest);
  const auto flat = le(high, first_low);

  const auto top = static_cast<float>(plan.top);
  V low = first_low, best_low = first_low;
  V best_inverse = div(width<V>::set(top), sub(high, low));
  V scale = div(width<V>::set(1.0f), best_inverse);
  for (std::size_t i = 0; i < Count; ++i) {
    const std::size_t place = i * width<V>::lanes();
    store(affine_level(top, best_inverse, low, width<V>::load(x + place)), levels + place);
  }
  V least = affine_error<Count, AbsoluteError>(scale, low, x, w, levels);
  auto valid = in_range(mul(best_inverse, sub(high, low)));

  for (int t = 0; t <= plan.trials; ++t) {
    const float factor = plan.first + plan.step * static_cast<float>(t) + top;
    const V inverse = div(width<V>::set(factor), sub(high, low));
    valid = both(valid, in_range(mul(inverse, sub(high, low))));
    valid = both(valid, in_range(mul(inverse, sub(lowest, low))));
    V trial_scale = zero, trial_low = zero;
    solve_affine<Count>(top, inverse, low, sum_w, sum_x, x, w, levels, trial_scale, trial_low);
    const V error = affine_error<Count, AbsoluteError>(trial_scale, trial_low, x, w, levels);
    const auto better = lt(error, least);
    least = if_then_else(better, error, least);
    scale = if_then_else(better, trial_scale, scale);
    best_inverse = if_then_else(better, inverse, best_inverse);
    best_low = if_then_else(better, low, best_low);
    low = if_then_else(better, trial_low, low);
  }
  store(zero_where(flat, scale), fits.scale + at);
  store(neg(if_then_else(flat, first_low, low)), fits.minimum + at);
  store(zero_where(flat, best_inverse), fits.inverse + at);
  store(best_low, fits.low + at);
  store(sum_w, fits.total + at);
  store(zero_unless(either(valid, flat), width<V>::set(1.0f)), fits.valid + at);
}

template <int Count, bool AbsoluteError>
struct affine_search {
  const affine_plan& plan;
  affine_fits& fits;

  template <class V>
  HWY_INLINE void operator()(const float* x, const float* w, std::size_t at) const {
    search_affine<Count, AbsoluteError, V>(plan, x, w, fits, at);
  }
};

// Fits `sub_blocks` consecutive sub-blocks of Count numbers; see search_groups().
template <int Count, bool AbsoluteError = false, class Weigh>
HWY_INLINE void fit_affine(const affine_plan& plan, const float* x, std::size_t sub_blocks, const Weigh& weigh,
                           affine_fits& fits) {
  search_groups<Count>(x, sub_blocks, weigh, affine_search<Count, AbsoluteError>{plan, fits});
}

// Levels of `Count` numbers for the scale and minimum as stored.
template <int Count>
HWY_INLINE void stored_affine_levels(int top, const float* x, float scale, float minimum, std::uint8_t* q) {
  const float_tag d;
  for (std::size_t i = 0; i < Count; i += lane_count()) {
    const floats raw = hn::Div(hn::Add(hn::LoadU(d, x + i), all(minimum)), all(scale));
    store_levels(clamp(nearest_int(raw), 0, top), q + i);
  }
}

// Levels as found by the search.
template <int Count>
HWY_INLINE void fitted_affine_levels(int top, const float* x, float inverse, float low, std::uint8_t* q) {
  const float_tag d;
  for (std::size_t i = 0; i < Count; i += lane_count()) {
    const floats raw = hn::Mul(all(inverse), hn::Sub(hn::LoadU(d, x + i), all(low)));
    store_levels(clamp(nearest_int(raw), 0, top), q + i);
  }
}

}  // namespace
}  // namespace hartonomous::codecs::HWY_NAMESPACE
#endif  // HWY_TARGET
HWY_AFTER_NAMESPACE();

#endif
