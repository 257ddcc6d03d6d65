// Quantizing a sub-block column by column, with the error of each fed back into the next; and the choice of its scales
// by the error that remains.
//
// With an upper triangular C, the squares of the errors e sum to (t - q) (CᵀC)⁻¹ (t - q)ᵀ: this is what rounding t to q
// costs once all other weights have been adjusted to it (C of the whole matrix), or while they stay as they are (C of
// the sub-block alone).
#if defined(HARTONOMOUS_HESSIAN_TRIALS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HARTONOMOUS_HESSIAN_TRIALS_INL_HPP
#undef HARTONOMOUS_HESSIAN_TRIALS_INL_HPP
#else
#define HARTONOMOUS_HESSIAN_TRIALS_INL_HPP
#endif

#include <hwy/highway.h>

#include <cfloat>
#include <cstddef>

#include "hessian/scales-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::hessian_detail::HWY_NAMESPACE {
namespace {

// C of a sub-block, transposed, with rows `width` apart, and the reciprocals of its diagonal.
struct triangle {
  const float* rows;
  std::size_t width;
  const float* reciprocals;
};

// The scales of a sub-block and of its block.
struct sub_block_scales {
  float *d, *dmin, *integer, *minimum;  // a column each
};

// What a sub-block is rounded to: its scales, and the same as factor and summand of its levels.
HWY_INLINE void vary(const grid& g, const sub_block_scales& now, floats a, floats b, floats& d, floats& dmin,
                     floats& integer, floats& minimum) {
  d = load(now.d);
  dmin = load(now.dmin);
  integer = load(now.integer);
  minimum = load(now.minimum);
  if (g.integers) {
    integer = clamp(hn::Add(integer, a), g.scale_low, g.scale_high);
    minimum = clamp(hn::Add(minimum, b), 0.0f, g.minimum_high);
  } else {
    dmin = to_half(hn::Add(dmin, hn::Mul(hn::Mul(b, all(0.25f)), d)));
    d = to_half(hn::Add(d, hn::Mul(hn::Mul(a, all(g.nudge)), d)));
  }
}

template <bool offsets>
HWY_INLINE void scales_of(floats d, floats dmin, floats integer, floats minimum, floats& scale, floats& offset) {
  scale = hn::Mul(d, integer);
  if constexpr (offsets) offset = hn::Neg(hn::Mul(dmin, minimum));
}

// t[j] of a sub-block after the errors before it are fed back: t[j] - sum over i < j of e[i] C[i][j]. Even and odd
// terms are summed separately, so that two additions are under way at a time.
HWY_INLINE floats fed_back(floats t, const float* row, const float* e, std::size_t stride, int j) {
  floats even = t, odd = all(0.0f);
  int i = 0;
  for (; i + 1 < j; i += 2, e += 2 * stride) {
    even = hn::Sub(even, hn::Mul(all(row[i]), load(e)));
    odd = hn::Sub(odd, hn::Mul(all(row[i + 1]), load(e + stride)));
  }
  if (i < j) even = hn::Sub(even, hn::Mul(all(row[i]), load(e)));
  return hn::Add(even, odd);
}

// Rounds column j, stores its error, and adds the square of that to `total`.
template <bool offsets, bool uneven>
HWY_INLINE void round_column(const grid& g, floats t, float reciprocal_of_c, floats scale, floats inverse,
                             floats offset, float* e, floats& total) {
  const floats level = level_for<offsets, uneven>(g, t, inverse, offset);
  const floats error = hn::Mul(hn::Sub(t, value_of<offsets>(level, scale, offset)), all(reciprocal_of_c));
  store(error, e);
  total = hn::Add(total, hn::Mul(error, error));
}

// The squared errors of a sub-block t with three scales and one offset each, side by side.
template <bool offsets, bool uneven>
HWY_INLINE void try_three(const grid& g, const float* t, std::size_t stride, const triangle& c, floats scale0,
                          floats scale1, floats scale2, floats offset0, floats offset1, floats offset2, floats& total0,
                          floats& total1, floats& total2) {
  HWY_ALIGN float e0[longest_sub_block * max_lanes];
  HWY_ALIGN float e1[longest_sub_block * max_lanes];
  HWY_ALIGN float e2[longest_sub_block * max_lanes];
  const floats inverse0 = reciprocal(scale0), inverse1 = reciprocal(scale1), inverse2 = reciprocal(scale2);
  const std::size_t step = lanes::lane_count();
  total0 = total1 = total2 = all(0.0f);
  for (int j = 0; j < g.sub_block; ++j) {
    const auto at = static_cast<std::size_t>(j);
    const float* row = c.rows + at * c.width;
    floats even0 = load(t + at * stride), odd0 = all(0.0f);
    floats even1 = even0, odd1 = odd0, even2 = even0, odd2 = odd0;
    std::size_t i = 0;
    for (; i + 1 < at; i += 2) {
      const floats first = all(row[i]), second = all(row[i + 1]);
      even0 = hn::Sub(even0, hn::Mul(first, load(e0 + i * step)));
      even1 = hn::Sub(even1, hn::Mul(first, load(e1 + i * step)));
      even2 = hn::Sub(even2, hn::Mul(first, load(e2 + i * step)));
      odd0 = hn::Sub(odd0, hn::Mul(second, load(e0 + (i + 1) * step)));
      odd1 = hn::Sub(odd1, hn::Mul(second, load(e1 + (i + 1) * step)));
      odd2 = hn::Sub(odd2, hn::Mul(second, load(e2 + (i + 1) * step)));
    }
    if (i < at) {
      const floats last = all(row[i]);
      even0 = hn::Sub(even0, hn::Mul(last, load(e0 + i * step)));
      even1 = hn::Sub(even1, hn::Mul(last, load(e1 + i * step)));
      even2 = hn::Sub(even2, hn::Mul(last, load(e2 + i * step)));
    }
    const float r = c.reciprocals[j];
    round_column<offsets, uneven>(g, hn::Add(even0, odd0), r, scale0, inverse0, offset0, e0 + at * step, total0);
    round_column<offsets, uneven>(g, hn::Add(even1, odd1), r, scale1, inverse1, offset1, e1 + at * step, total1);
    round_column<offsets, uneven>(g, hn::Add(even2, odd2), r, scale2, inverse2, offset2, e2 + at * step, total2);
  }
}

// The variation of the scales with the least error, in a and b (see vary()); returns the error. The scales as they are
// win a tie.
template <bool offsets, bool uneven>
floats choose_scales(const grid& g, const float* t, std::size_t stride, const triangle& c, const sub_block_scales& now,
                     floats& best_a, floats& best_b) {
  floats least = all(FLT_MAX);
  best_a = best_b = all(0.0f);
  for (const float variation : {0.0f, -1.0f, 1.0f}) {
    if (!offsets && variation != 0.0f) break;
    const floats zero = all(0.0f), one = all(1.0f), minus = all(-1.0f), b = all(variation);
    floats d, dmin, integer, minimum, total0, total1, total2;
    floats scale0 = zero, scale1 = zero, scale2 = zero, offset0 = zero, offset1 = zero, offset2 = zero;
    vary(g, now, zero, b, d, dmin, integer, minimum);
    scales_of<offsets>(d, dmin, integer, minimum, scale0, offset0);
    vary(g, now, minus, b, d, dmin, integer, minimum);
    scales_of<offsets>(d, dmin, integer, minimum, scale1, offset1);
    vary(g, now, one, b, d, dmin, integer, minimum);
    scales_of<offsets>(d, dmin, integer, minimum, scale2, offset2);
    try_three<offsets, uneven>(g, t, stride, c, scale0, scale1, scale2, offset0, offset1, offset2, total0, total1,
                               total2);
    keep_better(total0, zero, b, least, best_a, best_b);
    keep_better(total1, minus, b, least, best_a, best_b);
    keep_better(total2, one, b, least, best_a, best_b);
  }
  return least;
}

// Quantizes t with the given scales: levels (floats) and errors, a column every `step` numbers.
template <bool offsets, bool uneven>
void quantize_sub_block(const grid& g, const float* t, std::size_t stride, const triangle& c, floats scale,
                        floats offset, float* levels, float* errors, std::size_t error_stride) {
  const floats inverse = reciprocal(scale);
  const std::size_t step = lanes::lane_count();
  for (int j = 0; j < g.sub_block; ++j) {
    const auto at = static_cast<std::size_t>(j);
    const floats x = fed_back(load(t + at * stride), c.rows + at * c.width, errors, error_stride, j);
    const floats level = level_for<offsets, uneven>(g, x, inverse, offset);
    store(level, levels + at * step);
    store(hn::Mul(hn::Sub(x, value_of<offsets>(level, scale, offset)), all(c.reciprocals[j])),
          errors + at * error_stride);
  }
}

}  // namespace
}  // namespace hartonomous::hessian_detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
