// Compares the version of this library with that of the extension, as version.hpp describes.
#include "pg/base/version.hpp"

#include "pg/base/boundary.hpp"

#include <string>
#include <string_view>

extern "C" {
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "catalog/pg_extension.h"
#include "commands/extension.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/syscache.h"
}

namespace hartonomous::pg {

namespace {

// The version in pg_extension, which is that of the SQL, in memory of the current context; null if the extension is not
// there, as when somebody has only made functions of this library. May ereport.
const char* installed_version() {
  char* version = nullptr;
  Relation extensions = table_open(ExtensionRelationId, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("hartonomous"));
  SysScanDesc scan = systable_beginscan(extensions, ExtensionNameIndexId, true, nullptr, 1, &key);
  const HeapTuple row = systable_getnext(scan);
  if (HeapTupleIsValid(row)) {
    bool is_null;
    const Datum value = heap_getattr(row, Anum_pg_extension_extversion, RelationGetDescr(extensions), &is_null);
    if (!is_null) version = TextDatumGetCString(value);
  }
  systable_endscan(scan);
  table_close(extensions, AccessShareLock);
  return version;
}

void check_version() {
  // Scripts of CREATE and ALTER EXTENSION pass through versions, and pg_upgrade restores the old one.
  if (creating_extension || IsBinaryUpgrade) return;
  const char* const installed = call([] { return installed_version(); });
  if (installed != nullptr && std::string_view(installed) != library_version()) {
    throw error(sqlstate::object_not_in_prerequisite_state,
                std::string("extension hartonomous has version ") + installed + ", its library has version " +
                    library_version(),
                {},
                "ALTER EXTENSION hartonomous UPDATE; brings the extension to the version that is installed on the "
                "server. A session that began before that version was installed must reconnect.");
  }
  check_before_entry = nullptr;
}

// The type of the cache's number differs between versions of PostgreSQL.
template <class Cache>
void functions_changed(Datum, Cache, uint32) {
  check_before_entry = check_version;
}

}  // namespace

const char* library_version() noexcept { return HARTONOMOUS_VERSION; }

void watch_version() {
  CacheRegisterSyscacheCallback(PROCOID, functions_changed, Datum(0));
  check_before_entry = check_version;
}

}  // namespace hartonomous::pg
