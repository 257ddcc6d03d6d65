// The steps of batch.hpp for any grid.
#if defined(HARTONOMOUS_HESSIAN_KERNELS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HARTONOMOUS_HESSIAN_KERNELS_INL_HPP
#undef HARTONOMOUS_HESSIAN_KERNELS_INL_HPP
#else
#define HARTONOMOUS_HESSIAN_KERNELS_INL_HPP
#endif

#include <hwy/highway.h>

#include <cstddef>

#include "hessian/batch.hpp"
#include "hessian/feedback-inl.hpp"
#include "hessian/improve-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::hessian_detail::HWY_NAMESPACE {
namespace {

template <bool offsets>
void reconstruct(const problem& with, const batch& rows, std::size_t panel, float* out) {
  const panel_place place(with, panel);
  for_both(with, const_cast<batch&>(rows), [&](const half_batch& half) {
    values_of<offsets>(half, place.from, place.width, out + place.from * rows.stride);
  });
}

// Calls `step` with the properties of the grid as constants.
#define HARTONOMOUS_BY_GRID(step, ...)                           \
  if (with.levels.uneven) return step<false, true>(__VA_ARGS__); \
  return with.levels.offsets ? step<true, false>(__VA_ARGS__) : step<false, false>(__VA_ARGS__)

inline void any_feed_back(const problem& with, batch& rows, std::size_t panel) {
  HARTONOMOUS_BY_GRID(feed_back, with, rows, panel);
}
inline void any_improve(const problem& with, batch& rows, std::size_t panel) {
  HARTONOMOUS_BY_GRID(improve, with, rows, panel);
}
inline void any_add_residual(const problem& with, batch& rows, std::size_t panel) {
  return with.levels.offsets ? add_residual<true>(with, rows, panel) : add_residual<false>(with, rows, panel);
}
inline void any_reconstruct(const problem& with, const batch& rows, std::size_t panel, float* out) {
  return with.levels.offsets ? reconstruct<true>(with, rows, panel, out) : reconstruct<false>(with, rows, panel, out);
}

#undef HARTONOMOUS_BY_GRID

inline const kernels& these_kernels() {
  static const kernels all_steps = {2 * lanes::lane_count(), any_feed_back, any_add_residual, any_improve,
                                    any_reconstruct};
  return all_steps;
}

}  // namespace
}  // namespace hartonomous::hessian_detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
