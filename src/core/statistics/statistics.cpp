// Sums over runs of weights, decoded as they go.
#include "hartonomous/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "hartonomous/error.hpp"
#include "hartonomous/run_decoder.hpp"
#include "statistics/sums.hpp"

namespace hartonomous {

static_assert(run_decoder::piece % statistics_detail::partial_sums == 0);

// ---- running_sum -----------------------------------------------------------------------------------------------

// Terms up to the next multiple of partial_sums one by one, then whole rounds, then the rest.
template <class Bulk, class One>
void running_sum::add(const float* a, const float* b, std::size_t count, Bulk bulk, One one) noexcept {
  static_assert(partial_sums == statistics_detail::partial_sums);
  std::size_t i = 0;
  for (; i < count && terms_ % partial_sums != 0; ++i, ++terms_) partial_[terms_ % partial_sums] += one(a[i], b[i]);
  const std::size_t whole = (count - i) / partial_sums * partial_sums;
  bulk(a + i, b + i, whole, partial_);
  terms_ += whole;
  for (i += whole; i < count; ++i, ++terms_) partial_[terms_ % partial_sums] += one(a[i], b[i]);
}

void running_sum::add_products(const float* a, const float* b, std::size_t count) noexcept {
  add(a, b, count, statistics_detail::add_products, [](float x, float y) { return double{x} * double{y}; });
}

void running_sum::add_squared_differences(const float* a, const float* b, std::size_t count) noexcept {
  add(a, b, count, statistics_detail::add_squared_differences, [](float x, float y) {
    const double difference = double{x} - double{y};
    return difference * difference;
  });
}

double running_sum::total() const noexcept {
  double total = 0.0;
  for (const double one : partial_) total += one;
  return total;
}

// ---- runs ------------------------------------------------------------------------------------------------------

namespace {

run_decoder decoder_of(const block_run& run) { return {run.f, run.blocks, run.count}; }

void require_same_length(std::size_t a, std::size_t b) {
  if (a == b) return;
  throw error(sqlstate::array_subscript_error, "runs of weights must have the same length",
              "The lengths are " + std::to_string(a) + " and " + std::to_string(b) + ".");
}

}  // namespace

double rms(const block_run& values, interrupt& check) {
  run_decoder decoder = decoder_of(values);
  running_sum squares;
  for (span<const float> v = decoder.next(check); !v.empty(); v = decoder.next(check)) {
    squares.add_products(v.data(), v.data(), v.size());
  }
  return values.count == 0 ? 0.0 : std::sqrt(squares.total() / static_cast<double>(values.count));
}

double relative_error(const block_run& reference, const block_run& approximation, interrupt& check) {
  require_same_length(reference.count, approximation.count);
  run_decoder left = decoder_of(reference), right = decoder_of(approximation);
  running_sum distance, size;
  for (span<const float> a = left.next(check); !a.empty(); a = left.next(check)) {
    const span<const float> b = right.next(check);
    distance.add_squared_differences(a.data(), b.data(), a.size());
    size.add_products(a.data(), a.data(), a.size());
  }
  if (size.total() == 0.0) {
    return distance.total() == 0.0 ? 0.0 : distance.total() * std::numeric_limits<double>::infinity();
  }
  return std::sqrt(distance.total() / size.total());
}

double dot(const block_run& a, const block_run& b, interrupt& check) {
  require_same_length(a.count, b.count);
  run_decoder left = decoder_of(a), right = decoder_of(b);
  running_sum products;
  for (span<const float> x = left.next(check); !x.empty(); x = left.next(check)) {
    products.add_products(x.data(), right.next(check).data(), x.size());
  }
  return products.total();
}

void matvec(const block_run& matrix, span<const float> x, float* out, interrupt& check) {
  if (x.empty() ? matrix.count != 0 : matrix.count % x.size() != 0) {
    throw error(sqlstate::array_subscript_error, "vector does not fit the matrix",
                "Its length, " + std::to_string(x.size()) + ", must divide the " + std::to_string(matrix.count) +
                    " weights of the matrix.");
  }
  run_decoder decoder = decoder_of(matrix);
  running_sum row;
  std::size_t column = 0;
  for (span<const float> w = decoder.next(check); !w.empty(); w = decoder.next(check)) {
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
