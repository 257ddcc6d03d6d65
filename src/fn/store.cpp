// The versions of the library and of the store (sql/internal/schema.sql, sql/internal/store.sql).
#include "pg/base/boundary.hpp"
#include "pg/base/version.hpp"

#include <cstdint>
#include <optional>

extern "C" {
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
}

using namespace hartonomous::pg;

namespace {

// The number in the table hartonomous.store, which is read without its rights and policies: whether a function can work
// with the tables does not depend on who calls it. Nothing if it is not the table that create_store() makes. May
// ereport.
std::optional<std::int32_t> stored_number(Oid schema) {
  const Oid relation = get_relname_relid("store", schema);
  if (!OidIsValid(relation) || get_rel_relkind(relation) != RELKIND_RELATION) return std::nullopt;
  Relation table = table_open(relation, AccessShareLock);
  const AttrNumber column = get_attnum(relation, "version");
  std::optional<std::int32_t> number;
  if (column > 0 && TupleDescAttr(RelationGetDescr(table), column - 1)->atttypid == INT4OID) {
    TableScanDesc scan = table_beginscan(table, GetActiveSnapshot(), 0, nullptr);
    TupleTableSlot* row = table_slot_create(table, nullptr);
    if (table_scan_getnextslot(scan, ForwardScanDirection, row)) {
      bool is_null;
      const Datum value = slot_getattr(row, column, &is_null);
      if (!is_null) number = DatumGetInt32(value);
    }
    ExecDropSingleTupleTableSlot(row);
    table_endscan(scan);
  }
  table_close(table, AccessShareLock);
  return number;
}

}  // namespace

HARTONOMOUS_FUNCTION(library_version) {
  return call([] { return CStringGetTextDatum(hartonomous::pg::library_version()); });
}

HARTONOMOUS_FUNCTION(version_of_tables) {
  std::int32_t version = 0;
  const bool exists = call([&] {
    // Another session may just have created the store, while this one waited for an advisory lock.
    AcceptInvalidationMessages();
    const Oid schema = get_namespace_oid("hartonomous", true);
    if (!OidIsValid(schema) || !OidIsValid(get_relname_relid("models", schema))) return false;
    version = stored_number(schema).value_or(0);
    return true;
  });
  if (!exists) PG_RETURN_NULL();
  PG_RETURN_INT32(version);
}
