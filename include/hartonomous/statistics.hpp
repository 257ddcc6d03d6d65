// Sizes of and distances between runs of weights.
//
// All sums are in double, over eight interleaved partial sums added in a fixed order: the same result on every
// machine. NaN and infinity in the input carry through.
#pragma once

#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous {

// sqrt(mean of squares); 0 for an empty run.
double rms(span<const float> values, interrupt& check);

// ||reference - approximation|| / ||reference||, Euclidean. 0 when both norms are 0 (empty runs included), infinity
// when only the reference is zero. Error 2202E unless the lengths are equal.
double relative_error(span<const float> reference, span<const float> approximation, interrupt& check);

// Sum of products. Error 2202E unless the lengths are equal.
double dot(span<const float> a, span<const float> b, interrupt& check);

inline double rms(span<const float> values) {
  no_interrupt none;
  return rms(values, none);
}
inline double relative_error(span<const float> reference, span<const float> approximation) {
  no_interrupt none;
  return relative_error(reference, approximation, none);
}
inline double dot(span<const float> a, span<const float> b) {
  no_interrupt none;
  return dot(a, b, none);
}

}  // namespace hartonomous
