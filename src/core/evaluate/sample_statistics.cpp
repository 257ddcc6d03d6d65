// Statistics of samples (hartonomous/sample_statistics.hpp).
#include "hartonomous/sample_statistics.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace hartonomous {

double running_mean::standard_error() const noexcept {
  if (count_ < 2) return 0.0;
  const auto n = static_cast<double>(count_);
  return std::sqrt(squares_ / n / (n - 1.0));
}

estimate running_root_mean_square::value() const noexcept {
  const double root = std::sqrt(squares_.mean());
  return {root, root > 0.0 ? squares_.standard_error() / (2.0 * root) : root};
}

void running_correlation::add(double a, double b) noexcept {
  const auto n = static_cast<double>(++count_);
  const double distance_a = a - mean_a_, distance_b = b - mean_b_;
  mean_a_ += distance_a / n;
  mean_b_ += distance_b / n;
  squares_a_ += distance_a * (a - mean_a_);
  squares_b_ += distance_b * (b - mean_b_);
  products_ += distance_a * (b - mean_b_);
}

std::optional<double> running_correlation::value() const noexcept {
  if (squares_a_ == 0.0 || squares_b_ == 0.0) return std::nullopt;
  // Two roots, since the product of the squares may be too large or too small for a double.
  return products_ / std::sqrt(squares_a_) / std::sqrt(squares_b_);
}

std::vector<double> quantiles(span<float> values, span<const double> fractions, interrupt_checker& interrupts) {
  // NaN has no place in an order of floats.
  if (std::any_of(values.begin(), values.end(), [](float v) { return std::isnan(v); })) {
    return std::vector<double>(fractions.size(), std::numeric_limits<double>::quiet_NaN());
  }
  std::vector<double> found;
  float* begin = values.begin();  // everything before it is in its place
  for (const double fraction : fractions) {
    interrupts.check();
    const double position = fraction * static_cast<double>(values.size() - 1);
    const double part = position - std::floor(position);
    float* const at = values.begin() + static_cast<std::size_t>(position);
    std::nth_element(begin, at, values.end());
    begin = at;
    const double below = *at;
    found.push_back(part > 0.0 ? (1.0 - part) * below + part * *std::min_element(at + 1, values.end()) : below);
  }
  return found;
}

}  // namespace hartonomous
