// Atoms in, atoms out (hessian_quantizer.hpp).
#include "pg/store/hessian_quantizer.hpp"

#include "pg/base/guc.hpp"
#include "pg/base/interrupts.hpp"
#include "pg/base/progress_notice.hpp"
#include "pg/store/atom_matrix.hpp"

namespace hartonomous::pg {
hessian_quantizer::hessian_quantizer(const stored_matrix& matrix, format f, double damping, unsigned sweeps)
    : matrix_(matrix),
      f_(f),
      damping_(damping),
      sweeps_(sweeps),
      pool_(static_cast<unsigned>(current_settings.threads)) {
  rows_.f = f;
  rows_.layout = matrix.layout;
}

std::uint64_t hessian_quantizer::work_bytes() const noexcept {
  const std::uint64_t panel_rows = matrix_.panel_rows(), count = panel_rows * rows_.layout.row_length;
  // Floats, blocks, and the atoms as they were, at most as floats.
  return count * (2 * sizeof(float) + 1) + panel_rows * bytes_of(f_, rows_.layout.row_length) +
         quantize_rows_work_bytes(panel_rows, rows_.layout.row_length);
}

std::unique_ptr<hessian_quantizer> open_hessian_quantizer(Oid source, std::int64_t layer,
                                                          const tensor_operation& operation) {
  const stored_matrix matrix = find_matrix(source, layer, *operation.calibration_set, operation.calibration_revision);
  const format f = find_format(operation.format->data(), operation.format->size())->id;
  require_whole_blocks(matrix.place.tensor, matrix.layout, f);
  return std::make_unique<hessian_quantizer>(matrix, f, operation.damping, static_cast<unsigned>(operation.sweeps));
}

void hessian_quantizer::report_progress() {
  const double part = static_cast<double>(next_row_) / static_cast<double>(rows_.layout.rows);
  const bool due = timer_.due();
  notice_progress(due, "quantizing tensor \"" + matrix_.place.tensor +
                           "\": " + std::to_string(static_cast<int>(100 * part)) + " %, " +
                           duration_text(timer_.left(part).value_or(0)) + " left");
}

bool hessian_quantizer::next() {
  const atom_layout& layout = rows_.layout;
  if (next_row_ >= layout.rows) return false;
  backend_interrupts interrupts;
  const std::size_t expert = matrix_.expert_of(next_row_);
  if (!hessian_ || expert != expert_) {
    hessian_.reset();
    hessian_ = layer_hessian(matrix_.place, expert, damping_, work_bytes(), pool_, interrupts);
    expert_ = expert;
  }
  const std::uint64_t count = matrix_.panel_from(next_row_);
  const row_range rows = {next_row_, count};
  const std::vector<float> weights = read_matrix(matrix_.atoms(), rows, atoms_seen::by_snapshot);
  const std::vector<std::uint8_t> missing = missing_blocks(matrix_.atoms(), rows, f_);
  blocks_.resize(count * bytes_of(f_, layout.row_length));
  quantize_rows(f_, weights, count, *hessian_, {sweeps_, missing, next_row_}, blocks_.data(), pool_, interrupts);
  rows_.first = static_cast<std::int32_t>(next_row_ * layout.atoms_per_row());
  rows_.end = static_cast<std::int32_t>((next_row_ + count) * layout.atoms_per_row());
  rows_.blocks = blocks_.data();
  next_row_ += count;
  report_progress();
  return true;
}

}  // namespace hartonomous::pg
