// Sums over weights, decoded a chunk at a time (hartonomous/statistics.hpp).
#include "hartonomous/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "hartonomous/error.hpp"
#include "hartonomous/run_decoder.hpp"
#include "statistics/sums.hpp"

namespace hartonomous {

static_assert(run_decoder::chunk % partial_sum_count == 0);

// ---- sums over chunks ------------------------------------------------------------------------------------------

namespace {

// Terms up to the next multiple of partial_sum_count are taken one by one, then whole rounds, then the rest: `one`
// takes an index and the term's partial sum, `rounds` an index and a number of terms. `terms` counts all terms so far.
template <class One, class Rounds>
void take_terms(std::size_t& terms, std::size_t count, One one, Rounds rounds) {
  std::size_t i = 0;
  for (; i < count && terms % partial_sum_count != 0; ++i, ++terms) one(i, terms % partial_sum_count);
  const std::size_t whole = (count - i) / partial_sum_count * partial_sum_count;
  rounds(i, whole);
  terms += whole;
  for (i += whole; i < count; ++i, ++terms) one(i, terms % partial_sum_count);
}

double total_of(const double* partial) {
  double sums[partial_sum_count];
  std::copy_n(partial, partial_sum_count, sums);
  for (std::size_t half = partial_sum_count / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return sums[0];
}

// Processors differ in the sign of the NaN that an operation makes, and in which of two NaNs they keep.
double canonical(double value) { return std::isnan(value) ? std::numeric_limits<double>::quiet_NaN() : value; }

}  // namespace

void running_sum::add_products(const float* a, const float* b, std::size_t count) noexcept {
  take_terms(
      terms_, count,
      [&](std::size_t i, std::size_t to) { partial_[to] += static_cast<double>(a[i]) * static_cast<double>(b[i]); },
      [&](std::size_t i, std::size_t whole) { statistics_detail::add_products(a + i, b + i, whole, partial_); });
}

void running_sum::add_squares(const float* a, std::size_t count) noexcept {
  take_terms(
      terms_, count,
      [&](std::size_t i, std::size_t to) { partial_[to] += static_cast<double>(a[i]) * static_cast<double>(a[i]); },
      [&](std::size_t i, std::size_t whole) { statistics_detail::add_squares(a + i, whole, partial_); });
}

double running_sum::total() const noexcept { return canonical(total_of(partial_)); }

void running_error::add(const float* reference, const float* approximation, std::size_t count) noexcept {
  const float *a = reference, *b = approximation;
  take_terms(
      terms_, count,
      [&](std::size_t i, std::size_t to) {
        const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
        distance_[to] += difference * difference;
        size_[to] += static_cast<double>(a[i]) * static_cast<double>(a[i]);
      },
      [&](std::size_t i, std::size_t whole) { statistics_detail::add_errors(a + i, b + i, whole, distance_, size_); });
}

double running_error::relative() const noexcept {
  const double distance = total_of(distance_), size = total_of(size_);
  if (size != 0.0) return canonical(std::sqrt(distance / size));
  return distance == 0.0 ? 0.0 : canonical(distance * std::numeric_limits<double>::infinity());
}

// ---- blocks ----------------------------------------------------------------------------------------------------

namespace {

run_decoder decoder_of(const block_run& run) { return {run.f, run.blocks, run.count}; }

void require_same_length(std::size_t a, std::size_t b) {
  if (a == b) return;
  throw error(sqlstate::array_subscript_error, "runs of weights must have the same length",
              "The lengths are " + std::to_string(a) + " and " + std::to_string(b) + ".");
}

}  // namespace

double rms(const block_run& values, interrupt_checker& interrupts) {
  run_decoder decoder = decoder_of(values);
  running_sum squares;
  for (span<const float> v = decoder.next(interrupts); !v.empty(); v = decoder.next(interrupts)) {
    squares.add_squares(v.data(), v.size());
  }
  return values.count == 0 ? 0.0 : std::sqrt(squares.total() / static_cast<double>(values.count));
}

double relative_error(const block_run& reference, const block_run& approximation, interrupt_checker& interrupts) {
  require_same_length(reference.count, approximation.count);
  run_decoder left = decoder_of(reference), right = decoder_of(approximation);
  running_error sums;
  for (span<const float> a = left.next(interrupts); !a.empty(); a = left.next(interrupts)) {
    sums.add(a.data(), right.next(interrupts).data(), a.size());
  }
  return sums.relative();
}

double dot(const block_run& a, const block_run& b, interrupt_checker& interrupts) {
  require_same_length(a.count, b.count);
  run_decoder left = decoder_of(a), right = decoder_of(b);
  running_sum products;
  for (span<const float> x = left.next(interrupts); !x.empty(); x = left.next(interrupts)) {
    products.add_products(x.data(), right.next(interrupts).data(), x.size());
  }
  return products.total();
}

void matvec(const block_run& matrix, span<const float> x, float* out, interrupt_checker& interrupts) {
  if (x.empty() ? matrix.count != 0 : matrix.count % x.size() != 0) {
    throw error(sqlstate::array_subscript_error, "vector does not fit the matrix",
                "Its length, " + std::to_string(x.size()) + ", must divide the " + std::to_string(matrix.count) +
                    " weights of the matrix.");
  }
  run_decoder decoder = decoder_of(matrix);
  running_sum row;
  std::size_t column = 0;
  for (span<const float> w = decoder.next(interrupts); !w.empty(); w = decoder.next(interrupts)) {
    for (std::size_t at = 0; at < w.size();) {
      const std::size_t count = std::min(w.size() - at, x.size() - column);
      row.add_products(w.data() + at, x.data() + column, count);
      at += count;
      column += count;
      if (column < x.size()) continue;
      *out++ = static_cast<float>(row.total());
      row = running_sum();
      column = 0;
    }
  }
}

}  // namespace hartonomous
