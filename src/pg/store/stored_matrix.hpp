// A tensor in a partition as one or more matrices, which are worked on some rows at a time: an atom may be a part of a
// row, but the weights of a whole row depend on each other. An atom of several rows is in one of the matrices.
#pragma once

#include "pg/base/boundary.hpp"
#include "pg/store/atom_matrix.hpp"
#include "pg/store/calibration_statistics.hpp"

#include <cstdint>
#include <string>

#include "hartonomous/space.hpp"

namespace hartonomous::pg {

struct stored_matrix {
  Oid source = InvalidOid;    // the partition
  calibration_place place;    // also the statistics of its inputs
  atom_layout layout;         // of all matrices, one after the other
  std::uint64_t matrix_rows;  // of one of them

  atoms_place atoms() const { return {source, place.model, place.layer, place.tensor, layout}; }
  std::size_t expert_of(std::uint64_t row) const noexcept { return row / matrix_rows; }
  // So many rows that their floats take about 64 MB, from `row` on and of the same matrix; all their atoms are whole if
  // `row` is the first row of one.
  std::uint64_t panel_rows() const noexcept;
  std::uint64_t panel_from(std::uint64_t row) const noexcept;
};

// Statistics are those of a revision, unless the set is empty. Needs an spi_session. Errors: 42704
// if there is no such layer; 55000 if its shape does not fit; those of query_result.
stored_matrix find_matrix(Oid source, std::int64_t layer, const std::string& calibration_set, std::int32_t revision);

}  // namespace hartonomous::pg
