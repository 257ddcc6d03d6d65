// Atoms in, atoms out (hessian_quantizer.hpp).
#include "pg/store/hessian_quantizer.hpp"

#include "pg/base/guc.hpp"
#include "pg/base/interrupts.hpp"
#include "pg/base/progress_notice.hpp"
#include "pg/store/atom_matrix.hpp"

#include <utility>

namespace hartonomous::pg {

hessian_quantizer::hessian_quantizer(const stored_matrix& matrix, format f, double damping, unsigned sweeps,
                                     bool two_sided, std::optional<stored_gram> gram)
    : matrix_(matrix),
      f_(f),
      damping_(damping),
      sweeps_(sweeps),
      two_sided_(two_sided),
      gram_(std::move(gram)),
      panel_rows_(two_sided ? matrix.matrix_rows : matrix.panel_rows()),
      pool_(static_cast<unsigned>(current_settings.threads)) {
  rows_.f = f;
  rows_.layout = matrix.layout;
}

std::uint64_t hessian_quantizer::work_bytes() const noexcept {
  const std::uint64_t columns = rows_.layout.row_length, count = panel_rows_ * columns;
  // Floats, blocks, and the atoms as they were, at most as floats.
  return count * (2 * sizeof(float) + 1) + panel_rows_ * bytes_of(f_, columns) +
         (two_sided_ ? two_sided_work_bytes(panel_rows_, columns) + input_hessian::bytes(panel_rows_)
                     : quantize_rows_work_bytes(panel_rows_, columns));
}

std::unique_ptr<hessian_quantizer> open_hessian_quantizer(Oid source, std::int64_t layer,
                                                          const tensor_operation& operation,
                                                          const gram_maker& gram_of) {
  const stored_matrix matrix = find_matrix(source, layer, *operation.calibration_set, operation.calibration_revision);
  if (operation.two_sided && matrix.place.experts > 1) {
    throw error(sqlstate::feature_not_supported,
                "tensor \"" + matrix.place.tensor + "\" has experts, which have no gradients", {},
                "Leave out curvature.");
  }
  const format f = find_format(operation.format->data(), operation.format->size())->id;
  require_whole_blocks(matrix.place.tensor, matrix.layout, f);
  return std::make_unique<hessian_quantizer>(matrix, f, operation.damping, static_cast<unsigned>(operation.sweeps),
                                             operation.two_sided, gram_of(matrix.place));
}

void hessian_quantizer::report_progress() {
  const double part = static_cast<double>(next_row_) / static_cast<double>(rows_.layout.rows);
  const bool due = timer_.due();
  notice_progress(due, "quantizing tensor \"" + matrix_.place.tensor +
                           "\": " + std::to_string(static_cast<int>(100 * part)) + " %, " +
                           duration_text(timer_.left(part).value_or(0)) + " left");
}

void hessian_quantizer::open_hessians(std::size_t expert, interrupt_checker& interrupts) {
  hessian_.reset();
  if (two_sided_) outputs_ = output_hessian(matrix_.place, matrix_.matrix_rows, damping_, 0, pool_, interrupts);
  hessian_ = gram_ ? hessian_of(*gram_, damping_, work_bytes(), pool_, interrupts)
                   : layer_hessian(matrix_.place, expert, damping_, work_bytes(), pool_, interrupts);
  gram_.reset();
  expert_ = expert;
}

bool hessian_quantizer::next() {
  const atom_layout& layout = rows_.layout;
  if (next_row_ >= layout.rows) return false;
  backend_interrupts interrupts;
  const std::size_t expert = matrix_.expert_of(next_row_);
  if (!hessian_ || expert != expert_) open_hessians(expert, interrupts);
  const std::uint64_t count = two_sided_ ? matrix_.matrix_rows : matrix_.panel_from(next_row_);
  const row_range rows = {next_row_, count};
  const std::vector<float> weights = read_matrix(matrix_.atoms(), rows, atoms_seen::by_snapshot);
  const std::vector<std::uint8_t> missing = missing_blocks(matrix_.atoms(), rows, f_);
  blocks_.resize(count * bytes_of(f_, layout.row_length));
  const hessian_options options = {sweeps_, missing, next_row_};
  if (two_sided_) {
    quantize_rows_two_sided(f_, weights, *hessian_, *outputs_, options, {}, blocks_.data(), pool_, interrupts);
  } else {
    quantize_rows(f_, weights, count, *hessian_, options, blocks_.data(), pool_, interrupts);
  }
  rows_.first = static_cast<std::int32_t>(layout.first_atom(next_row_));
  rows_.end = static_cast<std::int32_t>(layout.end_atom(next_row_ + count));
  rows_.blocks = blocks_.data();
  next_row_ += count;
  report_progress();
  return true;
}

}  // namespace hartonomous::pg
