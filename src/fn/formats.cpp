// formats() (sql/api/weights.sql).
#include "pg/base/rows.hpp"

#include <cstdint>

#include "hartonomous/format.hpp"

using namespace hartonomous;
using namespace hartonomous::pg;

HARTONOMOUS_FUNCTION(formats) {
  result_rows rows(fcinfo);
  for (const format_traits& t : all_formats()) {
    const Datum values[] = {call([&] { return CStringGetTextDatum(t.name); }),
                            Int32GetDatum(static_cast<int32>(t.id)),
                            Int32GetDatum(static_cast<int32>(t.block_weights)),
                            Int32GetDatum(static_cast<int32>(t.block_bytes)),
                            BoolGetDatum(t.readable),
                            BoolGetDatum(t.writable)};
    const bool nulls[6] = {};
    rows.add(values, nulls);
  }
  PG_RETURN_NULL();
}
