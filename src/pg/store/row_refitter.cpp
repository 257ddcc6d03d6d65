// Atoms in, refitted atoms out (row_refitter.hpp).
#include "pg/store/row_refitter.hpp"

#include "pg/base/guc.hpp"
#include "pg/base/memory.hpp"
#include "pg/base/progress_notice.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "hartonomous/codec.hpp"

namespace hartonomous::pg {
namespace {

// From which magnitude on a format has only infinity.
float limit_of(format f) { return f == format::F16 ? 65520.0f : 3.39e38f; }

}  // namespace

row_refitter::row_refitter(Oid source, std::int64_t layer, const tensor_operation& operation)
    : matrix_(find_matrix(source, layer, *operation.calibration_set, operation.calibration_revision)),
      least_(*operation.minimum_importance),
      damping_(operation.damping),
      pool_(static_cast<unsigned>(current_settings.threads)) {
  rows_.layout = matrix_.layout;
  if (matrix_.layout.rows_per_atom() > 1) {
    throw error(sqlstate::invalid_parameter_value,
                "tensor \"" + matrix_.place.tensor + "\" cannot be refitted: atoms are whole rows");
  }
}

void row_refitter::check_format(std::uint64_t atom, format f) {
  const bool is_float = f == format::F32 || f == format::F16 || f == format::BF16;
  if (!is_float || (known_format_ && f != rows_.f)) {
    throw error(sqlstate::invalid_parameter_value,
                "tensor \"" + matrix_.place.tensor + "\" cannot be refitted: atom " + std::to_string(atom) + " is in " +
                    traits_of(f).name,
                is_float ? "The first atoms are in " + std::string(traits_of(rows_.f).name) + "."
                         : "Weights that are refitted are not quantized.",
                "Prune before the model is quantized, or without refit.");
  }
  rows_.f = f;
  known_format_ = true;
}

// Returns whether any of the atoms that there are will be removed.
bool row_refitter::read_panel(std::uint64_t count) {
  const std::uint64_t first = next_row_ * matrix_.layout.atoms_per_row();
  gone_.assign(count * matrix_.layout.atoms_per_row(), 1);
  bool any = false;
  for (const listed_atom& atom : list_atoms(matrix_.atoms(), {next_row_, count}, least_)) {
    check_format(atom.number, atom.storage);
    gone_[atom.number - first] = atom.stays ? 0 : 1;
    any = any || !atom.stays;
  }
  if (any) weights_ = read_matrix(matrix_.atoms(), {next_row_, count}, atoms_seen::by_snapshot);
  return any;
}

void row_refitter::prepare_hessian(std::size_t expert) {
  if (hessian_ && expert == expert_) return;
  hessian_.reset();
  const std::uint64_t n = matrix_.layout.row_length, rows = matrix_.panel_rows();
  require_work_memory(damped_hessian::bytes(n) + row_refit::bytes(n, pool_.threads()) + rows * n * 3 * sizeof(float),
                      "refitting rows");
  double mean = 0.0;
  const input_statistics statistics = require_input_statistics(matrix_.place);
  for (const float s : statistics.sums_of_squares) mean += double{s};
  mean /= static_cast<double>(statistics.sums_of_squares.size());
  stored_gram gram = require_gram(matrix_.place, expert);
  const double ridge = damped_hessian::ridge(gram.upper, n, damping_, mean);
  hessian_.emplace(std::move(gram.upper), n, ridge, pool_, interrupts_);
  expert_ = expert;
}

void row_refitter::refit(std::uint64_t count) {
  const std::uint64_t n = matrix_.layout.row_length, row_bytes = bytes_of(rows_.f, n);
  prepare_hessian(matrix_.expert_of(next_row_));
  changed_ = row_refit(*hessian_, matrix_.layout).apply(weights_, count, gone_, pool_, interrupts_);
  blocks_.resize(count * row_bytes);
  const float limit = limit_of(rows_.f);
  for (std::uint64_t r = 0; r < count; ++r) {
    const span<const float> row = {weights_.data() + r * n, n};
    if (std::any_of(row.begin(), row.end(), [limit](float w) { return std::fabs(w) >= limit; })) changed_[r] = 0;
    if (changed_[r] != 0) quantize(rows_.f, row, {}, blocks_.data() + r * row_bytes, interrupts_);
  }
}

void row_refitter::report_progress() {
  const double part = static_cast<double>(next_row_) / static_cast<double>(matrix_.layout.rows);
  const bool due = timer_.due();
  notice_progress(due, "refitting tensor \"" + matrix_.place.tensor +
                           "\": " + std::to_string(static_cast<int>(100 * part)) + " %, " +
                           duration_text(timer_.left(part).value_or(0)) + " left");
}

bool row_refitter::next() {
  if (next_row_ >= matrix_.layout.rows) return false;
  const std::uint64_t count = matrix_.panel_from(next_row_);
  rows_.first = static_cast<std::int32_t>(next_row_ * matrix_.layout.atoms_per_row());
  rows_.end = static_cast<std::int32_t>((next_row_ + count) * matrix_.layout.atoms_per_row());
  if (read_panel(count)) {
    refit(count);
  } else {
    changed_.assign(count, 0);
  }
  rows_.blocks = blocks_.data();
  rows_.changed = changed_.data();
  next_row_ += count;
  report_progress();
  return true;
}

}  // namespace hartonomous::pg
