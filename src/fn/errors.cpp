// Errors that SQL raises (sql/internal/errors.sql).
#include "pg/base/boundary.hpp"

extern "C" {
#include "utils/builtins.h"
}

#include <algorithm>
#include <string_view>

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

// Five digits or capital letters, and not of the class of success.
bool is_error_state(std::string_view code) {
  const auto valid = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); };
  return code.size() == 5 && std::all_of(code.begin(), code.end(), valid) && code.substr(0, 2) != "00";
}

}  // namespace

HARTONOMOUS_STORED_FUNCTION(raise_error) {
  const auto field = [&](int n) -> char* {
    if (PG_ARGISNULL(n)) return nullptr;
    char* value = text_to_cstring(PG_GETARG_TEXT_PP(n));
    return *value == '\0' ? nullptr : value;
  };
  // Raised as PostgreSQL's own error, which has no limits on the length of texts.
  call([&] {
    const char *code = field(0), *message = field(1), *detail = field(2), *hint = field(3);
    const int state = code != nullptr && is_error_state(code)
                          ? MAKE_SQLSTATE(code[0], code[1], code[2], code[3], code[4])
                          : ERRCODE_INTERNAL_ERROR;
    leave_out_own_context(state);
    ereport(ERROR, (errcode(state), errmsg_internal("%s", message != nullptr ? message : "unknown error"),
                    detail != nullptr ? errdetail_internal("%s", detail) : 0, hint != nullptr ? errhint("%s", hint) : 0,
                    field(4) != nullptr ? err_generic_string(PG_DIAG_SCHEMA_NAME, field(4)) : 0,
                    field(5) != nullptr ? err_generic_string(PG_DIAG_TABLE_NAME, field(5)) : 0,
                    field(6) != nullptr ? err_generic_string(PG_DIAG_COLUMN_NAME, field(6)) : 0,
                    field(7) != nullptr ? err_generic_string(PG_DIAG_CONSTRAINT_NAME, field(7)) : 0));
  });
  PG_RETURN_VOID();
}
