// Finds the partition of atoms that a revision wrote (sql/internal/partitions.sql) by its name.
#pragma once

#include "pg/base/boundary.hpp"

#include <cstdint>

extern "C" {
#include "catalog/namespace.h"
}

namespace hartonomous::pg {

// Its name in schema hartonomous_partitions, which SQL asks for, too; may ereport.
inline char* atoms_partition_name(std::int32_t model, std::int32_t revision) {
  return psprintf("tensor_atoms_m%d_r%d", model, revision);
}

// InvalidOid when it is not there; may ereport.
inline Oid atoms_partition(std::int32_t model, std::int32_t revision) {
  return get_relname_relid(atoms_partition_name(model, revision), get_namespace_oid("hartonomous_partitions", true));
}

}  // namespace hartonomous::pg
