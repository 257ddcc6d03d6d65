// Conversion between SQL's text and C++ strings.
#pragma once

#include "pg/base/boundary.hpp"

#include <string>
#include <string_view>

namespace hartonomous::pg {

inline std::string_view view_of(const text* value) { return {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)}; }

// Valid as long as the memory context in which the function is called.
inline std::string_view text_view_argument(FunctionCallInfo fcinfo, int argument) {
  return view_of(call([&] { return PG_GETARG_TEXT_PP(argument); }));
}

// Raises 22004 with the name of the argument if it is NULL.
inline std::string text_argument(FunctionCallInfo fcinfo, int argument, const char* name) {
  if (PG_ARGISNULL(argument)) throw error(sqlstate::null_value_not_allowed, std::string(name) + " cannot be NULL");
  return std::string(text_view_argument(fcinfo, argument));
}

inline Datum text_datum(std::string_view value) {
  return call([&] { return PointerGetDatum(cstring_to_text_with_len(value.data(), static_cast<int>(value.size()))); });
}

}  // namespace hartonomous::pg
