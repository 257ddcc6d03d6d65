// How encoders choose scales: three searches for the levels that reproduce a few numbers best.
//
// x are the numbers, w >= 0 their weights, q the levels found. Each search starts from the scale that just fits the
// range, tries neighbours of it, and for each trial solves the least squares problem with the levels held fixed.
//
// The results must agree with the reference to the bit. So all sums are floats, run in the order of the numbers, and
// products associate to the left as they are written: (w * x) * q and w * (x * q) differ.
#pragma once

#include <cstdint>

namespace hartonomous::codecs {

// x ~ scale * q - minimum with q in 0..top and minimum >= 0 (so that zero stays representable).
struct affine_fit {
  float scale;
  float minimum;
};

// Trial t = 0..trials scales by (first + step * t + top) / range.
struct affine_plan {
  int top;
  float first;
  float step;
  int trials;
  bool absolute_error;  // minimise sum of w * |error| instead of w * error^2
};

// At most 32 numbers. Without a spread (all equal, none positive) scale is 0.
affine_fit search_affine(const affine_plan& plan, int count, const float* x, const float* w, std::uint8_t* q);

// With importance every affine format uses this plan.
constexpr affine_plan importance_plan(int top) noexcept { return {top, -0.9f, 0.05f, 36, false}; }

// Below this magnitude the numbers of a symmetric fit count as zero.
inline constexpr float negligible = 1e-15f;

// x ~ scale * (q - half) with q in 0..2 * half - 1. `w` null means w = x^2. The scale carries the sign that gives
// the number of largest magnitude the level -half. 0 when all numbers are negligible, or all weights are zero.
float search_symmetric(int half, int count, const float* x, const float* w, std::int8_t* q);

// The same fit with w = x^2, found by improving one level at a time instead of trying scales (Q3_K).
float improve_symmetric(int half, int count, const float* x, std::int8_t* q);

// x ~ scale * q with q in 0..top, for numbers x >= 0 (the scales and the minima of sub-blocks).
float search_positive(int top, int count, const float* x, const float* w, std::uint8_t* q);

// Importance out of all proportion (beyond 1e30 or so) overflows the sums of a fit, and the scale is NaN. Encoders make
// such a block's half precision scale NaN, and the caller refuses the block.
bool all_finite(const float* x, int count) noexcept;

// Sum of squares in float, first to last.
float sum_of_squares(const float* x, int count) noexcept;

// Weights of a weighted fit: w = importance * sqrt(mean_square + x^2), so that small numbers keep some say.
void importance_weights(const float* x, const float* importance, float mean_square, int count, float* w) noexcept;

float sum_of(const float* x, int count) noexcept;

}  // namespace hartonomous::codecs
