// What PostgreSQL knows of disk space, but has no SQL function for (sql/internal/storage_report.sql,
// sql/internal/disk_space.sql).
#include "pg/base/interrupts.hpp"

#include <cerrno>
#include <cstdint>

#include <sys/statvfs.h>

extern "C" {
#include "common/relpath.h"
#include "storage/bufmgr.h"
#include "storage/freespace.h"
}

using namespace hartonomous;
using namespace hartonomous::pg;

// The free space map has a number for each page, in which the space that VACUUM or an insert found is rounded down.
HARTONOMOUS_FUNCTION(free_bytes_of_relation) {
  const Oid table = PG_GETARG_OID(0);
  std::int64_t bytes = 0;
  call([&] {
    Relation relation = try_relation_open(table, AccessShareLock);
    if (relation == nullptr) return;
    const BlockNumber pages = RELKIND_HAS_STORAGE(relation->rd_rel->relkind) ? RelationGetNumberOfBlocks(relation) : 0;
    for (BlockNumber page = 0; page < pages; ++page) {
      CHECK_FOR_INTERRUPTS();
      bytes += static_cast<std::int64_t>(GetRecordedFreeSpace(relation, page));
    }
    relation_close(relation, AccessShareLock);
  });
  PG_RETURN_INT64(bytes);
}

// The server's working directory is its data directory, to which the path is relative.
HARTONOMOUS_FUNCTION(free_bytes_of_tablespace) {
  const Oid tablespace = OidIsValid(PG_GETARG_OID(0)) ? PG_GETARG_OID(0) : MyDatabaseTableSpace;
  const char* path = call([&] { return GetDatabasePath(MyDatabaseId, tablespace); });
  struct statvfs found = {};
  int result = 0;
  do {
    result = statvfs(path, &found);
  } while (result != 0 && errno == EINTR);
  if (result != 0) PG_RETURN_NULL();
  PG_RETURN_INT64(static_cast<std::int64_t>(found.f_bavail) * static_cast<std::int64_t>(found.f_frsize));
}
