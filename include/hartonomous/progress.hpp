// When long work says how far it is, and how long it has still to go.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace hartonomous {

// Counts from its creation. Short work says nothing: the first word is due after ten seconds, each further one ten
// seconds after that before it.
class progress_timer {
 public:
  static constexpr double interval = 10.0;  // seconds

  progress_timer();  // by a clock that is never set back
  // By another clock, in seconds.
  explicit progress_timer(std::function<double()> clock) : clock_(std::move(clock)), begin_(clock_()), last_(begin_) {}

  bool due();
  // Seconds to go if the rest of the work is as fast as the part (0 to 1) that has been done; none before any has.
  std::optional<double> left(double part) const;

 private:
  std::function<double()> clock_;
  double begin_, last_;
};

// A time as people read it: 8 s, 1 min 40 s, 2 h 5 min, 3 d 4 h.
std::string duration_text(double seconds);

}  // namespace hartonomous
