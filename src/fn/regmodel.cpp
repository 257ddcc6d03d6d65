// Type regmodel: the number of a model that is input and output as its name, like regclass for tables
// (sql/internal/regmodel.sql).
#include "pg/base/spi.hpp"
#include "pg/base/text.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

extern "C" {
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"
}

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

// A literal is input while its statement is analyzed, when there may be no snapshot, or only that of the statement
// which called the function that contains the literal: it would not see a model that the function has just imported.
class snapshot_scope {
 public:
  explicit snapshot_scope(bool fresh) {
    call([&] {
      pushed_ = fresh || !ActiveSnapshotSet();
      if (pushed_) PushActiveSnapshot(GetTransactionSnapshot());
    });
  }
  snapshot_scope(const snapshot_scope&) = delete;
  snapshot_scope& operator=(const snapshot_scope&) = delete;
  // After an error the abort of the transaction removes the snapshot.
  void close() {
    call([&] {
      if (pushed_) PopActiveSnapshot();
    });
  }

 private:
  bool pushed_ = false;
};

// The table of models, once this session has looked up a name.
Oid watched_models = InvalidOid;

// A literal keeps the number that its name had when its statement was analyzed. So when names change, plans are made
// anew, as they are for a regclass.
void forget_plans(Datum, Oid relation) {
  if (OidIsValid(watched_models) && (relation == watched_models || !OidIsValid(relation))) ResetPlanCache();
}

// May ereport.
Oid table_of_models() {
  const Oid schema = get_namespace_oid("hartonomous", true);
  return OidIsValid(schema) ? get_relname_relid("models", schema) : InvalidOid;
}

void watch_names() {
  static bool registered = false;
  call([&] {
    if (!registered) CacheRegisterRelcacheCallback(forget_plans, Datum(0));
    registered = true;
    watched_models = table_of_models();
  });
}

// Digits, also with a sign: numbers below zero name no model, but they are output, and must be read back.
bool is_number(std::string_view content) {
  if (!content.empty() && content.front() == '-') content.remove_prefix(1);
  return !content.empty() && std::all_of(content.begin(), content.end(), [](char c) { return c >= '0' && c <= '9'; });
}

[[noreturn]] void no_such_model(const std::string& number) {
  throw error(sqlstate::undefined_object, "model " + number + " does not exist", {},
              "SELECT * FROM hartonomous.list_models(); shows those there are.");
}

std::int32_t number_of(std::string_view content) {
  if (is_number(content)) {
    const std::string digits(content);
    // Eleven characters are always a number of 64 bits, and longer ones are out of range or begin with zeros.
    if (digits.size() > 11) no_such_model(digits);
    const std::int64_t number = std::stoll(digits);
    if (number < INT32_MIN || number > INT32_MAX) no_such_model(digits);
    return static_cast<std::int32_t>(number);
  }
  watch_names();
  snapshot_scope snapshot(true);
  std::int32_t number;
  {
    const spi_session spi;
    number = select("SELECT hartonomous.model_id($1)", "models", {{TEXTOID, text_datum(content)}}).integer(0, 1);
  }
  snapshot.close();
  return number;
}

}  // namespace

HARTONOMOUS_FUNCTION(regmodel_in) { PG_RETURN_INT32(number_of(PG_GETARG_CSTRING(0))); }

HARTONOMOUS_FUNCTION(regmodel_from_text) {
  const text* value = call([&] { return PG_GETARG_TEXT_PP(0); });
  PG_RETURN_INT32(number_of({VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)}));
}

HARTONOMOUS_FUNCTION(regmodel_from_smallint) { PG_RETURN_INT32(PG_GETARG_INT16(0)); }

HARTONOMOUS_FUNCTION(regmodel_from_bigint) {
  const std::int64_t number = PG_GETARG_INT64(0);
  if (number < INT32_MIN || number > INT32_MAX) no_such_model(std::to_string(number));
  PG_RETURN_INT32(static_cast<std::int32_t>(number));
}

// The name, or the number if the name would be read as a number or does not exist.
HARTONOMOUS_FUNCTION(regmodel_out) {
  const std::int32_t number = PG_GETARG_INT32(0);
  std::string shown = std::to_string(number);
  snapshot_scope snapshot(false);
  {
    const spi_session spi;
    const query_result found =
        select("SELECT hartonomous_internal.model_name($1)", "models", {{INT4OID, Int32GetDatum(number)}});
    if (found.optional(0, 1, TEXTOID)) {
      const std::string name = found.text(0, 1);
      if (!is_number(name)) shown = name;
    }
  }
  snapshot.close();
  PG_RETURN_CSTRING(call([&] { return pstrdup(shown.c_str()); }));
}

HARTONOMOUS_FUNCTION(model_names_changed) {
  call([] {
    const Oid table = table_of_models();
    if (!OidIsValid(table)) return;
    const AclResult allowed = pg_class_aclcheck(table, GetUserId(), ACL_UPDATE);
    if (allowed != ACLCHECK_OK) aclcheck_error(allowed, OBJECT_TABLE, "models");
    CacheInvalidateRelcacheByRelid(table);
  });
  PG_RETURN_VOID();
}
