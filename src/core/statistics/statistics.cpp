// Sums over runs of weights.
#include "hartonomous/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

constexpr std::size_t lanes = 8;
constexpr std::size_t piece = std::size_t{1} << 16;  // a multiple of lanes

// Sum of term(i) for i < count. Term i goes to partial sum i % lanes, which lets compilers use vectors without
// reordering anything.
template <class Term>
double sum(std::size_t count, interrupt& check, Term term) {
  double partial[lanes] = {};
  for (std::size_t at = 0; at < count; at += piece) {
    check.poll();
    const std::size_t end = std::min(count, at + piece);
    std::size_t i = at;
    for (; i + lanes <= end; i += lanes) {
      for (std::size_t lane = 0; lane < lanes; ++lane) partial[lane] += term(i + lane);
    }
    for (; i < end; ++i) partial[i % lanes] += term(i);
  }
  double total = 0.0;
  for (const double one : partial) total += one;
  return total;
}

void require_same_length(std::size_t a, std::size_t b) {
  if (a == b) return;
  throw error(sqlstate::array_subscript_error, "runs of weights must have the same length",
              "The lengths are " + std::to_string(a) + " and " + std::to_string(b) + ".");
}

double energy(span<const float> values, interrupt& check) {
  const float* v = values.data();
  return sum(values.size(), check, [v](std::size_t i) { return double{v[i]} * double{v[i]}; });
}

}  // namespace

double rms(span<const float> values, interrupt& check) {
  return values.empty() ? 0.0 : std::sqrt(energy(values, check) / static_cast<double>(values.size()));
}

double relative_error(span<const float> reference, span<const float> approximation, interrupt& check) {
  require_same_length(reference.size(), approximation.size());
  const float* a = reference.data();
  const float* b = approximation.data();
  const double distance = sum(reference.size(), check, [a, b](std::size_t i) {
    const double difference = double{a[i]} - double{b[i]};
    return difference * difference;
  });
  const double size = energy(reference, check);
  if (size == 0.0) return distance == 0.0 ? 0.0 : distance * std::numeric_limits<double>::infinity();
  return std::sqrt(distance / size);
}

double dot(span<const float> a, span<const float> b, interrupt& check) {
  require_same_length(a.size(), b.size());
  const float* x = a.data();
  const float* y = b.data();
  return sum(a.size(), check, [x, y](std::size_t i) { return double{x[i]} * double{y[i]}; });
}

}  // namespace hartonomous
