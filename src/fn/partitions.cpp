// The name of a partition of atoms (sql/internal/partitions.sql).
#include "pg/store/atoms_partition.hpp"

using namespace hartonomous::pg;

HARTONOMOUS_FUNCTION(atoms_partition) {
  return call(
      [&] { return PointerGetDatum(cstring_to_text(atoms_partition_name(PG_GETARG_INT32(0), PG_GETARG_INT32(1)))); });
}
