// Arguments that name a model and a revision of it.
#pragma once

#include "pg/store/atom_set.hpp"

#include <cstdint>

namespace hartonomous::pg {

// Argument 0, a model (type regmodel), as its number; raises 42704 if it is NULL.
inline std::int32_t model_argument(FunctionCallInfo fcinfo) {
  if (PG_ARGISNULL(0)) throw error(sqlstate::undefined_object, "model NULL does not exist");
  return PG_GETARG_INT32(0);
}

// The atoms of a model in the revision given by an argument (NULL: the live one). Needs an spi_session.
inline atom_set atoms_argument(FunctionCallInfo fcinfo, int argument, std::int32_t model) {
  return PG_ARGISNULL(argument) ? live_atoms(model) : atoms_of_revision(model, PG_GETARG_INT32(argument));
}

}  // namespace hartonomous::pg
