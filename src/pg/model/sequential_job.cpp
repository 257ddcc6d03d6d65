// The state of a sequential run between its steps, and the tensors of a block (sequential_job.hpp).
#include "pg/model/sequential_job.hpp"

#include "pg/base/guc.hpp"
#include "pg/base/interrupts.hpp"
#include "pg/base/memory.hpp"
#include "pg/base/progress_notice.hpp"
#include "pg/model/language_model.hpp"
#include "pg/model/rewritten_tensors.hpp"
#include "pg/store/layer_row.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "hartonomous/progress.hpp"
#include "hartonomous/sequential_quantizer.hpp"

extern "C" {
#include "access/xact.h"
}

namespace hartonomous::pg {
namespace {

// Tells how far the steps of a network are: its blocks, and then its output matrix.
class step_progress {
 public:
  // Steps from `first` on, before `end`.
  step_progress(std::string done, std::uint32_t first, std::uint32_t end, std::uint32_t blocks)
      : done_(std::move(done)), first_(first), end_(end), blocks_(blocks) {}
  // That a part of a step is done, or all of it.
  void tell(std::uint32_t step, double part, bool ended = false) {
    const bool due = timer_.due();
    if (!due && !ended) return;
    const double all = std::min(1.0, (step - first_ + part) / (end_ - first_));
    notice_progress(due, block_progress_text(done_, all, step, blocks_, timer_.left(all)));
  }

 private:
  std::string done_;
  std::uint32_t first_, end_, blocks_;
  progress_timer timer_;
};

struct sequential_job {
  rewritten_partition run;
  std::vector<std::vector<token_id>> windows;
  std::uint32_t next_step = 0, end = 0;                    // of the last step that is needed
  std::vector<float> stream, rounded_stream;               // tokens x width, before next_step
  std::map<std::int64_t, std::vector<std::byte>> tensors;  // of the step before next_step, by layer
  std::optional<step_progress> progress;

  std::vector<token_sequence> sequences() const {
    std::vector<token_sequence> all;
    for (const std::vector<token_id>& window : windows) all.push_back({window});
    return all;
  }
};

// Never destroyed, because the process exits without unwinding.
std::unique_ptr<sequential_job>& kept_job() {
  static auto* kept = new std::unique_ptr<sequential_job>;
  return *kept;
}

void forget_after_abort(XactEvent event, void*) {
  if (event == XACT_EVENT_ABORT) kept_job().reset();
}

void keep(std::unique_ptr<sequential_job> job) {
  static const bool registered = [] {
    call([] { RegisterXactCallback(forget_after_abort, nullptr); });
    return true;
  }();
  static_cast<void>(registered);
  kept_job() = std::move(job);
}

// A tensor that the run quantizes in this way.
struct planned_tensor {
  std::int64_t layer = 0;
  format f = format::F32;
  hessian_options options;
};

// The windows of the text from which the statistics of the tensor were collected.
std::vector<std::vector<token_id>> windows_of(language_model& model, std::int64_t layer,
                                              const tensor_operation& operation) {
  const query_result found = select(
      "SELECT c.text, s.n_ctx, s.tokens FROM hartonomous.calibration_stats s JOIN hartonomous.calibration_sets c "
      "ON c.calibration_set OPERATOR(pg_catalog.=) s.calibration_set "
      "AND c.text_sha256 OPERATOR(pg_catalog.=) s.text_sha256 "
      "WHERE s.model_id OPERATOR(pg_catalog.=) $1 AND s.revision_id OPERATOR(pg_catalog.=) $2 "
      "AND s.calibration_set OPERATOR(pg_catalog.=) $3 AND s.layer_id OPERATOR(pg_catalog.=) $4",
      "calibration_stats",
      {{INT4OID, Int32GetDatum(model.tensors().model())},
       {INT4OID, Int32GetDatum(operation.calibration_revision)},
       {TEXTOID, text_datum(*operation.calibration_set)},
       {INT8OID, Int64GetDatum(layer)}});
  if (found.rows() != 1 || !found.optional(0, 1, TEXTOID)) {
    throw error(sqlstate::object_not_in_prerequisite_state,
                "the text of calibration set \"" + *operation.calibration_set + "\" is not there",
                "Quantizing in sequence runs the text from which the statistics were collected.",
                "Collect them again, or leave out sequential => true.");
  }
  const std::vector<token_id> tokens = model.encode(found.text(0, 1));
  const auto n_ctx = static_cast<std::size_t>(found.integer(0, 2, 1));
  const auto count = static_cast<std::size_t>(found.bigint(0, 3, 1));
  if (tokens.size() < count) {
    throw error(sqlstate::object_not_in_prerequisite_state,
                "calibration set \"" + *operation.calibration_set + "\" has fewer tokens than its statistics",
                "Its text has " + std::to_string(tokens.size()) + " tokens, the statistics are those of " +
                    std::to_string(count) + ".",
                "The tokenizer of the model has changed: collect the statistics again.");
  }
  std::vector<std::vector<token_id>> windows;
  for (std::size_t first = 0; first < count; first += n_ctx) {
    windows.emplace_back(tokens.begin() + static_cast<std::ptrdiff_t>(first),
                         tokens.begin() + static_cast<std::ptrdiff_t>(std::min(count, first + n_ctx)));
    if (const std::optional<token_id> begin = model.begin()) windows.back().front() = *begin;
  }
  return windows;
}

std::vector<float> embedded(transformer& network, const sequential_job& job) {
  std::size_t tokens = 0;
  std::vector<token_sequence> windows;
  for (const std::vector<token_id>& window : job.windows) {
    windows.push_back({window});
    tokens += window.size();
  }
  std::vector<float> states(tokens * network.config().width);
  network.embed(windows, states.data());
  return states;
}

struct text_size {
  std::uint64_t tokens = 0, longest = 0;  // longest: of the windows
};

text_size size_of(const std::vector<std::vector<token_id>>& windows) {
  text_size size;
  for (const std::vector<token_id>& window : windows) {
    size.tokens += window.size();
    size.longest = std::max<std::uint64_t>(size.longest, window.size());
  }
  return size;
}

// Both residual streams.
std::uint64_t stream_bytes(const hyperparameters& config, std::uint64_t tokens) {
  return 2 * sizeof(float) * tokens * config.width;
}

// What comes after the last step in which the run quantizes in sequence. A block that the model does not have is none.
std::uint32_t end_of_steps(const rewritten_partition& run, std::uint32_t blocks) {
  const query_result found = execute(
      "SELECT COALESCE(max(LEAST(CASE WHEN l.layer_idx OPERATOR(pg_catalog.<) 0 THEN $3 "
      "ELSE l.layer_idx END, $3)), 0) FROM hartonomous.compression_runs r "
      "JOIN hartonomous.compression_steps s ON s.run_id OPERATOR(pg_catalog.=) r.run_id "
      "JOIN hartonomous.model_layers l ON l.layer_id OPERATOR(pg_catalog.=) s.layer_id "
      "WHERE r.revision_id OPERATOR(pg_catalog.=) $1 AND l.model_id OPERATOR(pg_catalog.=) $2 "
      "AND s.arguments OPERATOR(pg_catalog.@>) '{\"sequential\": true}'",
      "compression_steps",
      {{INT4OID, Int32GetDatum(run.revision)},
       {INT4OID, Int32GetDatum(run.model)},
       {INT4OID, Int32GetDatum(static_cast<std::int32_t>(blocks))}});
  return static_cast<std::uint32_t>(found.integer(0, 1, 0)) + 1;
}

// Runs both networks as they are up to `step`.
void advance(sequential_job& job, language_model& model, transformer& rounded, std::uint32_t step) {
  const std::uint32_t blocks = model.network().config().blocks;
  const std::vector<token_sequence> sequences = job.sequences();
  const double all = 2.0 * model.network().multiplications(size_of(job.windows).tokens, 0) / blocks;
  step_progress progress("ran what is quantized", job.next_step, step, blocks);
  double done = 0.0;
  const auto count = [&](double multiplications) {
    done += multiplications;
    progress.tell(job.next_step, std::min(1.0, done / all));
  };
  model.network().watch(count);
  rounded.watch(count);
  for (; job.next_step < step; ++job.next_step, done = 0.0) {
    model.network().run_block(job.next_step, sequences, job.stream.data());
    rounded.run_block(job.next_step, sequences, job.rounded_stream.data());
    progress.tell(job.next_step, 1.0, true);
  }
  model.network().watch({});
}

// Takes both streams to `step`, with the tensors that the run has written. `job` is null at the beginning.
void go_to(std::unique_ptr<sequential_job>& job, language_model& model, const rewritten_partition& run,
           std::vector<std::vector<token_id>> windows, std::uint32_t step) {
  const hyperparameters& config = model.network().config();
  const bool begins = job == nullptr;
  if (begins) {
    job = std::make_unique<sequential_job>();
    job->run = run;
    job->windows = std::move(windows);
    job->end = end_of_steps(run, config.blocks);
  }
  backend_interrupts interrupts;
  const text_size size = size_of(job->windows);
  require_work_memory(stream_bytes(config, size.tokens) + model.network().run_bytes(size.tokens, size.longest),
                      "running a text through two networks");
  rewritten_tensors written(model.tensors(), run.revision, run.target);
  transformer rounded(config, written, static_cast<unsigned>(current_settings.threads), work_memory() / 16, interrupts);
  if (begins) {
    job->stream = embedded(model.network(), *job);
    job->rounded_stream = embedded(rounded, *job);
  }
  advance(*job, model, rounded, step);
  if (begins) job->progress.emplace("quantized in sequence", step, job->end, config.blocks);
}

void run_step(sequential_job& job, language_model& model, const tensor_operation& operation) {
  backend_interrupts interrupts;
  const std::uint32_t step = job.next_step, blocks = model.network().config().blocks;
  block_rounder rounder(job.run, model.tensors(),
                        planned_tensors(job.run, step < blocks ? static_cast<std::int32_t>(step) : -1));
  sequential_options options;
  options.damping = operation.damping;
  sequential_quantizer quantizer(model.network().config(), model.tensors(), rounder, options,
                                 static_cast<unsigned>(current_settings.threads), work_memory() / 16, interrupts);
  const text_size size = size_of(job.windows);
  require_work_memory(
      stream_bytes(model.network().config(), size.tokens) + quantizer.run_bytes(size.tokens, size.longest),
      "quantizing a block in sequence");
  quantizer.watch([&](double part) { job.progress->tell(step, part); });
  job.tensors.clear();
  if (step < blocks) {
    quantizer.run_block(job.sequences(), step, job.stream, job.rounded_stream);
  } else {
    quantizer.round_output(job.stream, job.rounded_stream);
  }
  job.tensors = rounder.finish();
  job.progress->tell(step, 1.0, true);
  ++job.next_step;
}

bool is_same(const rewritten_partition& a, const rewritten_partition& b) {
  return a.model == b.model && a.revision == b.revision && a.source == b.source && a.target == b.target;
}

// In which step a tensor is quantized: that of its block, or that of the output matrix.
std::uint32_t step_of(const std::string& tensor, std::int32_t block, const transformer& network) {
  const std::uint32_t blocks = network.config().blocks;
  if (block < 0 && tensor == network.output_matrix()) return blocks;
  if (block < 0) {
    throw error(sqlstate::object_not_in_prerequisite_state,
                "tensor \"" + tensor + "\" is neither in a block nor the output matrix",
                "Only these are quantized in sequence.");
  }
  if (static_cast<std::uint32_t>(block) < blocks) return static_cast<std::uint32_t>(block);
  throw error(sqlstate::object_not_in_prerequisite_state,
              "tensor \"" + tensor + "\" is in block " + std::to_string(block) + ", which the model does not have");
}

}  // namespace

void release_sequential_job() noexcept { kept_job().reset(); }

sequential_tensor::sequential_tensor(const rewritten_partition& run, std::int64_t layer,
                                     const tensor_operation& operation) {
  const query_result found = select(
      "SELECT l.layer_name, l.layer_idx FROM hartonomous.model_layers l "
      "WHERE l.layer_id OPERATOR(pg_catalog.=) $1 AND l.model_id OPERATOR(pg_catalog.=) $2",
      "model_layers", {{INT8OID, Int64GetDatum(layer)}, {INT4OID, Int32GetDatum(run.model)}});
  if (found.rows() != 1) throw error(sqlstate::undefined_object, "there is no such layer");
  const std::string name = found.text(0, 1);
  std::unique_ptr<sequential_job> job = std::move(kept_job());
  language_model model(live_atoms(run.model));
  const std::uint32_t step = step_of(name, found.integer(0, 2), model.network());
  const auto is_done = [&] {
    return job && is_same(job->run, run) && job->next_step == step + 1 && job->tensors.count(layer) > 0;
  };
  if (!is_done()) {
    if (job && (!is_same(job->run, run) || job->next_step > step)) job.reset();
    if (!job || job->next_step < step) go_to(job, model, run, windows_of(model, layer, operation), step);
    run_step(*job, model, operation);
    if (!is_done()) {
      throw error(sqlstate::object_not_in_prerequisite_state,
                  "tensor \"" + name + "\" is not quantized in sequence by a step of its run");
    }
  }
  blocks_ = std::move(job->tensors.at(layer));
  job->tensors.erase(layer);
  const atom_layout& layout = model.tensors().tensor(name).layout;
  rows_.first = 0;
  rows_.end = static_cast<std::int32_t>(layout.atoms());
  rows_.blocks = blocks_.data();
  rows_.f = find_format(operation.format->data(), operation.format->size())->id;
  rows_.layout = layout;
  if (blocks_.size() != layout.rows * bytes_of(rows_.f, layout.row_length)) {
    throw error(sqlstate::object_not_in_prerequisite_state,
                "tensor \"" + name + "\" has changed while its run was stopped");
  }
  if (job->next_step < job->end || !job->tensors.empty()) keep(std::move(job));
}

bool sequential_tensor::next() { return !std::exchange(done_, true); }

}  // namespace hartonomous::pg
