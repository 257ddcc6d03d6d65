// Rows of model_layers (layer_row.hpp).
#include "pg/store/layer_row.hpp"

#include <cstdint>

namespace hartonomous::pg {

atom_layout layout_of_row(const query_result& layers, std::uint64_t row, int row_length, int atom_size,
                          std::uint64_t weights, const std::string& tensor) {
  atom_layout layout;
  layout.row_length = static_cast<std::uint64_t>(layers.bigint(row, row_length, 0, most_weights));
  layout.atom_size = static_cast<std::uint32_t>(layers.integer(row, atom_size, 1));
  layout.rows = layout.row_length > 0 ? weights / layout.row_length : 0;
  if (layout.atoms() > INT32_MAX) {
    throw error(sqlstate::program_limit_exceeded, "tensor \"" + tensor + "\" has too many atoms", {},
                "Import with a larger atom_size.");
  }
  return layout;
}

}  // namespace hartonomous::pg
