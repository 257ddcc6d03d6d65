// Atoms whose weights are quantized or refitted together, because the weights of a whole row depend on each other: an
// atom may be a part of a row.
#pragma once

#include "pg/base/boundary.hpp"

#include <cstddef>
#include <cstdint>
#include <string>

#include "hartonomous/format.hpp"
#include "hartonomous/space.hpp"

namespace hartonomous::pg {

// The rows that are quantized. A plain struct, because the executor calls value_of().
struct quantized_rows {
  std::int32_t first = 0, end = 0;  // atoms
  const std::byte* blocks = nullptr;
  format f = format::F32;
  atom_layout layout;
  const std::uint8_t* changed = nullptr;  // if not null, 0 for each row whose atoms (parts of it) stay as they are
};

// Whether the atom gets other weights; may ereport.
bool is_changed(const quantized_rows& rows, std::int32_t atom);
// An atom of these rows as a value of type weights, in the current memory context; may ereport.
Datum value_of(const quantized_rows& rows, std::int32_t atom);

// Quantizes the rows of a tensor, some at a time.
class atom_quantizer {
 public:
  atom_quantizer() = default;
  atom_quantizer(const atom_quantizer&) = delete;
  atom_quantizer& operator=(const atom_quantizer&) = delete;
  virtual ~atom_quantizer() = default;
  // Quantizes the next rows; false at the end. Needs an spi_session.
  virtual bool next() = 0;
  const quantized_rows& rows() const noexcept { return rows_; }

 protected:
  quantized_rows rows_;
};

// Raises 22023 unless each atom of the tensor is a whole number of the format's blocks.
void require_whole_blocks(const std::string& tensor, const atom_layout& layout, format f);

}  // namespace hartonomous::pg
