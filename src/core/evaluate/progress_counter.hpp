// The progress of an evaluation (inside src/core/evaluate only).
#pragma once

#include <initializer_list>
#include <vector>

#include "hartonomous/evaluate.hpp"

namespace hartonomous::evaluate_detail {

// While it lives, counts the multiplications of the networks that run the windows, and calls the watcher.
class progress_counter {
 public:
  progress_counter(std::initializer_list<transformer*> networks, span<const score_window> windows,
                   const evaluation_watcher& watcher);
  progress_counter(const progress_counter&) = delete;
  progress_counter& operator=(const progress_counter&) = delete;
  ~progress_counter();

  // The windows of a pass have been scored; `loss` is the mean over all tokens so far.
  void end_pass(const running_mean& loss);

 private:
  void tell(bool pass_ended);

  std::vector<transformer*> networks_;
  const evaluation_watcher& watcher_;
  double all_ = 0.0, done_ = 0.0;  // multiplications
  evaluation_progress progress_;
};

}  // namespace hartonomous::evaluate_detail
