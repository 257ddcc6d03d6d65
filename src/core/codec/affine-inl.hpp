// search_affine() of search.hpp for many sub-blocks at once, one in each lane (lanes-inl.hpp).
#if defined(HARTONOMOUS_CODEC_AFFINE_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HARTONOMOUS_CODEC_AFFINE_INL_HPP
#undef HARTONOMOUS_CODEC_AFFINE_INL_HPP
#else
#define HARTONOMOUS_CODEC_AFFINE_INL_HPP
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "codec/lanes-inl.hpp"
#include "codec/search.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous {
namespace codecs {
namespace HWY_NAMESPACE {
namespace {

// What search_affine() finds for the sub-blocks of a batch, to the bit. The levels it would find are
// clamp(nearest_int(inverse * (x - low))); inverse is 0 where scale is 0 for want of a spread.
struct affine_fits {
  HWY_ALIGN float scale[batch_sub_blocks];
  HWY_ALIGN float minimum[batch_sub_blocks];
  HWY_ALIGN float inverse[batch_sub_blocks];
  HWY_ALIGN float low[batch_sub_blocks];
  HWY_ALIGN float total[batch_sub_blocks];  // of the weights of the numbers
  HWY_ALIGN float sound[batch_sub_blocks];  // 0: see can_round(); all else is then undefined
};

HWY_INLINE floats affine_level(float top, floats inverse, floats low, floats x) {
  const floats raw = hn::Mul(inverse, hn::Sub(x, low));
  return nearest(hn::Min(hn::Max(raw, all(0.0f)), all(top)));
}

// The levels of one trial, as floats, and the least squares fit to them; false where there is none.
template <int Count>
HWY_INLINE mask solve_affine(float top, floats inverse, floats start, floats sum_w, floats sum_x, const float* x,
                             const float* w, float* HWY_RESTRICT levels, floats& scale, floats& low) {
  const float_tag d;
  const std::size_t lanes = lane_count();
  const floats zero = hn::Zero(d);
  floats q1 = zero, q2 = zero, qx = zero;  // sums of w q, w q^2, w q x
  for (std::size_t i = 0; i < Count; ++i) {
    const floats xi = hn::Load(d, x + i * lanes);
    const floats level = affine_level(top, inverse, start, xi);
    hn::Store(level, d, levels + i * lanes);
    const floats wq = hn::Mul(hn::Load(d, w + i * lanes), level);
    q1 = hn::Add(q1, wq);
    q2 = hn::Add(q2, hn::Mul(wq, level));
    qx = hn::Add(qx, hn::Mul(wq, xi));
  }
  const floats determinant = hn::Sub(hn::Mul(sum_w, q2), hn::Mul(q1, q1));
  scale = hn::Div(hn::Sub(hn::Mul(sum_w, qx), hn::Mul(sum_x, q1)), determinant);
  low = hn::Div(hn::Sub(hn::Mul(q2, sum_x), hn::Mul(q1, qx)), determinant);
  const mask positive = hn::Gt(low, zero);
  scale = hn::IfThenElse(positive, hn::Div(qx, q2), scale);
  low = hn::IfThenZeroElse(positive, low);
  return hn::Gt(determinant, zero);
}

template <int Count, bool AbsoluteError>
HWY_INLINE floats affine_error(floats scale, floats low, const float* x, const float* w, const float* levels) {
  const float_tag d;
  const std::size_t lanes = lane_count();
  floats total = hn::Zero(d);
  for (std::size_t i = 0; i < Count; ++i) {
    const floats level = hn::Load(d, levels + i * lanes);
    const floats difference = hn::Sub(hn::Add(hn::Mul(scale, level), low), hn::Load(d, x + i * lanes));
    const floats error = AbsoluteError ? hn::Abs(difference) : hn::Mul(difference, difference);
    total = hn::Add(total, hn::Mul(hn::Load(d, w + i * lanes), error));
  }
  return total;
}

// Searches the group of sub-blocks that starts with number `at` of the batch; x and w are transposed.
template <int Count, bool AbsoluteError>
HWY_NOINLINE void search_affine(const affine_plan& plan, const float* HWY_RESTRICT x, const float* HWY_RESTRICT w,
                                affine_fits& fits, std::size_t at) {
  const float_tag d;
  const std::size_t lanes = lane_count();
  const floats zero = hn::Zero(d);
  HWY_ALIGN float levels[Count * most_lanes];

  floats lowest = hn::Load(d, x), high = lowest;
  floats sum_w = hn::Load(d, w), sum_x = hn::Mul(sum_w, lowest);
  for (std::size_t i = 1; i < Count; ++i) {
    const floats xi = hn::Load(d, x + i * lanes), wi = hn::Load(d, w + i * lanes);
    lowest = hn::IfThenElse(hn::Lt(xi, lowest), xi, lowest);  // the first of equals: zeros have signs
    high = hn::IfThenElse(hn::Gt(xi, high), xi, high);
    sum_w = hn::Add(sum_w, wi);
    sum_x = hn::Add(sum_x, hn::Mul(wi, xi));
  }
  const floats first_low = hn::IfThenZeroElse(hn::Gt(lowest, zero), lowest);
  const mask flat = hn::Le(high, first_low);

  const auto top = static_cast<float>(plan.top);
  floats low = first_low, best_low = first_low;
  floats best_inverse = hn::Div(all(top), hn::Sub(high, low));
  floats scale = hn::Div(all(1.0f), best_inverse);
  for (std::size_t i = 0; i < Count; ++i) {
    hn::Store(affine_level(top, best_inverse, low, hn::Load(d, x + i * lanes)), d, levels + i * lanes);
  }
  floats least = affine_error<Count, AbsoluteError>(scale, low, x, w, levels);
  mask sound = can_round(hn::Mul(best_inverse, hn::Sub(high, low)));

  for (int t = 0; t <= plan.trials; ++t) {
    const float factor = plan.first + plan.step * static_cast<float>(t) + top;
    const floats inverse = hn::Div(all(factor), hn::Sub(high, low));
    sound = hn::And(sound, can_round(hn::Mul(inverse, hn::Sub(high, low))));
    sound = hn::And(sound, can_round(hn::Mul(inverse, hn::Sub(lowest, low))));
    floats trial_scale = zero, trial_low = zero;
    const mask solved = solve_affine<Count>(top, inverse, low, sum_w, sum_x, x, w, levels, trial_scale, trial_low);
    const floats error = affine_error<Count, AbsoluteError>(trial_scale, trial_low, x, w, levels);
    const mask better = hn::And(solved, hn::Lt(error, least));
    least = hn::IfThenElse(better, error, least);
    scale = hn::IfThenElse(better, trial_scale, scale);
    best_inverse = hn::IfThenElse(better, inverse, best_inverse);
    best_low = hn::IfThenElse(better, low, best_low);
    low = hn::IfThenElse(better, trial_low, low);
  }
  hn::Store(hn::IfThenZeroElse(flat, scale), d, fits.scale + at);
  hn::Store(hn::Neg(hn::IfThenElse(flat, first_low, low)), d, fits.minimum + at);
  hn::Store(hn::IfThenZeroElse(flat, best_inverse), d, fits.inverse + at);
  hn::Store(best_low, d, fits.low + at);
  hn::Store(sum_w, d, fits.total + at);
  hn::Store(hn::IfThenElseZero(hn::Or(sound, flat), all(1.0f)), d, fits.sound + at);
}

// Fits `sub_blocks` consecutive sub-blocks of Count numbers. weigh(at, group, x, w) gives the transposed numbers x of
// the `group` sub-blocks from number `at` their weights w.
template <int Count, bool AbsoluteError = false, class Weigh>
HWY_INLINE void fit_affine(const affine_plan& plan, const float* x, std::size_t sub_blocks, const Weigh& weigh,
                           affine_fits& fits) {
  HWY_ALIGN float group_x[Count * most_lanes];
  HWY_ALIGN float group_w[Count * most_lanes];
  const std::size_t lanes = lane_count();
  for (std::size_t at = 0; at < sub_blocks; at += lanes) {
    const std::size_t group = std::min(lanes, sub_blocks - at);
    transpose<Count>(x + at * Count, group, group_x);
    weigh(at, group, group_x, group_w);
    search_affine<Count, AbsoluteError>(plan, group_x, group_w, fits, at);
  }
}

HWY_INLINE bool all_sound(const float* sound, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (sound[i] == 0.0f) return false;
  }
  return true;
}

// Levels of `Count` numbers for the scale and the minimum as they are stored.
template <int Count>
HWY_INLINE void stored_affine_levels(int top, const float* x, float scale, float minimum, std::uint8_t* q) {
  const float_tag d;
  for (std::size_t i = 0; i < Count; i += lane_count()) {
    const floats raw = hn::Div(hn::Add(hn::LoadU(d, x + i), all(minimum)), all(scale));
    store_levels(clamp(nearest_int(raw), 0, top), q + i);
  }
}

// Levels as the search left them.
template <int Count>
HWY_INLINE void fitted_affine_levels(int top, const float* x, float inverse, float low, std::uint8_t* q) {
  const float_tag d;
  for (std::size_t i = 0; i < Count; i += lane_count()) {
    const floats raw = hn::Mul(all(inverse), hn::Sub(hn::LoadU(d, x + i), all(low)));
    store_levels(clamp(nearest_int(raw), 0, top), q + i);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace codecs
}  // namespace hartonomous
HWY_AFTER_NAMESPACE();

#endif
