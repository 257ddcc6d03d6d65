// Keeping a calibration between calls (calibration_job.hpp).
#include "pg/model/calibration_job.hpp"

#include "pg/base/memory.hpp"
#include "pg/base/progress_notice.hpp"

#include <algorithm>
#include <utility>

extern "C" {
#include "access/xact.h"
}

namespace hartonomous::pg {
namespace {

// Never destroyed, because the process exits without unwinding.
std::unique_ptr<calibration_job>& kept_job() {
  static auto* kept = new std::unique_ptr<calibration_job>;
  return *kept;
}

// What a transaction that failed has not stored must be collected again.
void forget_after_abort(XactEvent event, void*) {
  if (event == XACT_EVENT_ABORT) kept_job().reset();
}

// A step that is skipped tells nothing.
class no_sink final : public calibration_sink {
 public:
  void sums(span<const input_sums>) override {}
  void panel(const gram_panel&) override {}
};

}  // namespace

std::unique_ptr<calibration_job> calibration_job::resume(language_model& model, const calibration_request& request,
                                                         std::uint32_t step,
                                                         const std::function<calibration()>& begin) {
  std::unique_ptr<calibration_job> job = std::move(kept_job());
  if (job == nullptr || job->request_.key != request.key || job->run_.next_step() > step) {
    job.reset(new calibration_job(request, begin()));
    job->plan(model.network());
  }
  job->model_ = &model;
  return job;
}

void calibration_job::keep(std::unique_ptr<calibration_job> job) {
  static const bool registered = [] {
    call([] { RegisterXactCallback(forget_after_abort, nullptr); });
    return true;
  }();
  static_cast<void>(registered);
  job->model_ = nullptr;
  kept_job() = std::move(job);
}

bool calibration_job::wanted(std::uint32_t step) const {
  return std::binary_search(request_.steps.begin(), request_.steps.end(), step);
}

void calibration_job::plan(const transformer& network) {
  for (std::uint32_t step = 0; step <= request_.steps.back(); ++step) {
    all_ +=
        run_.multiplications(network, step, wanted(step) ? std::optional(request_.kind) : std::nullopt, work_memory());
  }
}

void calibration_job::collect(std::uint32_t step, calibration_sink& sink) {
  transformer& network = model_->network();
  const auto tell = [&](bool ended) {
    const bool due = timer_.due();
    if (!due && !ended) return;
    const double part = all_ > 0 ? std::min(1.0, done_ / all_) : 1.0;
    notice_progress(due, block_progress_text("calibrated", part, std::min(step, run_.next_step()),
                                             network.config().blocks, timer_.left(part)));
  };
  run_.watch([&](double multiplications) {
    done_ += multiplications;
    tell(false);
  });
  no_sink none;
  while (run_.next_step() <= step) {
    const bool skipped = run_.next_step() < step;
    run_.run_step(network, skipped ? std::nullopt : std::optional(request_.kind), work_memory(),
                  skipped ? static_cast<calibration_sink&>(none) : sink);
    tell(true);
  }
  run_.watch({});
}

}  // namespace hartonomous::pg
