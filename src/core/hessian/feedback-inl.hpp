// The first pass: scales are chosen for a block as the errors of the columns before have left it, and the error of each
// weight is fed back into those after it.
#if defined(HARTONOMOUS_HESSIAN_FEEDBACK_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HARTONOMOUS_HESSIAN_FEEDBACK_INL_HPP
#undef HARTONOMOUS_HESSIAN_FEEDBACK_INL_HPP
#else
#define HARTONOMOUS_HESSIAN_FEEDBACK_INL_HPP
#endif

#include <hwy/highway.h>

#include <cstddef>

#include "hessian/batch-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::hessian_detail::HWY_NAMESPACE {
namespace {

// Blocks that are missing get scales of zero, from which nothing below can lead away.
inline void clear_missing(const half_batch& half, std::size_t column) {
  const grid& g = half.g;
  const mask present =
      hn::Ne(load(half.rows.present.get() + half.at(column / static_cast<std::size_t>(g.block))), all(0.0f));
  const sub_block_scales first = half.scales(column);
  store(hn::IfThenElseZero(present, load(first.d)), first.d);
  store(hn::IfThenElseZero(present, load(first.dmin)), first.dmin);
  if (!g.integers) return;
  for (int j = 0; j < g.sub_blocks(); ++j) {
    const std::size_t at = static_cast<std::size_t>(j) * half.rows.stride;
    store(hn::IfThenElseZero(present, load(first.integer + at)), first.integer + at);
    store(hn::IfThenElseZero(present, load(first.minimum + at)), first.minimum + at);
  }
}

// Quantizes the sub-block at `column` by feedback, and stores the errors.
template <bool offsets, bool uneven>
void feed_back_sub_block(const half_batch& half, std::size_t column, const triangle& c, float* errors) {
  const grid& g = half.g;
  batch& rows = half.rows;
  const float* t = rows.residual.get() + half.at(column);
  const sub_block_scales now = half.scales(column);
  floats a, b, d, dmin, integer, minimum, scale, offset = all(0.0f);
  choose_scales<offsets, uneven>(g, t, rows.stride, c, now, a, b);
  vary(g, now, a, b, d, dmin, integer, minimum);
  scales_of<offsets>(d, dmin, integer, minimum, scale, offset);
  HWY_ALIGN float levels[longest_sub_block * max_lanes];
  quantize_sub_block<offsets, uneven>(g, t, rows.stride, c, scale, offset, levels, errors, rows.stride);
  store(d, now.d), store(dmin, now.dmin), store(integer, now.integer), store(minimum, now.minimum);
  for (std::size_t k = 0; k < static_cast<std::size_t>(g.sub_block); ++k) {
    store_level(load(levels + k * lanes::lane_count()), half.levels(column + k));
  }
}

template <bool offsets, bool uneven>
void feed_back(const problem& with, batch& rows, std::size_t panel) {
  const panel_place place(with, panel);
  const auto block = static_cast<std::size_t>(with.levels.block),
             part = static_cast<std::size_t>(with.levels.sub_block);
  const float* c = with.hessian.factor_panel(panel);
  float* errors = rows.panel_array(0);
  for (std::size_t begin = 0; begin < place.width; begin += block) {
    for_both(with, rows, [&](const half_batch& half) {
      const std::size_t column = place.from + begin;
      const weights_view view = {rows.residual.get() + half.at(column), with.hessian.importance() + column, rows.stride,
                                 with.levels.block};
      const sub_block_scales first = half.scales(column);
      fit_block<offsets, uneven>(with.levels, view, {first.d, first.dmin, first.integer, first.minimum});
      clear_missing(half, column);
    });
    for (std::size_t at = begin; at < begin + block; at += part) {
      const triangle diagonal = {c + at * place.width + at, place.width,
                                 with.hessian.factor_reciprocals() + place.from + at};
      for_both(with, rows, [&](const half_batch& half) {
        feed_back_sub_block<offsets, uneven>(half, place.from + at, diagonal, errors + half.at(at));
      });
      // To the rest of the panel at once.
      const std::size_t next = at + part;
      subtract_products(c + next * place.width, place.width, place.width - next, errors, column_groups::of(at, part),
                        rows.residual.get() + (place.from + next) * rows.stride);
    }
  }
  const std::size_t next = place.from + place.width;
  subtract_products(c + place.width * place.width, place.width, rows.columns - next, errors,
                    column_groups::of(0, place.width), rows.residual.get() + next * rows.stride);
}

}  // namespace
}  // namespace hartonomous::hessian_detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
