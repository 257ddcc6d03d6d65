// How much of a model the row-level security policies of the store let the caller see (sql/internal/row_security.sql).
#include "pg/base/spi.hpp"
#include "pg/base/text.hpp"

#include <cstdint>
#include <string>

extern "C" {
#include "catalog/namespace.h"
#include "utils/rls.h"
#include "utils/syscache.h"
}

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

// All that a result can depend on.
constexpr const char* tables[] = {"model_revisions",       "model_layers",         "tensor_atoms",
                                  "tensor_atoms_backup",   "tensor_atoms_archive", "model_structures",
                                  "svd_compressed_layers", "calibration_stats",    "calibration_grams"};

// Undone by the abort of the transaction, too, if it is left by an error.
class identity_of {
 public:
  explicit identity_of(Oid role) {
    GetUserIdAndSecContext(&caller_, &context_);
    SetUserIdAndSecContext(role, context_ | SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS);
  }
  identity_of(const identity_of&) = delete;
  identity_of& operator=(const identity_of&) = delete;
  ~identity_of() { SetUserIdAndSecContext(caller_, context_); }

 private:
  Oid caller_ = InvalidOid;
  int context_ = 0;
};

std::int64_t count_rows(const char* table, std::int32_t model) {
  const std::string query = std::string("SELECT pg_catalog.count(*) FROM hartonomous.") + table +
                            " t WHERE t.model_id OPERATOR(pg_catalog.=) $1";
  const spi_session spi;
  return select(query.c_str(), table, {{INT4OID, Int32GetDatum(model)}}).bigint(0, 1);
}

struct visibility {
  bool none, part;
};

// The owner is asked for the number of rows only to compare it with what the caller sees.
visibility of_table(const char* table, Oid owner, std::int32_t model) {
  const std::int64_t seen = count_rows(table, model);
  const identity_of identity(owner);
  const std::int64_t present = count_rows(table, model);
  return {seen == 0 && present > 0, seen > 0 && seen != present};
}

// The owner of a table whose policies apply to the caller, else InvalidOid; may ereport.
Oid owner_of_protected(const char* table, Oid schema) {
  const Oid relation = get_relname_relid(table, schema);
  if (!OidIsValid(relation) || check_enable_rls(relation, InvalidOid, false) != RLS_ENABLED) return InvalidOid;
  if (pg_class_aclcheck(relation, GetUserId(), ACL_SELECT) != ACLCHECK_OK) return InvalidOid;
  HeapTuple row = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(row)) return InvalidOid;
  const Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(row))->relowner;
  ReleaseSysCache(row);
  return owner;
}

// Of the last model that was asked for in the present statement of the client, because functions ask several times.
struct {
  TimestampTz statement = 0;
  Oid role = InvalidOid;
  std::int32_t model = 0;
} known_whole;

}  // namespace

HARTONOMOUS_FUNCTION(model_visibility) {
  const std::int32_t model = PG_GETARG_INT32(0);
  const TimestampTz statement = GetCurrentStatementStartTimestamp();
  if (known_whole.statement == statement && known_whole.role == GetUserId() && known_whole.model == model) {
    return text_datum("all");
  }
  const Oid schema = call([] { return get_namespace_oid("hartonomous", true); });
  bool counted = false;
  for (const char* table : tables) {
    const Oid owner = call([&] { return OidIsValid(schema) ? owner_of_protected(table, schema) : InvalidOid; });
    if (!OidIsValid(owner)) continue;
    counted = true;
    const visibility found = of_table(table, owner, model);
    if (found.none) return text_datum("none");
    if (found.part) return text_datum(table);
  }
  if (counted) known_whole = {statement, GetUserId(), model};
  return text_datum("all");
}
