// When long work reports its progress, and an estimate of the time that is left.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace hartonomous {

// Measures time from its creation. Short work is not reported: the first report is due after ten seconds, and each
// further one ten seconds after the one before.
class progress_timer {
 public:
  static constexpr double interval = 10.0;  // seconds

  progress_timer();  // uses a monotonic clock
  // Uses another clock, which returns seconds.
  explicit progress_timer(std::function<double()> clock) : clock_(std::move(clock)), begin_(clock_()), last_(begin_) {}

  bool due();
  // Seconds left if the rest of the work runs at the speed of the `part` (0 to 1) that is done; no value before any is.
  std::optional<double> left(double part) const;

 private:
  std::function<double()> clock_;
  double begin_, last_;
};

// For example "calibrated 18.3 %, block 2 of 32, 1 min 40 s left": what was done, and which part (0 to 1) of all steps;
// they are the blocks of a network, from 0, its output matrix, and then the gradients of its blocks, from the last one.
std::string block_progress_text(const std::string& done, double part, std::uint32_t step, std::uint32_t blocks,
                                std::optional<double> seconds_left);

// A duration in readable form: 8 s, 1 min 40 s, 2 h 5 min, 3 d 4 h.
std::string duration_text(double seconds);

}  // namespace hartonomous
