// Finding matrices (stored_matrix.hpp).
#include "pg/store/stored_matrix.hpp"

#include "pg/base/spi.hpp"
#include "pg/store/layer_row.hpp"

#include <algorithm>

namespace hartonomous::pg {
namespace {

constexpr std::uint64_t panel_bytes = std::uint64_t{1} << 26;

}  // namespace

std::uint64_t stored_matrix::panel_rows() const noexcept {
  const std::uint64_t of_atom = layout.rows_per_atom();
  const std::uint64_t atoms = panel_bytes / (layout.row_length * of_atom * sizeof(float));
  return std::clamp<std::uint64_t>(atoms * of_atom, std::min(of_atom, layout.rows), layout.rows);
}

std::uint64_t stored_matrix::panel_from(std::uint64_t row) const noexcept {
  return std::min(panel_rows(), (expert_of(row) + 1) * matrix_rows - row);
}

stored_matrix find_matrix(Oid source, std::int64_t layer, const std::string& calibration_set, std::int32_t revision) {
  const query_result found = select(
      "SELECT l.model_id, l.layer_name, l.row_length, l.atom_size, l.tensor_shape, "
      "l.parameter_count FROM hartonomous.model_layers l "
      "WHERE l.layer_id OPERATOR(pg_catalog.=) $1",
      "model_layers", {{INT8OID, Int64GetDatum(layer)}});
  if (found.rows() != 1) throw error(sqlstate::undefined_object, "there is no such layer");
  stored_matrix matrix;
  matrix.source = source;
  calibration_place& place = matrix.place;
  place.model = found.integer(0, 1);
  place.revision = revision;
  place.calibration_set = calibration_set;
  place.layer = layer;
  place.tensor = found.text(0, 2);
  const std::vector<std::int64_t> shape = found.bigints(0, 5, 1);
  matrix.layout = layout_of_row(found, 0, 3, 4, static_cast<std::uint64_t>(found.bigint(0, 6, 0)), place.tensor);
  place.columns = matrix.layout.row_length;
  if (shape.size() == 3) place.experts = static_cast<std::size_t>(shape[0]);
  if (matrix.layout.rows == 0 || matrix.layout.rows % place.experts != 0) {
    throw error(sqlstate::object_not_in_prerequisite_state,
                "the shape of tensor \"" + place.tensor + "\" does not fit its number of weights");
  }
  matrix.matrix_rows = matrix.layout.rows / place.experts;
  if (place.experts > 1 && matrix.matrix_rows % matrix.layout.rows_per_atom() != 0) {
    throw error(sqlstate::object_not_in_prerequisite_state,
                "the atoms of tensor \"" + place.tensor + "\" have rows of different experts");
  }
  return matrix;
}

}  // namespace hartonomous::pg
