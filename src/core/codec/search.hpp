// How encoders choose scales: three searches for the levels that best reproduce a few numbers.
//
// x are the numbers, w >= 0 their weights, q the levels found. Each search starts from the scale that just covers the
// range, tries neighbors of it, and for each trial solves the least squares problem with fixed levels.
//
// The results must match the reference bit for bit. So all sums are floats in the order of the numbers, and products
// associate to the left as written: (w * x) * q and w * (x * q) differ.
#pragma once

#include <cstdint>

namespace hartonomous::codecs {

// x ~ scale * q - minimum with q in 0..top and minimum >= 0 (so that zero can be represented).
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
  bool absolute_error;  // minimize the sum of w * |error| instead of w * error^2
};

// For at most 32 numbers. The scale is 0 if all are equal and none is positive.
affine_fit search_affine(const affine_plan& plan, int count, const float* x, const float* w, std::uint8_t* q);

// All affine formats use this plan with importance.
constexpr affine_plan importance_plan(int top) noexcept { return {top, -0.9f, 0.05f, 36, false}; }

// In a symmetric fit, numbers below this magnitude count as zero.
inline constexpr float negligible = 1e-15f;

// x ~ scale * (q - half) with q in 0..2 * half - 1. If `w` is null, w = x^2. The sign of the scale is such that the
// number of largest magnitude gets the level -half. Returns 0 if all numbers are negligible or all weights are zero.
float search_symmetric(int half, int count, const float* x, const float* w, std::int8_t* q);

// The same fit with w = x^2, found by improving one level at a time instead of trying scales (Q3_K).
float improve_symmetric(int half, int count, const float* x, std::int8_t* q);

// x ~ scale * q with q in 0..top, for numbers x >= 0 (the scales and the minima of sub-blocks).
float search_positive(int top, int count, const float* x, const float* w, std::uint8_t* q);

// Extreme importance (beyond about 1e30) overflows the sums of a fit and makes its scale NaN. Encoders then make the
// block's half precision scale NaN, and the caller refuses the block.
bool all_finite(const float* x, int count) noexcept;

// The scale of largest magnitude, the first of equals; NaN if one is not finite.
float extreme_scale(const float* scale, int count) noexcept;

// Sum of squares in float, from first to last.
float sum_of_squares(const float* x, int count) noexcept;

// Weights of a fit with importance: w = importance * sqrt(mean_square + x^2), so that small numbers keep some
// influence.
void importance_weights(const float* x, const float* importance, float mean_square, int count, float* w) noexcept;

// The largest magnitude; 0 for no numbers.
float largest_magnitude(const float* x, int count) noexcept;

float sum_of(const float* x, int count) noexcept;

}  // namespace hartonomous::codecs
