// Factors out of the store (stored_factors.hpp).
#include "pg/stored_factors.hpp"

#include <cstdint>

#include "pg/guc.hpp"
#include "pg/interrupts.hpp"
#include "pg/spi.hpp"
#include "pg/weights.hpp"

namespace hartonomous::pg {
namespace {

buffer<float> decoded(Datum value, std::size_t expected, const char* what, const std::string& tensor) {
  const weights_view w(value);
  if (w.count() != expected) {
    throw error(sqlstate::object_not_in_prerequisite_state,
                "factors of tensor \"" + tensor + "\" do not fit its matrix",
                std::string(what) + " has " + std::to_string(w.count()) + " numbers instead of " +
                    std::to_string(expected) + ".");
  }
  buffer<float> values(expected);
  decode(w, values.data());
  return values;
}

}  // namespace

stored_factors::stored_factors(std::size_t rows, std::size_t columns, std::size_t rank, Datum u, Datum s, Datum vt,
                               const std::string& tensor)
    : rows_(rows), columns_(columns), rank_(rank) {
  require_work_memory((rows + columns + 1) * rank * sizeof(float), "reading factors");
  u_ = decoded(u, rows * rank, "U", tensor);
  s_ = decoded(s, rank, "S", tensor);
  vt_ = decoded(vt, rank * columns, "VT", tensor);
}

void stored_factors::add_rows(std::size_t from, std::size_t count, float* out) const {
  workers crew(static_cast<unsigned>(current_settings.threads));
  backend_interrupt interrupts;
  add_product(view(), from, count, out, crew, interrupts);
}

std::optional<stored_factors> find_factors(std::int32_t model, std::int32_t base_revision, std::int64_t layer,
                                           const std::string& tensor, const atom_layout& layout) {
  Oid types[] = {INT4OID, INT4OID, INT8OID};
  Datum values[] = {Int32GetDatum(model), Int32GetDatum(base_revision), Int64GetDatum(layer)};
  call([&] {
    SPI_execute_with_args(
        "SELECT f.rank, f.u_matrix, f.s_vector, f.vt_matrix FROM hartonomous.svd_compressed_layers f "
        "WHERE f.model_id = $1 AND f.revision_id = $2 AND f.layer_id = $3",
        3, types, values, nullptr, true, 0);
  });
  SPITupleTable* const found = SPI_tuptable;
  std::optional<stored_factors> factors;
  if (SPI_processed > 0) {
    const auto rank = static_cast<std::size_t>(spi_int32(0, 1));
    bool is_null;
    const Datum u = spi_field(0, 2, &is_null), s = spi_field(0, 3, &is_null), vt = spi_field(0, 4, &is_null);
    factors.emplace(layout.rows, layout.row_length, rank, u, s, vt, tensor);
  }
  call([&] { SPI_freetuptable(found); });
  return factors;
}

}  // namespace hartonomous::pg
