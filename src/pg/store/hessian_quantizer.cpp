// Atoms in, atoms out (hessian_quantizer.hpp).
#include "pg/store/hessian_quantizer.hpp"

#include "pg/base/guc.hpp"
#include "pg/base/interrupts.hpp"
#include "pg/base/progress_notice.hpp"
#include "pg/store/atom_matrix.hpp"
#include "pg/store/layer_row.hpp"

#include <algorithm>

namespace hartonomous::pg {
namespace {

// About as many rows as this many bytes of floats hold are quantized together.
constexpr std::uint64_t panel_bytes = std::uint64_t{1} << 26;

}  // namespace

hessian_quantizer::hessian_quantizer(Oid source, const calibration_place& place, const atom_layout& layout, format f,
                                     double damping, unsigned sweeps)
    : source_(source),
      place_(place),
      f_(f),
      damping_(damping),
      sweeps_(sweeps),
      panel_rows_(std::clamp<std::uint64_t>(panel_bytes / (layout.row_length * sizeof(float)), 1, layout.rows)),
      matrix_rows_(layout.rows / place.experts),
      pool_(static_cast<unsigned>(current_settings.threads)) {
  rows_.f = f;
  rows_.layout = layout;
}

std::uint64_t hessian_quantizer::work_bytes() const noexcept {
  const std::uint64_t count = panel_rows_ * rows_.layout.row_length;
  // Floats, blocks, and the atoms as they were, at most as floats.
  return count * (2 * sizeof(float) + 1) + panel_rows_ * bytes_of(f_, rows_.layout.row_length) +
         quantize_rows_work_bytes(panel_rows_, rows_.layout.row_length);
}

std::unique_ptr<hessian_quantizer> open_hessian_quantizer(Oid source, std::int64_t layer,
                                                          const tensor_operation& operation) {
  const query_result found = select(
      "SELECT l.model_id, l.layer_name, l.row_length, l.atom_size, l.tensor_shape, "
      "l.parameter_count FROM hartonomous.model_layers l "
      "WHERE l.layer_id OPERATOR(pg_catalog.=) $1",
      "model_layers", {{INT8OID, Int64GetDatum(layer)}});
  if (found.rows() != 1) throw error(sqlstate::undefined_object, "there is no such layer");
  calibration_place place;
  place.model = found.integer(0, 1);
  place.revision = operation.calibration_revision;
  place.calibration_set = *operation.calibration_set;
  place.layer = layer;
  place.tensor = found.text(0, 2);
  const std::vector<std::int64_t> shape = found.bigints(0, 5, 1);
  const atom_layout layout = layout_of_row(found, 0, 3, 4, found.bigint(0, 6), place.tensor);
  place.columns = layout.row_length;
  if (shape.size() == 3) place.experts = static_cast<std::size_t>(shape[0]);
  if (layout.rows == 0 || layout.rows % place.experts != 0) {
    throw error(sqlstate::object_not_in_prerequisite_state,
                "the shape of tensor \"" + place.tensor + "\" does not fit its number of weights");
  }
  const format f = find_format(operation.format->data(), operation.format->size())->id;
  require_whole_blocks(place.tensor, layout, f);
  return std::make_unique<hessian_quantizer>(source, place, layout, f, operation.damping,
                                             static_cast<unsigned>(operation.sweeps));
}

void hessian_quantizer::report_progress() {
  const double part = static_cast<double>(next_row_) / static_cast<double>(rows_.layout.rows);
  const bool due = timer_.due();
  notice_progress(due, "quantizing tensor \"" + place_.tensor + "\": " + std::to_string(static_cast<int>(100 * part)) +
                           " %, " + duration_text(timer_.left(part).value_or(0)) + " left");
}

bool hessian_quantizer::next() {
  const atom_layout& layout = rows_.layout;
  if (next_row_ >= layout.rows) return false;
  backend_interrupts interrupts;
  const std::size_t expert = next_row_ / matrix_rows_;
  if (!hessian_ || expert != expert_) {
    hessian_.reset();
    hessian_ = layer_hessian(place_, expert, damping_, work_bytes(), pool_, interrupts);
    expert_ = expert;
  }
  const std::uint64_t count = std::min(panel_rows_, (expert + 1) * matrix_rows_ - next_row_);
  const atoms_place atoms = {source_, place_.model, place_.layer, place_.tensor, layout};
  const row_range rows = {next_row_, count};
  const std::vector<float> weights = read_matrix(atoms, rows, atoms_seen::by_snapshot);
  const std::vector<std::uint8_t> missing = missing_blocks(atoms, rows, f_);
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
