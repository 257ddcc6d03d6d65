// Statistics of a sample of values, such as one per scored token: mean, quantiles, correlation.
//
// They are defined as in llama.cpp's llama-perplexity. NaN among the values makes every result NaN.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous {

// A mean and its standard error: the standard deviation over sqrt(n - 1).
class running_mean {
 public:
  void add(double value) noexcept {
    ++count_;
    const double distance = value - mean_;
    mean_ += distance / static_cast<double>(count_);
    squares_ += distance * (value - mean_);
  }
  std::uint64_t count() const noexcept { return count_; }
  double mean() const noexcept { return mean_; }
  double standard_error() const noexcept;  // 0 for fewer than two

 private:
  std::uint64_t count_ = 0;
  double mean_ = 0.0, squares_ = 0.0;
};

// A value estimated from a sample.
struct estimate {
  double value = 0.0;
  double standard_error = 0.0;
};

// The square root of the mean of squares. Its standard error is that of the mean of squares, carried through the root:
// divided by twice the root.
class running_root_mean_square {
 public:
  void add(double value) noexcept { squares_.add(value * value); }
  estimate value() const noexcept;

 private:
  running_mean squares_;
};

// Pearson's correlation of pairs.
class running_correlation {
 public:
  void add(double a, double b) noexcept;
  // Without a value if it is not defined: fewer than two pairs, or one side is constant.
  std::optional<double> value() const noexcept;

 private:
  std::uint64_t count_ = 0;
  double mean_a_ = 0.0, mean_b_ = 0.0, squares_a_ = 0.0, squares_b_ = 0.0, products_ = 0.0;
};

// Quantiles of the values for ascending fractions between 0 (the minimum) and 1 (the maximum). The quantile of fraction
// f is at position f * (n - 1) of the sorted values, counted from 0, and interpolated linearly between neighbors.
// Reorders the values. There must be at least one.
std::vector<double> quantiles(span<float> values, span<const double> fractions, interrupt_checker& interrupts);

}  // namespace hartonomous
