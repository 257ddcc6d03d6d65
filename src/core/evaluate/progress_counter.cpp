// Counts the progress of evaluations (progress_counter.hpp) and describes it (hartonomous/evaluate.hpp).
#include "evaluate/progress_counter.hpp"

#include "hartonomous/progress.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace hartonomous {
namespace evaluate_detail {

progress_counter::progress_counter(std::initializer_list<transformer*> networks, span<const score_window> windows,
                                   const evaluation_watcher& watcher)
    : watcher_(watcher) {
  progress_.windows = windows.size();
  if (!watcher_) return;
  networks_ = networks;
  for (transformer* network : networks_) {
    for (const score_window& w : windows) all_ += network->multiplications(w.tokens.size(), w.scored());
    network->watch([this](double multiplications) {
      done_ += multiplications;
      tell(false);
    });
  }
}

progress_counter::~progress_counter() {
  for (transformer* network : networks_) network->watch({});
}

void progress_counter::end_pass(const running_mean& loss) {
  progress_.perplexity = std::exp(loss.mean());
  if (watcher_) tell(true);
}

void progress_counter::tell(bool pass_ended) {
  progress_.part = std::min(1.0, done_ / all_);
  progress_.pass_ended = pass_ended;
  watcher_(progress_);
}

}  // namespace evaluate_detail

std::string progress_text(const evaluation_progress& progress, std::optional<double> seconds_left) {
  char number[48];
  // Rounded down, so that 100 % is shown only when everything is done.
  std::snprintf(number, sizeof number, "evaluated %.1f %%", std::floor(progress.part * 1000.0) / 10.0);
  std::string text = number + (" of " + std::to_string(progress.windows)) + " windows";
  if (progress.perplexity) {
    std::snprintf(number, sizeof number,
                  *progress.perplexity < 1e9 ? ", perplexity %.2f so far" : ", perplexity %.2g so far",
                  *progress.perplexity);
    text += number;
  }
  if (seconds_left) text += ", " + duration_text(*seconds_left) + " left";
  return text;
}

}  // namespace hartonomous
