// Norms of weights, distances between them, and the matrix-vector product.
//
// All sums are in double, in which a product of two floats is exact. Term i is added to partial sum i mod 16; at the
// end the upper half of the partial sums is added to the lower half until one is left. So the result is the same on
// every machine, whatever its vector width. NaN and infinity in the input propagate; every NaN result is the same NaN.
#pragma once

#include <cstddef>

#include "hartonomous/format.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous {

inline constexpr std::size_t partial_sum_count = 16;

// A sum whose terms are added a chunk at a time.
class running_sum {
 public:
  // Adds a[i] * b[i] for i < count.
  void add_products(const float* a, const float* b, std::size_t count) noexcept;
  // Adds a[i]^2 for i < count.
  void add_squares(const float* a, std::size_t count) noexcept;
  double total() const noexcept;

 private:
  alignas(64) double partial_[partial_sum_count] = {};
  std::size_t terms_ = 0;
};

// The Euclidean norm of a difference relative to that of the reference, also accumulated a chunk at a time.
class running_error {
 public:
  void add(const float* reference, const float* approximation, std::size_t count) noexcept;
  // 0 if both norms are 0, infinity if only that of the reference is.
  double relative() const noexcept;

 private:
  alignas(64) double distance_[partial_sum_count] = {};
  alignas(64) double size_[partial_sum_count] = {};
  std::size_t terms_ = 0;
};

// Blocks in any readable format, as the functions below take them; floats are blocks of format F32.
struct block_run {
  format f;
  span<const std::byte> blocks;
  std::size_t count;  // weights
};

inline block_run run_of(span<const float> values) {
  return {
      format::F32, {reinterpret_cast<const std::byte*>(values.data()), values.size() * sizeof(float)}, values.size()};
}

// The functions below decode as they go and take little memory for any length. Errors of all: 0A000 if the format is
// not readable; 22P03 if the size of the blocks does not fit the count.

// sqrt(mean of squares); 0 if there are no values.
double rms(const block_run& values, interrupt_checker& interrupts);

// ||reference - approximation|| / ||reference||, Euclidean. 0 if both norms are 0 (also without values), infinity if
// only the reference is zero. Error 2202E if the lengths differ.
double relative_error(const block_run& reference, const block_run& approximation, interrupt_checker& interrupts);

// Sum of products. Error 2202E if the lengths differ.
double dot(const block_run& a, const block_run& b, interrupt_checker& interrupts);

// out[i] = row i of the matrix times x, rounded to float (infinity if out of range). The rows, as long as x, lie in
// `matrix` one after the other and need not be whole blocks. `out` has room for matrix.count / x.size() floats. Error
// 2202E if x.size() does not divide matrix.count; an empty matrix and an empty x fit.
void matvec(const block_run& matrix, span<const float> x, float* out, interrupt_checker& interrupts);

// For a few floats.
inline double rms(span<const float> values) {
  no_interrupts none;
  return rms(run_of(values), none);
}
inline double relative_error(span<const float> reference, span<const float> approximation) {
  no_interrupts none;
  return relative_error(run_of(reference), run_of(approximation), none);
}
inline double dot(span<const float> a, span<const float> b) {
  no_interrupts none;
  return dot(run_of(a), run_of(b), none);
}

}  // namespace hartonomous
