// The clock of progress reports, and durations as text (hartonomous/progress.hpp).
#include "hartonomous/progress.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>

namespace hartonomous {
namespace {

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string of_two(std::int64_t units, const char* unit, std::int64_t parts, const char* part) {
  const std::string text = std::to_string(units) + unit;
  return parts == 0 ? text : text + " " + std::to_string(parts) + part;
}

}  // namespace

progress_timer::progress_timer() : progress_timer(steady_seconds) {}

bool progress_timer::due() {
  const double now = clock_();
  if (now - last_ < interval) return false;
  last_ = now;
  return true;
}

std::optional<double> progress_timer::left(double part) const {
  if (!(part > 0.0)) return std::nullopt;
  return (clock_() - begin_) * (1.0 - std::min(part, 1.0)) / part;
}

std::string block_progress_text(const std::string& done, double part, std::uint32_t step, std::uint32_t blocks,
                                std::optional<double> seconds_left) {
  char number[32];
  // Rounded down, so that 100 % is shown only when everything is done.
  std::snprintf(number, sizeof number, " %.1f %%, ", std::floor(part * 1000.0) / 10.0);
  std::string text = done + number;
  if (step > blocks) {
    text += "gradients of block " + std::to_string(2 * blocks - step + 1);
  } else {
    text += step < blocks ? "block " + std::to_string(step + 1) + " of " + std::to_string(blocks) : "output matrix";
  }
  if (seconds_left) text += ", " + duration_text(*seconds_left) + " left";
  return text;
}

std::string duration_text(double seconds) {
  constexpr std::int64_t minute = 60, hour = 60 * minute, day = 24 * hour;
  constexpr double longest = 1e15;
  const auto whole = static_cast<std::int64_t>(std::llround(std::min(std::max(0.0, seconds), longest)));
  if (whole < minute) return std::to_string(whole) + " s";
  if (whole < hour) return of_two(whole / minute, " min", whole % minute, " s");
  if (whole < day) return of_two(whole / hour, " h", whole % hour / minute, " min");
  return of_two(whole / day, " d", whole % day / hour, " h");
}

}  // namespace hartonomous
