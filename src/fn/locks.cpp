// The lock that gives a model a single writer, and whether a procedure may commit (sql/internal/locks.sql).
#include "pg/base/boundary.hpp"

#include <cstdint>
#include <string>

extern "C" {
#include "catalog/namespace.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/inval.h"
}

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

// A heavyweight lock on the object (hartonomous.models, model). Unlike an advisory lock, a session-level lock of this
// kind is released when a transaction fails, so a job that fails never leaves its model locked.
LOCKTAG model_lock_tag(std::int32_t model) {
  const Oid models = call([] { return get_relname_relid("models", get_namespace_oid("hartonomous", true)); });
  if (!OidIsValid(models)) {
    throw error(sqlstate::undefined_table, "there is no store", {}, "SELECT hartonomous.create_store();");
  }
  // Like LOCK TABLE: only a role with the right to write may block other writers.
  call([&] {
    const AclResult result = pg_class_aclcheck(models, GetUserId(), ACL_UPDATE);
    if (result != ACLCHECK_OK) aclcheck_error(result, OBJECT_TABLE, "models");
  });
  LOCKTAG tag;
  SET_LOCKTAG_OBJECT(tag, MyDatabaseId, models, static_cast<uint32>(model), 0);
  return tag;
}

}  // namespace

HARTONOMOUS_FUNCTION(lock_model) {
  // Not STRICT, because with any NULL argument no lock would be taken, without an error.
  if (PG_ARGISNULL(0)) throw error(sqlstate::null_value_not_allowed, "the model to lock cannot be NULL");
  const std::int32_t model = PG_GETARG_INT32(0);
  const bool nowait = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1), for_session = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
  const LOCKTAG tag = model_lock_tag(model);
  const LockAcquireResult result = call([&] {
    const LockAcquireResult got = LockAcquire(&tag, ExclusiveLock, for_session, nowait);
    // As after taking any lock: caches must not hide what the previous holder changed in the catalogs.
    AcceptInvalidationMessages();
    return got;
  });
  if (result == LOCKACQUIRE_NOT_AVAIL) {
    throw error(sqlstate::lock_not_available, "model " + std::to_string(model) + " is being changed by another session",
                {}, "Wait for it, or find the session in pg_locks.");
  }
  PG_RETURN_VOID();
}

HARTONOMOUS_FUNCTION(unlock_model) {
  const LOCKTAG tag = model_lock_tag(PG_GETARG_INT32(0));
  // Checked first, because LockRelease warns about a lock that is not held.
  const bool held = call([&] { return lock_held_by_me(tag, ExclusiveLock); });
  PG_RETURN_BOOL(held && call([&] { return LockRelease(&tag, ExclusiveLock, true); }));
}

HARTONOMOUS_FUNCTION(wait_for_lockers) {
  text* name = call([&] { return PG_GETARG_TEXT_PP(1); });
  const std::string mode(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
  LOCKMODE wanted = NoLock;
  if (mode == "ACCESS EXCLUSIVE") wanted = AccessExclusiveLock;
  if (mode == "SHARE UPDATE EXCLUSIVE") wanted = ShareUpdateExclusiveLock;
  if (wanted == NoLock) throw error(sqlstate::invalid_parameter_value, "unknown lock mode \"" + mode + "\"");
  LOCKTAG tag;
  SET_LOCKTAG_RELATION(tag, MyDatabaseId, PG_GETARG_OID(0));
  call([&] { WaitForLockers(tag, wanted, false); });
  PG_RETURN_VOID();
}

HARTONOMOUS_FUNCTION(can_commit) {
  PG_RETURN_BOOL(call([] { return SPI_inside_nonatomic_context(); }));
}
