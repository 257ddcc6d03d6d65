// Reading factors (stored_factors.hpp).
#include "pg/store/stored_factors.hpp"

#include <cstdint>

#include "pg/base/guc.hpp"
#include "pg/base/interrupts.hpp"
#include "pg/base/spi.hpp"
#include "pg/base/weights.hpp"

namespace hartonomous::pg {
namespace {

// Avoids computing a x b, which may overflow 64 bits.
bool is_product(std::uint64_t count, std::uint64_t a, std::uint64_t b) {
  return b == 0 ? count == 0 : count / b == a && count % b == 0;
}

// Only the header is read, so that sizes that do not fit are found before the value is fetched.
std::uint64_t checked_count(Datum value, std::uint64_t a, std::uint64_t b, const char* what,
                            const std::string& tensor) {
  const std::uint64_t count = read_header(value).count;
  if (is_product(count, a, b)) return count;
  throw error(sqlstate::object_not_in_prerequisite_state, "factors of tensor \"" + tensor + "\" do not fit its matrix",
              std::string(what) + " has " + std::to_string(count) + " numbers instead of " + std::to_string(a) + " x " +
                  std::to_string(b) + ".");
}

buffer<float> decoded(Datum value) {
  const weights_view w(value);
  buffer<float> values(w.count());
  decode(w, values.data());
  return values;
}

}  // namespace

stored_factors::stored_factors(std::size_t rows, std::size_t columns, std::size_t rank, Datum u, Datum s, Datum vt,
                               const std::string& tensor)
    : rows_(rows), columns_(columns), rank_(rank) {
  const std::uint64_t numbers = checked_count(u, rows, rank, "U", tensor) + checked_count(s, rank, 1, "S", tensor) +
                                checked_count(vt, rank, columns, "VT", tensor);
  require_work_memory(numbers * sizeof(float), "reading factors");
  u_ = decoded(u);
  s_ = decoded(s);
  vt_ = decoded(vt);
}

void stored_factors::add_rows(std::size_t from, std::size_t count, float* out) const {
  thread_pool pool(static_cast<unsigned>(current_settings.threads));
  backend_interrupts interrupts;
  add_product(view(), from, count, out, pool, interrupts);
}

std::unique_ptr<tensor_part> open_factors(const tensor_place& place) {
  const query_result found = select(
      "SELECT f.rank, f.u_matrix, f.s_vector, f.vt_matrix FROM hartonomous.svd_compressed_layers f "
      "WHERE f.model_id = $1 AND f.revision_id = $2 AND f.layer_id = $3",
      "svd_compressed_layers",
      {{INT4OID, Int32GetDatum(place.model)},
       {INT4OID, Int32GetDatum(place.base_revision)},
       {INT8OID, Int64GetDatum(place.layer)}});
  if (found.rows() == 0) return nullptr;
  const Oid weights = call([] { return weights_type(); });
  return std::make_unique<stored_factors>(place.layout.rows, place.layout.row_length,
                                          static_cast<std::size_t>(found.integer(0, 1, 1)), found.value(0, 2, weights),
                                          found.value(0, 3, weights), found.value(0, 4, weights), place.tensor);
}

}  // namespace hartonomous::pg
