// Snapshots that are consistent with swaps of partitions (locked_snapshot.hpp).
#include "pg/store/locked_snapshot.hpp"

#include <cstdint>
#include <string>

extern "C" {
#include "catalog/namespace.h"
#include "catalog/partition.h"
}

namespace hartonomous::pg {
namespace {

Oid lock_atoms() {
  const Oid relation = get_relname_relid("tensor_atoms", get_namespace_oid("hartonomous", true));
  if (OidIsValid(relation)) LockRelationOid(relation, AccessShareLock);
  return relation;
}

void check_partition(std::int32_t model, Oid atoms) {
  const spi_session spi;
  // Chunks of the archive are seen or not, as by any other query.
  const query_result found = select(
      "SELECT CASE WHEN NOT hartonomous_internal.is_archived_model($1) THEN hartonomous_internal.live_partition($1) "
      "END",
      "model_revisions", {{INT4OID, Int32GetDatum(model)}});
  const auto live = found.optional(0, 1, REGCLASSOID);
  if (!live) return;
  const Oid partition = DatumGetObjectId(*live);
  if (!call([&] { return get_rel_relispartition(partition) && get_partition_parent(partition, false) == atoms; })) {
    throw error(sqlstate::serialization_failure,
                "model " + std::to_string(model) + " was rewritten after this transaction's snapshot", {},
                "Try again in a new transaction.");
  }
}

}  // namespace

void lock_partitions(std::int32_t model) {
  check_partition(model, call([] { return lock_atoms(); }));
}

// Partitions may be swapped between taking the snapshot of the calling query and the first access to the atoms. So the
// lock that delays swaps is taken first, and the snapshot after it.
locked_snapshot::locked_snapshot(std::int32_t model) : exceptions_(std::uncaught_exceptions()) {
  const Oid atoms = call([] {
    const Oid relation = lock_atoms();
    PushActiveSnapshot(GetTransactionSnapshot());
    return relation;
  });
  check_partition(model, atoms);
}

}  // namespace hartonomous::pg
