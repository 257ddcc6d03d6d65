// Reading matrices by plain queries (atom_matrix.hpp). Atoms outside the matrix are not read, as nobody reads them.
#include "pg/store/atom_matrix.hpp"

#include "pg/base/interrupts.hpp"
#include "pg/base/weights.hpp"

#include <algorithm>

extern "C" {
#include "utils/builtins.h"
#include "utils/lsyscache.h"
}

namespace hartonomous::pg {
namespace {

query_result atoms_of(const char* columns, const atoms_place& place, row_range rows, atoms_seen seen,
                      float minimum_importance = 0.0f) {
  const std::string query = std::string("SELECT ") + columns + " FROM " + qualified_name(place.partition) +
                            " a WHERE a.model_id OPERATOR(pg_catalog.=) $1 AND a.layer_id OPERATOR(pg_catalog.=) $2 "
                            "AND a.atom_sequence OPERATOR(pg_catalog.>=) $3 "
                            "AND a.atom_sequence OPERATOR(pg_catalog.<) $4";
  const auto first = static_cast<std::int32_t>(place.layout.first_atom(rows.first));
  const auto end = static_cast<std::int32_t>(place.layout.end_atom(rows.first + rows.count));
  const auto read = seen == atoms_seen::by_snapshot ? select : execute;
  return read(query.c_str(), "tensor_atoms",
              {{INT4OID, Int32GetDatum(place.model)},
               {INT8OID, Int64GetDatum(place.layer)},
               {INT4OID, Int32GetDatum(first)},
               {INT4OID, Int32GetDatum(end)},
               {FLOAT4OID, Float4GetDatum(minimum_importance)}});
}

}  // namespace

std::string qualified_name(Oid table) {
  return call(
      [&] { return quote_qualified_identifier(get_namespace_name(get_rel_namespace(table)), get_rel_name(table)); });
}

std::vector<float> read_matrix(const atoms_place& place, row_range rows, atoms_seen seen) {
  const query_result found = atoms_of("a.atom_sequence, a.atom_data", place, rows, seen);
  const Oid type = call([] { return weights_type(); });
  backend_interrupts interrupts;
  const std::uint64_t first = rows.first * place.layout.row_length, count = rows.count * place.layout.row_length;
  std::vector<float> weights(count, 0.0f);
  for (std::uint64_t i = 0; i < found.rows(); ++i) {
    interrupts.check();
    const auto atom = static_cast<std::uint64_t>(found.integer(i, 1, 0));
    const weights_view view(found.value(i, 2, type));
    if (view.count() != place.layout.length_of(atom)) {
      throw error(sqlstate::object_not_in_prerequisite_state,
                  "atom " + std::to_string(atom) + " of tensor \"" + place.tensor + "\" does not fit its matrix",
                  "It has " + std::to_string(view.count()) + " weights.");
    }
    decode_between(view, place.layout.offset_of(atom), first, first + count, weights.data());
  }
  return weights;
}

std::vector<std::uint8_t> missing_blocks(const atoms_place& place, row_range rows, format f) {
  const query_result found = atoms_of("a.atom_sequence", place, rows, atoms_seen::by_snapshot);
  const atom_layout& layout = place.layout;
  if (found.rows() == layout.end_atom(rows.first + rows.count) - layout.first_atom(rows.first)) return {};
  const std::uint32_t block = traits_of(f).block_weights;
  const std::uint64_t first = rows.first * layout.row_length, end = first + rows.count * layout.row_length;
  std::vector<std::uint8_t> missing((end - first) / block, 1);
  for (std::uint64_t i = 0; i < found.rows(); ++i) {
    const auto atom = static_cast<std::uint64_t>(found.integer(i, 1, 0));
    const std::uint64_t from = std::max(layout.offset_of(atom), first);
    const std::uint64_t to = std::min(layout.offset_of(atom) + layout.length_of(atom), end);
    std::fill_n(missing.begin() + static_cast<std::ptrdiff_t>((from - first) / block), (to - from) / block,
                std::uint8_t{0});
  }
  return missing;
}

std::vector<listed_atom> list_atoms(const atoms_place& place, row_range rows, float minimum_importance) {
  const query_result found =
      atoms_of("a.atom_sequence, a.atom_data, (a.importance_score OPERATOR(pg_catalog.>=) $5) IS NOT FALSE", place,
               rows, atoms_seen::by_snapshot, minimum_importance);
  const Oid type = call([] { return weights_type(); });
  std::vector<listed_atom> atoms;
  atoms.reserve(found.rows());
  for (std::uint64_t i = 0; i < found.rows(); ++i) {
    atoms.push_back({static_cast<std::uint64_t>(found.integer(i, 1, 0)), read_header(found.value(i, 2, type)).id,
                     found.boolean(i, 3)});
  }
  return atoms;
}

}  // namespace hartonomous::pg
