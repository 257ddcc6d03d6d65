// Values of quantized atoms (atom_quantizer.hpp).
#include "pg/store/atom_quantizer.hpp"

#include "pg/base/weights.hpp"

#include <cstring>

#include "hartonomous/error.hpp"

namespace hartonomous::pg {

namespace {

void check_atom(const quantized_rows& rows, std::int32_t atom) {
  if (atom < rows.first || atom >= rows.end) elog(ERROR, "atom %d is not one of the rows that are quantized", atom);
}

}  // namespace

bool is_changed(const quantized_rows& rows, std::int32_t atom) {
  check_atom(rows, atom);
  if (rows.changed == nullptr) return true;
  const atom_layout& layout = rows.layout;
  const auto number = static_cast<std::uint64_t>(atom);
  const std::uint64_t row = layout.row_of(number) - layout.row_of(static_cast<std::uint64_t>(rows.first));
  return rows.changed[row] != 0;
}

Datum value_of(const quantized_rows& rows, std::int32_t atom) {
  const auto number = static_cast<std::uint64_t>(atom);
  check_atom(rows, atom);
  const std::uint64_t count = rows.layout.length_of(number);
  const std::uint64_t row = rows.layout.row_of(number) - rows.layout.row_of(static_cast<std::uint64_t>(rows.first));
  weights_varlena* value = new_weights(rows.f, count);
  std::memcpy(
      value->blocks(),
      rows.blocks + row * bytes_of(rows.f, rows.layout.row_length) + bytes_of(rows.f, rows.layout.column_of(number)),
      bytes_of(rows.f, count));
  return PointerGetDatum(value);
}

void require_whole_blocks(const std::string& tensor, const atom_layout& layout, format f) {
  const std::uint64_t block = traits_of(f).block_weights;
  if (layout.row_length % block != 0 || (layout.atom_size % block != 0 && layout.atom_size < layout.row_length)) {
    throw error(sqlstate::invalid_parameter_value,
                "atoms of tensor \"" + tensor + "\" are not whole blocks of format " + traits_of(f).name);
  }
}

}  // namespace hartonomous::pg
