// Rows of a tensor's matrix from the atoms of any partition, also of one that has no indexes yet.
#pragma once

#include "pg/base/spi.hpp"

#include <cstdint>
#include <string>
#include <vector>

#include "hartonomous/format.hpp"
#include "hartonomous/space.hpp"
#include "hartonomous/tensor_source.hpp"

namespace hartonomous::pg {

// Where the atoms are, and how they make up the matrix.
struct atoms_place {
  Oid partition = InvalidOid;
  std::int32_t model = 0;
  std::int64_t layer = 0;
  std::string tensor;  // for messages
  atom_layout layout;
};

// Which rows of the table are seen: those of the active snapshot, or also what this transaction has written so far.
enum class atoms_seen { by_snapshot, until_now };

// Weights that no atom has are zeros. Needs an spi_session. Errors: 55000 if an atom does not fit the matrix; those of
// query_result.
std::vector<float> read_matrix(const atoms_place& place, row_range rows, atoms_seen seen);

// An atom of such rows. It stays when those with an importance below a minimum are pruned.
struct listed_atom {
  std::uint64_t number;
  format storage;
  bool stays;
};

// The atoms there are in these rows, in no particular order, by the active snapshot.
std::vector<listed_atom> list_atoms(const atoms_place& place, row_range rows, float minimum_importance);

// One byte for each of the format's blocks in these rows: 1 if its atom is missing. Empty if none is. Reads with the
// active snapshot.
std::vector<std::uint8_t> missing_blocks(const atoms_place& place, row_range rows, format f);

// The name of a table for a query.
std::string qualified_name(Oid table);

}  // namespace hartonomous::pg
