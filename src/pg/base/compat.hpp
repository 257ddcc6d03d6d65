// Differences between PostgreSQL versions 14 to 19, so that the rest of the source uses one interface for all of them.
// Included by postgres.hpp.
#pragma once

extern "C" {
#include "access/toast_internals.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_subscription_rel.h"
#include "executor/executor.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/guc.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
}

namespace hartonomous::pg {

inline bool lock_held_by_me(const LOCKTAG& tag, LOCKMODE mode) {
#if PG_VERSION_NUM >= 170000
  return LockHeldByMe(&tag, mode, false);
#else
  return LockHeldByMe(&tag, mode);
#endif
}

inline bool may_create_in(Oid schema, Oid role) {
#if PG_VERSION_NUM >= 160000
  return object_aclcheck(NamespaceRelationId, schema, role, ACL_CREATE) == ACLCHECK_OK;
#else
  return pg_namespace_aclcheck(schema, role, ACL_CREATE) == ACLCHECK_OK;
#endif
}

// From here on nobody can set a parameter of that prefix that does not exist.
inline void reserve_settings(const char* prefix) {
#if PG_VERSION_NUM >= 150000
  MarkGUCPrefixReserved(prefix);
#else
  EmitWarningsOnPlaceholders(prefix);
#endif
}

// Inserts the index entries of a new row. A duplicate is an error, since nothing here uses ON CONFLICT.
inline void insert_index_tuples(ResultRelInfo* table, TupleTableSlot* row, EState* estate) {
#if PG_VERSION_NUM >= 190000
  ExecInsertIndexTuples(table, estate, 0, row, NIL, nullptr);
#elif PG_VERSION_NUM >= 160000
  ExecInsertIndexTuples(table, row, estate, false, false, nullptr, NIL, false);
#else
  ExecInsertIndexTuples(table, row, estate, false, false, nullptr, NIL);
#endif
}

// A new page at the end of a table: zeros, pinned, and locked exclusively.
inline Buffer extend_by_page(Relation table, BufferAccessStrategy strategy) {
#if PG_VERSION_NUM >= 160000
  BufferManagerRelation extended = {};  // BMR_REL() is C
  extended.rel = table;
  return ExtendBufferedRel(extended, MAIN_FORKNUM, strategy, EB_LOCK_FIRST);
#else
  LockRelationForExtension(table, ExclusiveLock);
  const Buffer buffer = ReadBufferExtended(table, MAIN_FORKNUM, P_NEW, RBM_ZERO_AND_LOCK, strategy);
  UnlockRelationForExtension(table, ExclusiveLock);
  return buffer;
#endif
}

// Lets a subscription apply changes to a table that needs no copy.
inline void add_ready_relation(Oid subscription, Oid relation) {
#if PG_VERSION_NUM >= 170000
  AddSubscriptionRelState(subscription, relation, SUBREL_STATE_READY, InvalidXLogRecPtr, false);
#else
  AddSubscriptionRelState(subscription, relation, SUBREL_STATE_READY, InvalidXLogRecPtr);
#endif
}

// A snapshot for reading the chunks of TOASTed values, valid during the lifetime of the object.
class toast_snapshot {
 public:
#if PG_VERSION_NUM >= 180000
  toast_snapshot() : snapshot_(get_toast_snapshot()) {}
  Snapshot get() { return snapshot_; }

 private:
  Snapshot snapshot_;
#else
  toast_snapshot() { init_toast_snapshot(&snapshot_); }
  Snapshot get() { return &snapshot_; }

 private:
  SnapshotData snapshot_;
#endif
};

}  // namespace hartonomous::pg
