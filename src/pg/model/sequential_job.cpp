// The state of a sequential run between its steps, and the tensors of a block (sequential_job.hpp).
#include "pg/model/sequential_job.hpp"

#include "pg/base/guc.hpp"
#include "pg/base/interrupts.hpp"
#include "pg/base/memory.hpp"
#include "pg/model/language_model.hpp"
#include "pg/model/rewritten_tensors.hpp"
#include "pg/store/layer_row.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "hartonomous/codec.hpp"
#include "hartonomous/sequential_quantizer.hpp"

extern "C" {
#include "access/xact.h"
}

namespace hartonomous::pg {
namespace {

struct sequential_job {
  rewritten_partition run;
  std::vector<std::vector<token_id>> windows;
  std::uint32_t next_block = 0;
  std::vector<float> stream, rounded_stream;               // tokens x width
  std::map<std::int64_t, std::vector<std::byte>> tensors;  // of the block before next_block, by layer

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

// The tensors of a block that the steps of the run quantize in sequence, by name.
std::map<std::string, planned_tensor> planned_tensors(const rewritten_partition& run, std::uint32_t block) {
  const query_result found = execute(
      "SELECT l.layer_id, l.layer_name, s.arguments FROM hartonomous.compression_runs r "
      "JOIN hartonomous.compression_steps s ON s.run_id OPERATOR(pg_catalog.=) r.run_id "
      "JOIN hartonomous.model_layers l ON l.layer_id OPERATOR(pg_catalog.=) s.layer_id "
      "WHERE r.revision_id OPERATOR(pg_catalog.=) $1 AND l.model_id OPERATOR(pg_catalog.=) $2 "
      "AND l.layer_idx OPERATOR(pg_catalog.=) $3 AND s.operation OPERATOR(pg_catalog.=) 'quantize'",
      "compression_steps",
      {{INT4OID, Int32GetDatum(run.revision)},
       {INT4OID, Int32GetDatum(run.model)},
       {INT4OID, Int32GetDatum(static_cast<std::int32_t>(block))}});
  std::map<std::string, planned_tensor> planned;
  for (std::uint64_t i = 0; i < found.rows(); ++i) {
    const tensor_operation operation = read_operation("quantize", found.value(i, 3, JSONBOID));
    if (!operation.sequential) continue;
    planned_tensor& tensor = planned[found.text(i, 2)];
    tensor.layer = found.bigint(i, 1);
    tensor.f = find_format(operation.format->data(), operation.format->size())->id;
    tensor.options.sweeps = static_cast<unsigned>(operation.sweeps);
  }
  return planned;
}

// One byte for each block of a matrix in the format: 1 if its atom is missing. Empty if none is.
std::vector<std::uint8_t> missing_blocks(const rewritten_partition& run, std::int64_t layer, const atom_layout& layout,
                                         format f) {
  const std::string query = "SELECT a.atom_sequence FROM " + qualified_name(run.source) +
                            " a WHERE a.model_id OPERATOR(pg_catalog.=) $1 AND a.layer_id OPERATOR(pg_catalog.=) $2";
  const query_result found =
      select(query.c_str(), "tensor_atoms", {{INT4OID, Int32GetDatum(run.model)}, {INT8OID, Int64GetDatum(layer)}});
  if (found.rows() == layout.atoms()) return {};
  const std::uint32_t block = traits_of(f).block_weights;
  std::vector<std::uint8_t> missing(layout.rows * layout.row_length / block, 1);
  for (std::uint64_t i = 0; i < found.rows(); ++i) {
    const auto atom = static_cast<std::uint64_t>(found.integer(i, 1, 0));
    if (atom >= layout.atoms()) continue;  // outside the matrix: not read by anybody
    const std::uint64_t at = layout.row_of(atom) * layout.row_length + layout.column_of(atom);
    std::fill_n(missing.begin() + static_cast<std::ptrdiff_t>(at / block), layout.length_of(atom) / block,
                std::uint8_t{0});
  }
  return missing;
}

// Keeps the blocks of what it rounds.
class block_rounder final : public matrix_rounder {
 public:
  block_rounder(const rewritten_partition& run, model_tensors& tensors, std::map<std::string, planned_tensor> planned)
      : run_(run),
        tensors_(tensors),
        planned_(std::move(planned)),
        pool_(static_cast<unsigned>(current_settings.threads)) {}

  bool rounds(const std::string& tensor) override { return planned_.count(tensor) > 0; }

  void round(const std::string& tensor, row_range rows, const input_hessian& hessian,
             std::vector<float>& weights) override {
    const planned_tensor& planned = planned_.at(tensor);
    rounded& to = open(tensor);
    const std::uint64_t of_row = bytes_of(planned.f, hessian.columns());
    const std::uint32_t block = traits_of(planned.f).block_weights;
    hessian_options options = planned.options;
    options.first_row = rows.first;
    if (!to.missing.empty()) {
      options.missing =
          span<const std::uint8_t>(to.missing).subspan(rows.first * hessian.columns() / block, weights.size() / block);
      for (std::size_t i = 0; i < weights.size(); ++i) {
        if (options.missing[i / block] != 0) weights[i] = 0.0f;
      }
    }
    std::byte* const blocks = to.blocks.data() + rows.first * of_row;
    quantize_rows(planned.f, weights, rows.count, hessian, options, blocks, pool_, interrupts_);
    dequantize(planned.f, {blocks, static_cast<std::size_t>(rows.count * of_row)}, weights.size(), weights.data(),
               interrupts_);
    std::fill_n(to.rows_done.begin() + static_cast<std::ptrdiff_t>(rows.first), rows.count, true);
  }

  // The blocks of all planned tensors. Rows that no token has used, those of experts, are rounded without a Hessian.
  std::map<std::int64_t, std::vector<std::byte>> finish() {
    std::map<std::int64_t, std::vector<std::byte>> all;
    for (const auto& [name, planned] : planned_) {
      rounded& to = open(name);
      const atom_layout& layout = tensors_.tensor(name).layout;
      const std::uint64_t of_row = bytes_of(planned.f, layout.row_length);
      for (std::uint64_t row = 0; row < layout.rows; ++row) {
        if (to.rows_done[row]) continue;
        const std::unique_ptr<row_reader> reader = tensors_.open(name, {row, 1});
        quantize(planned.f, {reader->next(1), static_cast<std::size_t>(layout.row_length)}, {},
                 to.blocks.data() + row * of_row, interrupts_);
      }
      all[planned.layer] = std::move(to.blocks);
    }
    return all;
  }

 private:
  struct rounded {
    std::vector<std::byte> blocks;
    std::vector<std::uint8_t> missing;
    std::vector<bool> rows_done;
  };

  rounded& open(const std::string& tensor) {
    rounded& to = rounded_[tensor];
    if (!to.rows_done.empty()) return to;
    const planned_tensor& planned = planned_.at(tensor);
    const atom_layout& layout = tensors_.tensor(tensor).layout;
    require_whole_blocks(tensor, layout, planned.f);
    to.rows_done.resize(layout.rows);
    to.blocks.resize(layout.rows * bytes_of(planned.f, layout.row_length));
    to.missing = missing_blocks(run_, planned.layer, layout, planned.f);
    return to;
  }

  const rewritten_partition& run_;
  model_tensors& tensors_;
  std::map<std::string, planned_tensor> planned_;
  std::map<std::string, rounded> rounded_;
  thread_pool pool_;
  backend_interrupts interrupts_;
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
  const std::size_t count = std::min<std::size_t>(tokens.size(), static_cast<std::size_t>(found.bigint(0, 3, 0)));
  std::vector<std::vector<token_id>> windows;
  for (std::size_t first = 0; first < count; first += n_ctx) {
    windows.emplace_back(tokens.begin() + static_cast<std::ptrdiff_t>(first),
                         tokens.begin() + static_cast<std::ptrdiff_t>(std::min(count, first + n_ctx)));
    if (const std::optional<token_id> begin = model.begin()) windows.back().front() = *begin;
  }
  return windows;
}

std::vector<float> embedded(transformer& network, const sequential_job& job) {
  std::vector<token_id> tokens;
  for (const std::vector<token_id>& window : job.windows) tokens.insert(tokens.end(), window.begin(), window.end());
  std::vector<float> states(tokens.size() * network.config().width);
  network.embed(tokens, states.data());
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

// Both streams before `block`, from the tensors that the run has written.
std::unique_ptr<sequential_job> begin(language_model& model, rewritten_tensors& written, const rewritten_partition& run,
                                      std::vector<std::vector<token_id>> windows, std::uint32_t block) {
  auto job = std::make_unique<sequential_job>();
  job->run = run;
  job->windows = std::move(windows);
  backend_interrupts interrupts;
  const hyperparameters& config = model.network().config();
  const text_size size = size_of(job->windows);
  require_work_memory(stream_bytes(config, size.tokens) + model.network().run_bytes(size.tokens, size.longest),
                      "running a text through two networks");
  transformer rounded(config, written, static_cast<unsigned>(current_settings.threads), work_memory() / 16, interrupts);
  job->stream = embedded(model.network(), *job);
  job->rounded_stream = embedded(rounded, *job);
  const std::vector<token_sequence> sequences = job->sequences();
  for (; job->next_block < block; ++job->next_block) {
    model.network().run_block(job->next_block, sequences, job->stream.data());
    rounded.run_block(job->next_block, sequences, job->rounded_stream.data());
  }
  return job;
}

void run_block(sequential_job& job, language_model& model, const tensor_operation& operation) {
  backend_interrupts interrupts;
  const std::uint32_t block = job.next_block;
  block_rounder rounder(job.run, model.tensors(), planned_tensors(job.run, block));
  sequential_options options;
  options.damping = operation.damping;
  sequential_quantizer quantizer(model.network().config(), model.tensors(), rounder, options,
                                 static_cast<unsigned>(current_settings.threads), work_memory() / 16, interrupts);
  const text_size size = size_of(job.windows);
  require_work_memory(
      stream_bytes(model.network().config(), size.tokens) + quantizer.run_bytes(size.tokens, size.longest),
      "quantizing a block in sequence");
  job.tensors.clear();
  quantizer.run_block(job.sequences(), block, job.stream, job.rounded_stream);
  job.tensors = rounder.finish();
  ++job.next_block;
}

bool is_same(const rewritten_partition& a, const rewritten_partition& b) {
  return a.model == b.model && a.revision == b.revision && a.source == b.source && a.target == b.target;
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
  const auto block = static_cast<std::uint32_t>(found.integer(0, 2, 0));
  std::unique_ptr<sequential_job> job = std::move(kept_job());
  const auto is_done = [&] {
    return job && is_same(job->run, run) && job->next_block == block + 1 && job->tensors.count(layer) > 0;
  };
  language_model model(live_atoms(run.model));
  if (block >= model.network().config().blocks) {
    throw error(
        sqlstate::object_not_in_prerequisite_state,
        "tensor \"" + found.text(0, 1) + "\" is in block " + std::to_string(block) + ", which the model does not have");
  }
  if (!is_done()) {
    if (!job || !is_same(job->run, run) || job->next_block != block) {
      rewritten_tensors written(model.tensors(), run.revision, run.target);
      job = begin(model, written, run, windows_of(model, layer, operation), block);
    }
    run_block(*job, model, operation);
    if (!is_done()) {
      throw error(sqlstate::object_not_in_prerequisite_state,
                  "tensor \"" + found.text(0, 1) + "\" is not quantized in sequence by a step of its run");
    }
  }
  blocks_ = std::move(job->tensors.at(layer));
  job->tensors.erase(layer);
  const atom_layout& layout = model.tensors().tensor(found.text(0, 1)).layout;
  rows_.first = 0;
  rows_.end = static_cast<std::int32_t>(layout.atoms());
  rows_.blocks = blocks_.data();
  rows_.f = find_format(operation.format->data(), operation.format->size())->id;
  rows_.layout = layout;
  if (blocks_.size() != layout.rows * bytes_of(rows_.f, layout.row_length)) {
    throw error(sqlstate::object_not_in_prerequisite_state,
                "tensor \"" + found.text(0, 1) + "\" has changed while its run was stopped");
  }
  if (job->next_block < model.network().config().blocks || !job->tensors.empty()) keep(std::move(job));
}

bool sequential_tensor::next() { return !std::exchange(done_, true); }

}  // namespace hartonomous::pg
