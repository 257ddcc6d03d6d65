// Calibration (sql/api/calibration.sql).
#include "pg/base/composite.hpp"
#include "pg/base/interrupts.hpp"
#include "pg/base/memory.hpp"
#include "pg/base/text.hpp"

#include <cstdint>
#include <string_view>

#include "hartonomous/common_passage.hpp"

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

// The number, from 1, of the first character that begins at or after a byte.
Datum character_at(std::string_view text, std::size_t byte) {
  return Int32GetDatum(1 + call([&] { return pg_mbstrlen_with_len(text.data(), static_cast<int>(byte)); }));
}

}  // namespace

HARTONOMOUS_FUNCTION(common_passage) {
  const std::string_view a = text_view_argument(fcinfo, 0), b = text_view_argument(fcinfo, 1);
  require_work_memory(common_passage_memory(a, b), "comparing the texts");
  backend_interrupts interrupts;
  const std::optional<hartonomous::common_passage> found = find_common_passage(a, b, interrupts);
  if (!found) PG_RETURN_NULL();
  const bool nulls[3] = {};
  const Datum values[] = {character_at(a, found->first_left), character_at(b, found->first_right),
                          Int64GetDatum(static_cast<int64>(found->length))};
  return composite_datum(fcinfo, values, nulls);
}
