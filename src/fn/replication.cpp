// What the triggers of a subscriber of logical replication ask and tell PostgreSQL (sql/internal/replication.sql).
#include "pg/base/boundary.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "replication/logicalworker.h"
#include "replication/worker_internal.h"
}

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

bool applies_changes() { return IsLogicalWorker() && MySubscription != nullptr && !am_tablesync_worker(); }

}  // namespace

HARTONOMOUS_FUNCTION(applies_changes) {
  PG_RETURN_BOOL(call([] { return applies_changes(); }));
}

// A table that the subscription does not know is passed over in silence. One that CREATE SUBSCRIPTION or REFRESH
// PUBLICATION makes known is copied first; this one is empty there, too, at this point of the changes.
HARTONOMOUS_FUNCTION(subscribe_partition) {
  const Oid partition = PG_GETARG_OID(0);
  call([&] {
    if (!applies_changes()) {
      ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("no changes are being applied here")));
    }
    Relation relation = table_open(partition, AccessShareLock);
    if (RelationGetNamespace(relation) != get_namespace_oid("hartonomous_partitions", false) ||
        relation->rd_rel->relowner != GetUserId()) {
      ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                      errmsg("permission denied to subscribe to table \"%s\"", RelationGetRelationName(relation))));
    }
    table_close(relation, NoLock);
    add_ready_relation(MySubscription->oid, partition);
    CommandCounterIncrement();
  });
  PG_RETURN_VOID();
}
