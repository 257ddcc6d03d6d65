// What PostgreSQL knows of disk space, but has no SQL function for (sql/internal/storage_report.sql,
// sql/internal/disk_space.sql).
#include "pg/base/interrupts.hpp"

#include <cerrno>
#include <cstdint>

#include <sys/statvfs.h>

extern "C" {
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "common/relpath.h"
#include "storage/bufmgr.h"
#include "storage/freespace.h"
#include "utils/syscache.h"
}

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

// As for pgstattuple: who may read the table may know. Readers of the store read its partitions through the parents.
void require_reader(Relation relation) {
  const Oid schema = get_namespace_oid("hartonomous", true);
  const Oid atoms = OidIsValid(schema) ? get_relname_relid("tensor_atoms", schema) : InvalidOid;
  Oid owner = InvalidOid;
  HeapTuple row = SearchSysCache1(RELOID, ObjectIdGetDatum(atoms));
  if (HeapTupleIsValid(row)) {
    owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(row))->relowner;
    ReleaseSysCache(row);
  }
  const Oid role = GetUserId();
  if (has_privs_of_role(role, ROLE_PG_STAT_SCAN_TABLES)) return;
  if (pg_class_aclcheck(RelationGetRelid(relation), role, ACL_SELECT) == ACLCHECK_OK) return;
  if (relation->rd_rel->relowner == owner && pg_class_aclcheck(atoms, role, ACL_SELECT) == ACLCHECK_OK) return;
  ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                  errmsg("permission denied for table %s", RelationGetRelationName(relation))));
}

}  // namespace

// The free space map has a number for each page, in which the space that VACUUM or an insert found is rounded down.
HARTONOMOUS_FUNCTION(free_bytes_of_relation) {
  const Oid table = PG_GETARG_OID(0);
  std::int64_t bytes = 0;
  call([&] {
    Relation relation = try_relation_open(table, AccessShareLock);
    if (relation == nullptr) return;
    require_reader(relation);
    const BlockNumber pages = RELKIND_HAS_STORAGE(relation->rd_rel->relkind) ? RelationGetNumberOfBlocks(relation) : 0;
    for (BlockNumber page = 0; page < pages; ++page) {
      CHECK_FOR_INTERRUPTS();
      bytes += static_cast<std::int64_t>(GetRecordedFreeSpace(relation, page));
    }
    relation_close(relation, AccessShareLock);
  });
  PG_RETURN_INT64(bytes);
}

// For those who write there, and for monitoring: how full the disks of a server are is nobody else's business.
// The server's working directory is its data directory, to which the path is relative.
HARTONOMOUS_FUNCTION(free_bytes_of_tablespace) {
  const Oid tablespace = OidIsValid(PG_GETARG_OID(0)) ? PG_GETARG_OID(0) : MyDatabaseTableSpace;
  const bool allowed = call([] {
    const Oid schema = get_namespace_oid("hartonomous_partitions", true);
    return has_privs_of_role(GetUserId(), ROLE_PG_MONITOR) ||
           (OidIsValid(schema) && may_create_in(schema, GetUserId()));
  });
  if (!allowed) {
    throw error(sqlstate::insufficient_privilege, "permission denied to see the free space of a disk", {},
                "Members of pg_monitor may, and the owner of the store.");
  }
  const char* path = call([&] { return GetDatabasePath(MyDatabaseId, tablespace); });
  struct statvfs found = {};
  int result = 0;
  do {
    result = statvfs(path, &found);
  } while (result != 0 && errno == EINTR);
  if (result != 0) PG_RETURN_NULL();
  PG_RETURN_INT64(static_cast<std::int64_t>(found.f_bavail) * static_cast<std::int64_t>(found.f_frsize));
}
