// Improvement after the first pass: sub-block by sub-block, against what all other weights leave over.
#if defined(HARTONOMOUS_HESSIAN_IMPROVE_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HARTONOMOUS_HESSIAN_IMPROVE_INL_HPP
#undef HARTONOMOUS_HESSIAN_IMPROVE_INL_HPP
#else
#define HARTONOMOUS_HESSIAN_IMPROVE_INL_HPP
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>

#include "hessian/batch-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::hessian_detail::HWY_NAMESPACE {
namespace {

template <bool offsets>
void add_residual(const problem& with, batch& rows, std::size_t panel) {
  const panel_place place(with, panel);
  float* values = rows.panel_array(0);
  for_both(with, rows, [&](const half_batch& half) { values_of<offsets>(half, place.from, place.width, values); });
  const column_groups changed =
      differences(place.width, rows.stride, rows.original.get() + place.from * rows.stride, values);
  subtract_products(with.hessian.hessian_panel(panel), place.width, rows.columns, values, changed, rows.residual.get());
}

// What a sub-block would be if its weights were real numbers: q + H_gg⁻¹ r. Returns the squared error of what it is.
HWY_INLINE floats wanted_values(int count, const float* residual, const float* values, std::size_t stride,
                                const triangle& c, float* out) {
  HWY_ALIGN float y[longest_sub_block * max_lanes];
  const std::size_t step = lanes::lane_count();
  floats total = all(0.0f);
  for (int i = 0; i < count; ++i) {
    floats even = all(0.0f), odd = even;
    int j = i;
    for (; j + 1 < count; j += 2) {
      const float* row = c.rows + static_cast<std::size_t>(j) * c.width + i;
      const float* r = residual + static_cast<std::size_t>(j) * stride;
      even = hn::Add(even, hn::Mul(all(row[0]), load(r)));
      odd = hn::Add(odd, hn::Mul(all(row[c.width]), load(r + stride)));
    }
    if (j < count) {
      even = hn::Add(even, hn::Mul(all(c.rows[static_cast<std::size_t>(j) * c.width + static_cast<std::size_t>(i)]),
                                   load(residual + static_cast<std::size_t>(j) * stride)));
    }
    const floats sum = hn::Add(even, odd);
    store(sum, y + static_cast<std::size_t>(i) * step);
    total = hn::Add(total, hn::Mul(sum, sum));
  }
  for (int j = 0; j < count; ++j) {
    const float* row = c.rows + static_cast<std::size_t>(j) * c.width;
    floats even = load(values + static_cast<std::size_t>(j) * stride), odd = all(0.0f);
    int i = 0;
    for (; i + 1 <= j; i += 2) {
      even = hn::Add(even, hn::Mul(all(row[i]), load(y + static_cast<std::size_t>(i) * step)));
      odd = hn::Add(odd, hn::Mul(all(row[i + 1]), load(y + static_cast<std::size_t>(i + 1) * step)));
    }
    if (i <= j) even = hn::Add(even, hn::Mul(all(row[i]), load(y + static_cast<std::size_t>(i) * step)));
    store(hn::Add(even, odd), out + static_cast<std::size_t>(j) * step);
  }
  return total;
}

// A sub-block is replaced only if its error falls by more than rounding errors could feign.
inline constexpr float clear_gain = 0.99999f;

// Moves one weight after the other to the level nearest to where it would be best, all others as they are. `h` is the
// diagonal block of H. Adds to `changes`; true if there are any.
template <bool offsets, bool uneven>
bool settle_columns(const half_batch& half, std::size_t column, const float* h, std::size_t width,
                    const float* residual, float* values, float* changes) {
  const grid& g = half.g;
  const std::size_t stride = half.rows.stride, step = lanes::lane_count(),
                    count = static_cast<std::size_t>(g.sub_block);
  HWY_ALIGN float rest[longest_sub_block * max_lanes];
  for (std::size_t j = 0; j < count; ++j) {
    floats even = load(residual + j * stride), odd = all(0.0f);
    for (std::size_t i = 0; i < count; i += 2) {
      even = hn::Sub(even, hn::Mul(all(h[j * width + i]), load(changes + i * stride)));
      odd = hn::Sub(odd, hn::Mul(all(h[j * width + i + 1]), load(changes + (i + 1) * stride)));
    }
    store(hn::Add(even, odd), rest + j * step);
  }
  floats scale, offset = all(0.0f);
  current_scales<offsets>(half, column, scale, offset);
  const floats inverse = reciprocal(scale);
  bool moved = false;
  for (std::size_t k = 0; k < count; ++k) {
    const float diagonal = h[k * width + k];
    const floats old = load(values + k * stride), r = load(rest + k * step);
    const floats wanted = hn::Add(old, hn::Mul(r, all(1.0f / diagonal)));
    const floats level = level_for<offsets, uneven>(g, wanted, inverse, offset);
    const floats change = hn::Sub(value_of<offsets>(level, scale, offset), old);
    // The loss falls by change * (2 r - change H_kk).
    const floats twice = hn::Add(r, r);
    const floats gain = hn::Mul(change, hn::Sub(twice, hn::Mul(change, all(diagonal))));
    const mask better = hn::Gt(gain, hn::Abs(hn::Mul(hn::Mul(change, twice), all(1.0f - clear_gain))));
    if (hn::AllFalse(float_tag(), better)) continue;
    moved = true;
    const floats taken = hn::IfThenElseZero(better, change);
    std::int8_t* stored = half.levels(column + k);
    store_level(hn::IfThenElse(better, level, load_level(stored)), stored);
    store(hn::IfThenElse(better, value_of<offsets>(level, scale, offset), old), values + k * stride);
    store(hn::Add(load(changes + k * stride), taken), changes + k * stride);
    for (std::size_t j = 0; j < count; ++j) {
      store(hn::Sub(load(rest + j * step), hn::Mul(all(h[j * width + k]), taken)), rest + j * step);
    }
  }
  return moved;
}

// Quantizes a sub-block anew where that is better. Stores the changes of its values; true if there are any.
template <bool offsets, bool uneven>
bool improve_sub_block(const half_batch& half, std::size_t column, const triangle& c, const float* residual,
                       float* values, float* changes) {
  const grid& g = half.g;
  const std::size_t stride = half.rows.stride, step = lanes::lane_count();
  HWY_ALIGN float t[longest_sub_block * max_lanes];
  HWY_ALIGN float levels[longest_sub_block * max_lanes];
  HWY_ALIGN float errors[longest_sub_block * max_lanes];
  const floats before = wanted_values(g.sub_block, residual, values, stride, c, t);
  const sub_block_scales now = half.scales(column);
  floats a, b, d, dmin, integer, minimum, scale, offset = all(0.0f);
  const floats after = choose_scales<offsets, uneven>(g, t, step, c, now, a, b);
  const mask better = hn::Lt(after, hn::Mul(before, all(clear_gain)));
  if (hn::AllFalse(float_tag(), better)) {
    for (std::size_t k = 0; k < static_cast<std::size_t>(g.sub_block); ++k) store(all(0.0f), changes + k * stride);
    return false;
  }
  vary(g, now, a, b, d, dmin, integer, minimum);
  scales_of<offsets>(d, dmin, integer, minimum, scale, offset);
  quantize_sub_block<offsets, uneven>(g, t, step, c, scale, offset, levels, errors, step);
  store(hn::IfThenElse(better, d, load(now.d)), now.d);
  store(hn::IfThenElse(better, dmin, load(now.dmin)), now.dmin);
  store(hn::IfThenElse(better, integer, load(now.integer)), now.integer);
  store(hn::IfThenElse(better, minimum, load(now.minimum)), now.minimum);
  for (std::size_t k = 0; k < static_cast<std::size_t>(g.sub_block); ++k) {
    const floats level = load(levels + k * step);
    std::int8_t* stored = half.levels(column + k);
    store_level(hn::IfThenElse(better, level, load_level(stored)), stored);
    const floats old = load(values + k * stride);
    const floats value = hn::IfThenElse(better, value_of<offsets>(level, scale, offset), old);
    store(value, values + k * stride);
    store(hn::Sub(value, old), changes + k * stride);
  }
  return true;
}

// The arrays of a panel that improve() uses.
struct improvement {
  const problem& with;
  batch& rows;
  panel_place place;
  const float* own;                          // rows of H that belong to the panel
  float *residual, *values, *old, *changes;  // residual: as it becomes while the panel changes
  float *u, *hu, *hv;                        // for refit()
};

// d and dmin of the block at `begin`, with its levels and integers as they are, where the loss falls.
template <bool offsets>
void refit(const improvement& in, std::size_t begin, const half_batch& half) {
  const grid& g = half.g;
  floats uhu = all(0.0f), uhv = uhu, vhv = uhu, ur = uhu, vr = uhu;
  for (std::size_t k = begin; k < begin + static_cast<std::size_t>(g.block); ++k) {
    const std::size_t at = half.at(k);
    const floats u = load(in.u + at), r = load(in.residual + at), hu = load(in.hu + at);
    uhu = hn::Sub(uhu, hn::Mul(u, hu));
    ur = hn::Add(ur, hn::Mul(u, r));
    if constexpr (offsets) {
      const floats v = load(in.changes + at);
      uhv = hn::Sub(uhv, hn::Mul(v, hu));
      vhv = hn::Sub(vhv, hn::Mul(v, load(in.hv + at)));
      vr = hn::Add(vr, hn::Mul(v, r));
    }
  }
  const sub_block_scales now = half.scales(in.place.from + begin);
  const floats old_d = load(now.d), old_dmin = load(now.dmin);
  // With x = what the block stands for and its residual: u H x = uhu d + uhv dmin + ur.
  const floats ux = hn::Add(hn::Add(hn::Mul(uhu, old_d), hn::Mul(uhv, old_dmin)), ur);
  const floats vx = hn::Add(hn::Add(hn::Mul(uhv, old_d), hn::Mul(vhv, old_dmin)), vr);
  floats d = old_d, dmin = old_dmin;
  solve_block<offsets>(g, uhu, uhv, vhv, ux, vx, d, dmin);
  d = to_half(d);
  dmin = to_half(dmin);
  const floats a = hn::Sub(d, old_d), b = hn::Sub(dmin, old_dmin), two = all(2.0f);
  floats change = hn::Mul(a, hn::Sub(hn::Mul(a, uhu), hn::Mul(two, ur)));
  if constexpr (offsets) {
    change = hn::Add(change, hn::Mul(b, hn::Sub(hn::Mul(b, vhv), hn::Mul(two, vr))));
    change = hn::Add(change, hn::Mul(hn::Mul(two, hn::Mul(a, b)), uhv));
  }
  const std::size_t block = (in.place.from + begin) / static_cast<std::size_t>(g.block);
  const mask present = hn::Ne(load(half.rows.present.get() + half.at(block)), all(0.0f));
  const mask better = hn::And(present, hn::Lt(change, all(0.0f)));
  store(hn::IfThenElse(better, d, old_d), now.d);
  store(hn::IfThenElse(better, dmin, old_dmin), now.dmin);
}

// u = integer * level and v = -minimum of a block, in the arrays `u` and `changes`.
template <bool offsets>
void directions(const improvement& in, std::size_t begin, const half_batch& half) {
  for (std::size_t k = begin; k < begin + static_cast<std::size_t>(half.g.block); ++k) {
    const sub_block_scales now = half.scales(in.place.from + k);
    store(hn::Mul(load(now.integer), load_level(half.levels(in.place.from + k))), in.u + half.at(k));
    if constexpr (offsets) store(hn::Neg(load(now.minimum)), in.changes + half.at(k));
  }
}

template <bool offsets>
void refit_block(const improvement& in, std::size_t begin) {
  const auto block = static_cast<std::size_t>(in.with.levels.block);
  const std::size_t width = in.place.width, at = begin * in.rows.stride, size = block * in.rows.stride;
  for_both(in.with, in.rows, [&](const half_batch& half) { directions<offsets>(in, begin, half); });
  const column_groups groups = column_groups::of(begin, block);
  std::fill_n(in.hu + at, size, 0.0f);
  subtract_products(in.own + begin * width, width, block, in.u, groups, in.hu + at);
  if constexpr (offsets) {
    std::fill_n(in.hv + at, size, 0.0f);
    subtract_products(in.own + begin * width, width, block, in.changes, groups, in.hv + at);
  }
  for_both(in.with, in.rows, [&](const half_batch& half) { refit<offsets>(in, begin, half); });
  if (block == width) return;  // the residual is not used any more
  for_both(in.with, in.rows,
           [&](const half_batch& half) { values_of<offsets>(half, in.place.from + begin, block, in.u + at); });
  column_groups changed = differences(block, in.rows.stride, in.values + at, in.u + at);
  std::copy_n(in.u + at, size, in.changes + at);
  for (std::size_t i = 0; i < size; i += lanes::lane_count()) {
    store(hn::Add(load(in.values + at + i), load(in.changes + at + i)), in.values + at + i);
  }
  for (std::size_t g = 0; g < changed.count; ++g) changed.first[g] += begin;
  subtract_products(in.own, width, width, in.changes, changed, in.residual);
}

template <bool offsets, bool uneven>
void improve(const problem& with, batch& rows, std::size_t panel) {
  const panel_place place(with, panel);
  const auto block = static_cast<std::size_t>(with.levels.block),
             part = static_cast<std::size_t>(with.levels.sub_block);
  const float* h = with.hessian.hessian_panel(panel);
  const improvement in = {with,
                          rows,
                          place,
                          h + place.from * place.width,
                          rows.panel_array(0),
                          rows.panel_array(1),
                          rows.panel_array(2),
                          rows.panel_array(3),
                          rows.panel_array(4),
                          rows.panel_array(5),
                          rows.panel_array(6)};
  const std::size_t size = place.width * rows.stride;
  std::copy_n(rows.residual.get() + place.from * rows.stride, size, in.residual);
  for_both(with, rows, [&](const half_batch& half) { values_of<offsets>(half, place.from, place.width, in.values); });
  std::copy_n(in.values, size, in.old);
  for (std::size_t begin = 0; begin < place.width; begin += block) {
    for (std::size_t at = begin; at < begin + block; at += part) {
      const triangle c = {with.blocks.factors.data() + (place.from + at) * part, part,
                          with.blocks.reciprocals.data() + place.from + at};
      bool changed = false;
      for_both(with, rows, [&](const half_batch& half) {
        changed |= improve_sub_block<offsets, uneven>(half, place.from + at, c, in.residual + half.at(at),
                                                      in.values + half.at(at), in.changes + half.at(at));
        changed |= settle_columns<offsets, uneven>(half, place.from + at, in.own + at * place.width + at, place.width,
                                                   in.residual + half.at(at), in.values + half.at(at),
                                                   in.changes + half.at(at));
      });
      if (!changed) continue;
      subtract_products(in.own, place.width, place.width, in.changes, column_groups::of(at, part), in.residual);
    }
    refit_block<offsets>(in, begin);
  }
  for_both(with, rows, [&](const half_batch& half) { values_of<offsets>(half, place.from, place.width, in.changes); });
  const column_groups changed = differences(place.width, rows.stride, in.old, in.changes);
  if (changed.count == 0) return;
  rows.moved = true;
  subtract_products(h, place.width, rows.columns, in.changes, changed, rows.residual.get());
}

}  // namespace
}  // namespace hartonomous::hessian_detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
