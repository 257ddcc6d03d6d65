// The language plpgsql_as_owner: PL/pgSQL, executed with the identity of the store's owner (sql/internal/schema.sql).
#include "pg/store/owner_identity.hpp"

extern "C" {
#include "utils/guc.h"
}

using namespace hartonomous::pg;

namespace {

PGFunction plpgsql_function(const char* name) {
  return reinterpret_cast<PGFunction>(load_external_function("$libdir/plpgsql", name, true, nullptr));
}

}  // namespace

HARTONOMOUS_FUNCTION(plpgsql_as_owner_call) {
  static PGFunction handler = nullptr;
  if (handler == nullptr) handler = call([] { return plpgsql_function("plpgsql_call_handler"); });
  const owner_identity identity;
  return call([&] { return handler(fcinfo); });
}

HARTONOMOUS_FUNCTION(plpgsql_as_owner_validate) {
  return call([&] { return plpgsql_function("plpgsql_validator")(fcinfo); });
}
