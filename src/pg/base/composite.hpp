// Composite types: functions that return one row, and arguments that are one.
#pragma once

#include "pg/base/boundary.hpp"

#include <optional>
#include <string>

#include "hartonomous/error.hpp"

namespace hartonomous::pg {

// The row type that the calling expression expects. It is looked up once for each call site of a query and not for each
// row, because the lookup takes a microsecond.
inline TupleDesc result_row_type(FunctionCallInfo fcinfo) {
  FmgrInfo* const place = fcinfo->flinfo;
  if (place->fn_extra == nullptr) {
    const MemoryContext previous = MemoryContextSwitchTo(place->fn_mcxt);
    TupleDesc desc;
    if (get_call_result_type(fcinfo, nullptr, &desc) != TYPEFUNC_COMPOSITE) elog(ERROR, "row type expected");
    place->fn_extra = BlessTupleDesc(CreateTupleDescCopy(desc));
    MemoryContextSwitchTo(previous);
  }
  return static_cast<TupleDesc>(place->fn_extra);
}

// The row type must have as many columns as there are values. Uses fn_extra of the function.
inline Datum composite_datum(FunctionCallInfo fcinfo, const Datum* values, const bool* nulls) {
  return call([&] {
    return HeapTupleGetDatum(
        heap_form_tuple(result_row_type(fcinfo), const_cast<Datum*>(values), const_cast<bool*>(nulls)));
  });
}

// The fields of a composite argument: by number from 1, where NULL raises 22004; or by name, where NULL is no value.
class composite_view {
 public:
  explicit composite_view(Datum value) : row_(call([&] { return DatumGetHeapTupleHeader(value); })) {}
  Datum field(AttrNumber number) const {
    bool is_null;
    const Datum value = call([&] { return GetAttributeByNum(row_, number, &is_null); });
    if (is_null)
      throw error(sqlstate::null_value_not_allowed,
                  "field " + std::to_string(number) + " of the composite value is NULL");
    return value;
  }
  std::optional<Datum> get(const char* name) const {
    bool is_null;
    const Datum value = call([&] { return GetAttributeByName(row_, name, &is_null); });
    return is_null ? std::nullopt : std::optional<Datum>(value);
  }

 private:
  HeapTupleHeader row_;
};

}  // namespace hartonomous::pg
