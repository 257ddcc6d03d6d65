// A batch of rows (batch.hpp) as the steps see it: two vectors, and the values that its levels stand for.
#if defined(HARTONOMOUS_HESSIAN_BATCH_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HARTONOMOUS_HESSIAN_BATCH_INL_HPP
#undef HARTONOMOUS_HESSIAN_BATCH_INL_HPP
#else
#define HARTONOMOUS_HESSIAN_BATCH_INL_HPP
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "hessian/batch.hpp"
#include "hessian/products-inl.hpp"
#include "hessian/trials-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::hessian_detail::HWY_NAMESPACE {
namespace {

// One of the two vectors of a batch, with addresses of what belongs to a column, a sub-block or a block.
struct half_batch {
  const grid& g;
  batch& rows;
  std::size_t lane;  // the first

  std::size_t at(std::size_t i) const { return i * rows.stride + lane; }
  std::int8_t* levels(std::size_t column) const { return rows.levels.get() + at(column); }
  sub_block_scales scales(std::size_t column) const {
    const std::size_t block = at(column / static_cast<std::size_t>(g.block));
    const std::size_t sub_block = at(column / static_cast<std::size_t>(g.sub_block));
    return {rows.d.get() + block, rows.dmin.get() + block, rows.scales.get() + sub_block,
            rows.minima.get() + sub_block};
  }
};

// Where a panel lies.
struct panel_place {
  std::size_t from, width;
  panel_place(const problem& with, std::size_t panel)
      : from(panel * input_hessian::panel_columns), width(with.hessian.panel_width(panel)) {}
};

template <bool offsets>
HWY_INLINE void current_scales(const half_batch& half, std::size_t column, floats& scale, floats& offset) {
  const sub_block_scales now = half.scales(column);
  scales_of<offsets>(load(now.d), load(now.dmin), load(now.integer), load(now.minimum), scale, offset);
}

// Values of `count` columns from `column` on, a sub-block or several.
template <bool offsets>
void values_of(const half_batch& half, std::size_t column, std::size_t count, float* out) {
  floats scale = all(0.0f), offset = scale;
  for (std::size_t k = 0; k < count; ++k) {
    if (k % static_cast<std::size_t>(half.g.sub_block) == 0) current_scales<offsets>(half, column + k, scale, offset);
    store(value_of<offsets>(load_level(half.levels(column + k)), scale, offset), out + half.at(k));
  }
}

template <class Body>
HWY_INLINE void for_both(const problem& with, batch& rows, const Body& body) {
  body(half_batch{with.levels, rows, 0});
  body(half_batch{with.levels, rows, lanes::lane_count()});
}

// The columns of a panel whose values differ; the differences new - old are stored in place of the new ones.
inline column_groups differences(std::size_t width, std::size_t stride, const float* old_values, float* values) {
  column_groups changed;
  for (std::size_t first = 0; first < width; first += group_columns) {
    floats any = all(0.0f);
    for (std::size_t k = first * stride; k < (first + group_columns) * stride; k += lanes::lane_count()) {
      const floats difference = hn::Sub(load(values + k), load(old_values + k));
      any = hn::Add(any, hn::Abs(difference));
      store(difference, values + k);
    }
    if (!hn::AllFalse(float_tag(), hn::Ne(any, all(0.0f)))) changed.first[changed.count++] = first;
  }
  return changed;
}

}  // namespace
}  // namespace hartonomous::hessian_detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
