// The choice of scales for a block before it is quantized: by the weighted error of rounding, without regard to other
// columns. Importance is given once for each column.
#if defined(HARTONOMOUS_HESSIAN_SCALES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HARTONOMOUS_HESSIAN_SCALES_INL_HPP
#undef HARTONOMOUS_HESSIAN_SCALES_INL_HPP
#else
#define HARTONOMOUS_HESSIAN_SCALES_INL_HPP
#endif

#include <hwy/highway.h>

#include <cfloat>
#include <cstddef>

#include "hessian/levels-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::hessian_detail::HWY_NAMESPACE {
namespace {

// Weights x (a column every `stride` numbers) with importance w.
struct weights_view {
  const float* x;
  const float* w;
  std::size_t stride;
  int count;
};

// Rounds to the grid of `scale` and `offset`, and returns the weighted error. l1, l2 and lx are the sums of w l, w l²
// and w l x of the levels l, from which the best scale and offset for these levels follow.
template <bool offsets, bool uneven>
HWY_INLINE floats round_and_sum(const grid& g, const weights_view& in, floats scale, floats offset, floats& l1,
                                floats& l2, floats& lx) {
  const floats inverse = reciprocal(scale);
  floats error = all(0.0f);
  l1 = l2 = lx = error;
  for (int k = 0; k < in.count; ++k) {
    const floats x = load(in.x + static_cast<std::size_t>(k) * in.stride), w = all(in.w[k]);
    const floats level = level_for<offsets, uneven>(g, x, inverse, offset);
    const floats difference = hn::Sub(x, value_of<offsets>(level, scale, offset));
    error = hn::Add(error, hn::Mul(hn::Mul(w, difference), difference));
    const floats wl = hn::Mul(w, level);
    if constexpr (offsets) l1 = hn::Add(l1, wl);
    l2 = hn::Add(l2, hn::Mul(wl, level));
    lx = hn::Add(lx, hn::Mul(wl, x));
  }
  return error;
}

template <bool offsets, bool uneven>
HWY_INLINE floats error_of(const grid& g, const weights_view& in, floats scale, floats offset) {
  floats l1, l2, lx;
  return round_and_sum<offsets, uneven>(g, in, scale, offset, l1, l2, lx);
}

// Determinants below this share of their first product are rounding errors: all levels are equal.
inline constexpr float singular = 1e-5f;

// The best scale and offset for given levels; they stay as they are where there is none. `s1` and `sx` are the sums of
// w and w x. With integers, offsets are not positive, and scales are positive.
template <bool offsets>
HWY_INLINE void solve(const grid& g, floats s1, floats sx, floats l1, floats l2, floats lx, floats& scale,
                      floats& offset) {
  const floats zero = all(0.0f);
  const floats through_zero = hn::Div(lx, l2);
  if constexpr (!offsets) {
    scale = hn::IfThenElse(hn::Gt(l2, zero), through_zero, scale);
    return;
  }
  const floats product = hn::Mul(s1, l2);
  const floats determinant = hn::Sub(product, hn::Mul(l1, l1));
  floats solved = hn::Div(hn::Sub(hn::Mul(s1, lx), hn::Mul(sx, l1)), determinant);
  floats low = hn::Div(hn::Sub(hn::Mul(l2, sx), hn::Mul(l1, lx)), determinant);
  mask valid = hn::Gt(determinant, hn::Mul(all(singular), product));
  if (g.integers) {
    const mask positive = hn::Gt(low, zero);
    solved = hn::IfThenElse(positive, through_zero, solved);
    low = hn::IfThenZeroElse(positive, low);
    valid = hn::And(valid, hn::Gt(solved, zero));
  }
  scale = hn::IfThenElse(valid, solved, scale);
  offset = hn::IfThenElse(valid, low, offset);
}

// Keeps `scale` and `offset` where `error` is less than the least so far.
HWY_INLINE void keep_better(floats error, floats scale, floats offset, floats& least, floats& best_scale,
                            floats& best_offset) {
  const mask better = hn::Lt(error, least);
  least = hn::IfThenElse(better, error, least);
  best_scale = hn::IfThenElse(better, scale, best_scale);
  best_offset = hn::IfThenElse(better, offset, best_offset);
}

// The extremes of a sub-block.
HWY_INLINE void range_of(const weights_view& in, floats& low, floats& high) {
  low = high = load(in.x);
  for (int k = 1; k < in.count; ++k) {
    const floats x = load(in.x + static_cast<std::size_t>(k) * in.stride);
    low = hn::Min(low, x);
    high = hn::Max(high, x);
  }
}

// Number of starting scales, and how many steps the first is from the one that just covers the range.
template <bool offsets>
struct scan_plan {
  static constexpr int first = offsets ? -9 : -12, last = offsets ? 27 : 12, signs = offsets ? 1 : 2;
};

// The scale and the offset of a sub-block, any real numbers, that round it best. From each starting scale, levels and
// scale are improved in turn.
template <bool offsets, bool uneven>
void scan(const grid& g, const weights_view& in, floats& best_scale, floats& best_offset) {
  using plan = scan_plan<offsets>;
  floats low, high, sx = all(0.0f);
  range_of(in, low, high);
  float s1 = 0.0f;
  for (int k = 0; k < in.count; ++k) {
    s1 += in.w[k];
    sx = hn::Add(sx, hn::Mul(all(in.w[k]), load(in.x + static_cast<std::size_t>(k) * in.stride)));
  }
  if (offsets && g.integers) low = hn::Min(low, all(0.0f));
  const floats extent = offsets ? hn::Sub(high, low) : hn::Max(hn::Neg(low), high);
  const float greatest = offsets ? g.high : -g.low;
  floats least = all(FLT_MAX);
  best_scale = all(0.0f);
  best_offset = offsets ? low : best_scale;
  for (int sign = 0; sign < plan::signs; ++sign) {
    for (int t = plan::first; t <= plan::last; ++t) {
      const float divisor = greatest + g.step * static_cast<float>(t);
      floats scale = hn::Div(extent, all(sign == 0 ? divisor : -divisor));
      floats offset = offsets ? low : all(0.0f);
      for (int round = 0;; ++round) {
        floats l1, l2, lx;
        const floats error = round_and_sum<offsets, uneven>(g, in, scale, offset, l1, l2, lx);
        keep_better(error, scale, offset, least, best_scale, best_offset);
        if (round == 2) break;
        solve<offsets>(g, all(s1), sx, l1, l2, lx, scale, offset);
      }
    }
  }
}

// ---- blocks with integers --------------------------------------------------------------------------------------

// The scales of a block: those of sub-blocks as wanted (any real numbers) and as chosen (integers), a column each.
struct block_scales {
  HWY_ALIGN float scale[most_sub_blocks * max_lanes];
  HWY_ALIGN float offset[most_sub_blocks * max_lanes];
  HWY_ALIGN float integer[most_sub_blocks * max_lanes];
  HWY_ALIGN float minimum[most_sub_blocks * max_lanes];
};

// Sums over a block for the best d and dmin when levels and integers are given: u = integer * level, v = -minimum.
struct block_sums {
  HWY_ALIGN float uu[max_lanes];
  HWY_ALIGN float uv[max_lanes];
  HWY_ALIGN float vv[max_lanes];
  HWY_ALIGN float ux[max_lanes];
  HWY_ALIGN float vx[max_lanes];

  block_sums() {
    for (float* sum : {uu, uv, vv, ux, vx}) store(all(0.0f), sum);
  }
  static HWY_INLINE void add(float* sum, floats term) { store(hn::Add(load(sum), term), sum); }
};

// The integers near those wanted that round sub-block j best with d and dmin. Returns the error.
template <bool offsets, bool uneven>
floats choose_integers(const grid& g, const weights_view& in, floats d, floats dmin, block_scales& scales, int j,
                       block_sums& sums) {
  const std::size_t at = static_cast<std::size_t>(j) * max_lanes;
  const floats wanted =
      clamp(lanes::nearest(hn::Mul(load(scales.scale + at), reciprocal(d))), g.scale_low, g.scale_high);
  const floats wanted_minimum =
      offsets
          ? clamp(lanes::nearest(hn::Neg(hn::Mul(load(scales.offset + at), reciprocal(dmin)))), 0.0f, g.minimum_high)
          : all(0.0f);
  floats least = all(FLT_MAX), best = wanted, best_minimum = wanted_minimum;
  for (int b = offsets ? -1 : 0; b <= (offsets ? 1 : 0); ++b) {
    const floats minimum = clamp(hn::Add(wanted_minimum, all(static_cast<float>(b))), 0.0f, g.minimum_high);
    const floats offset = hn::Neg(hn::Mul(dmin, minimum));
    for (int a = -1; a <= 1; ++a) {
      const floats integer = clamp(hn::Add(wanted, all(static_cast<float>(a))), g.scale_low, g.scale_high);
      const floats error = error_of<offsets, uneven>(g, in, hn::Mul(d, integer), offset);
      keep_better(error, integer, minimum, least, best, best_minimum);
    }
  }
  store(best, scales.integer + at);
  store(best_minimum, scales.minimum + at);
  floats l1, l2, lx;
  const floats error =
      round_and_sum<offsets, uneven>(g, in, hn::Mul(d, best), hn::Neg(hn::Mul(dmin, best_minimum)), l1, l2, lx);
  sums.add(sums.uu, hn::Mul(hn::Mul(best, best), l2));
  sums.add(sums.ux, hn::Mul(best, lx));
  if constexpr (offsets) {
    floats s1 = all(0.0f), sx = s1;
    for (int k = 0; k < in.count; ++k) {
      s1 = hn::Add(s1, all(in.w[k]));
      sx = hn::Add(sx, hn::Mul(all(in.w[k]), load(in.x + static_cast<std::size_t>(k) * in.stride)));
    }
    sums.add(sums.uv, hn::Neg(hn::Mul(hn::Mul(best, best_minimum), l1)));
    sums.add(sums.vv, hn::Mul(hn::Mul(best_minimum, best_minimum), s1));
    sums.add(sums.vx, hn::Neg(hn::Mul(best_minimum, sx)));
  }
  return error;
}

// Minimizes |d u + dmin v - x|² over d and dmin >= 0 (any sign without integers); both stay where there is no solution.
// Where scales are unsigned, so is d.
template <bool offsets>
HWY_INLINE void solve_block(const grid& g, floats uu, floats uv, floats vv, floats ux, floats vx, floats& d,
                            floats& dmin) {
  const floats zero = all(0.0f);
  floats solved = hn::Div(hn::Sub(ux, hn::Mul(dmin, uv)), uu), solved_minimum = dmin;
  if constexpr (offsets) {
    const floats product = hn::Mul(uu, vv), determinant = hn::Sub(product, hn::Mul(uv, uv));
    const mask regular = hn::Gt(determinant, hn::Mul(all(singular), product));
    const floats both = hn::Div(hn::Sub(hn::Mul(ux, vv), hn::Mul(vx, uv)), determinant);
    const floats minimum = hn::Div(hn::Sub(hn::Mul(vx, uu), hn::Mul(ux, uv)), determinant);
    solved = hn::IfThenElse(regular, both, solved);
    solved_minimum = hn::IfThenElse(regular, minimum, solved_minimum);
    if (g.integers) {
      const mask negative = hn::Lt(solved_minimum, zero);
      solved = hn::IfThenElse(negative, hn::Div(ux, uu), solved);
      solved_minimum = hn::IfThenZeroElse(negative, solved_minimum);
    }
  }
  mask valid = hn::Gt(uu, zero);
  if (g.scale_low >= 0.0f && g.integers) valid = hn::And(valid, hn::Gt(solved, zero));
  d = hn::IfThenElse(valid, solved, d);
  if constexpr (offsets) dmin = hn::IfThenElse(valid, solved_minimum, dmin);
}

// The scale of largest magnitude, and the largest minimum.
template <bool offsets>
HWY_INLINE void extremes(const block_scales& scales, int count, floats& extreme, floats& minimum) {
  extreme = minimum = all(0.0f);
  for (int j = 0; j < count; ++j) {
    const std::size_t at = static_cast<std::size_t>(j) * max_lanes;
    const floats scale = load(scales.scale + at);
    extreme = hn::IfThenElse(hn::Gt(hn::Abs(scale), hn::Abs(extreme)), scale, extreme);
    if constexpr (offsets) minimum = hn::Max(minimum, hn::Neg(load(scales.offset + at)));
  }
}

// Where a block's choices go: integers and minima a column each.
struct block_target {
  float *d, *dmin, *integers, *minima;
};

template <bool offsets, bool uneven>
void fit_with_integers(const grid& g, const weights_view& block, const block_target& out) {
  block_scales scales;
  const int count = g.sub_blocks();
  const auto sub_block = [&](int j) -> weights_view {
    const std::size_t first = static_cast<std::size_t>(j) * static_cast<std::size_t>(g.sub_block);
    return {block.x + first * block.stride, block.w + first, block.stride, g.sub_block};
  };
  for (int j = 0; j < count; ++j) {
    floats scale, offset;
    scan<offsets, uneven>(g, sub_block(j), scale, offset);
    store(scale, scales.scale + static_cast<std::size_t>(j) * max_lanes);
    store(offset, scales.offset + static_cast<std::size_t>(j) * max_lanes);
  }
  floats extreme, minimum, least = all(FLT_MAX);
  extremes<offsets>(scales, count, extreme, minimum);
  const floats unit = hn::Div(extreme, all(g.scale_low < 0.0f ? g.scale_low : g.scale_high));
  bool first = true;
  for (const float factor : {1.0f, 0.93f, 1.07f}) {
    floats d = to_half(hn::Mul(unit, all(factor)));
    floats dmin = offsets ? to_half(hn::Div(minimum, all(g.minimum_high))) : all(0.0f);
    for (int round = 0;; ++round) {
      block_sums sums;
      floats error = all(0.0f);
      for (int j = 0; j < count; ++j) {
        error = hn::Add(error, choose_integers<offsets, uneven>(g, sub_block(j), d, dmin, scales, j, sums));
      }
      // The very first choice is kept even if its error is not a number, for example because d overflows.
      const mask better = first ? hn::Eq(all(0.0f), all(0.0f)) : hn::Lt(error, least);
      first = false;
      least = hn::IfThenElse(better, error, least);
      store(hn::IfThenElse(better, d, load(out.d)), out.d);
      store(hn::IfThenElse(better, dmin, load(out.dmin)), out.dmin);
      for (int j = 0; j < count; ++j) {
        const std::size_t from = static_cast<std::size_t>(j) * max_lanes,
                          to = static_cast<std::size_t>(j) * block.stride;
        store(hn::IfThenElse(better, load(scales.integer + from), load(out.integers + to)), out.integers + to);
        store(hn::IfThenElse(better, load(scales.minimum + from), load(out.minima + to)), out.minima + to);
      }
      if (round == 2) break;
      solve_block<offsets>(g, load(sums.uu), load(sums.uv), load(sums.vv), load(sums.ux), load(sums.vx), d, dmin);
      d = to_half(d);
      dmin = to_half(dmin);
    }
  }
}

// Chooses d, dmin, integers and minima of a block.
template <bool offsets, bool uneven>
void fit_block(const grid& g, const weights_view& block, const block_target& out) {
  if (g.integers) {
    fit_with_integers<offsets, uneven>(g, block, out);
    return;
  }
  floats scale, offset;
  scan<offsets, uneven>(g, block, scale, offset);
  store(to_half(scale), out.d);
  store(to_half(offset), out.dmin);
  store(all(1.0f), out.integers);
  store(all(-1.0f), out.minima);  // so that the offset is dmin
}

}  // namespace
}  // namespace hartonomous::hessian_detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
