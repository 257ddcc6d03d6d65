// A calibration that is carried out in several calls of the same session, one for each block, with a commit after each
// (sql/api/calibration.sql).
#pragma once

#include "pg/model/language_model.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "hartonomous/calibration.hpp"
#include "hartonomous/progress.hpp"

namespace hartonomous::pg {

struct calibration_request {
  std::string key;                   // whatever the result depends on
  std::vector<std::uint32_t> steps;  // those to be collected, ascending
  statistics_kind kind;
};

// Between the calls it is kept by the session. The end of a transaction that fails frees it, and so does its last step.
class calibration_job {
 public:
  // The job that the session keeps, if it is the same and has not gone beyond `step`; otherwise a new one, which begins
  // with the text.
  static std::unique_ptr<calibration_job> resume(language_model& model, const calibration_request& request,
                                                 std::uint32_t step, const std::function<calibration()>& begin);
  static void keep(std::unique_ptr<calibration_job> job);

  // Runs the steps up to and including `step`, of which only that one is collected.
  void collect(std::uint32_t step, calibration_sink& sink);

 private:
  calibration_job(const calibration_request& request, calibration run) : request_(request), run_(std::move(run)) {}

  bool wanted(std::uint32_t step) const;
  void plan(const transformer& network);

  calibration_request request_;
  calibration run_;
  language_model* model_ = nullptr;  // of the current call
  progress_timer timer_;
  double all_ = 0.0, done_ = 0.0;  // multiplications
};

}  // namespace hartonomous::pg
