// Levenshtein distance and similarity of two texts (sql/api/levenshtein.sql).
#include "pg/base/interrupts.hpp"
#include "pg/base/memory.hpp"

#include <cstdint>
#include <cstring>

#include "hartonomous/levenshtein.hpp"

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

// A text argument in UTF-8, whatever the encoding of the database.
std::string_view utf8_argument(FunctionCallInfo fcinfo, int argument) {
  std::size_t size = 0;
  const char* bytes = call([&] {
    const text* value = PG_GETARG_TEXT_PP(argument);
    const char* data = VARDATA_ANY(value);
    const int length = static_cast<int>(VARSIZE_ANY_EXHDR(value));
    const char* converted = pg_server_to_any(data, length, PG_UTF8);
    size = converted == data ? static_cast<std::size_t>(length) : std::strlen(converted);
    return converted;
  });
  return {bytes, size};
}

text_distance distance_of(FunctionCallInfo fcinfo) {
  const std::string_view left = utf8_argument(fcinfo, 0), right = utf8_argument(fcinfo, 1);
  // For the code points of both texts and, for the shorter one, a numbering of its code points and their bit masks.
  require_work_memory(32 * static_cast<std::uint64_t>(left.size() + right.size()), "comparing the texts");
  backend_interrupts interrupts;
  return levenshtein(left, right, interrupts);
}

}  // namespace

HARTONOMOUS_FUNCTION(levenshtein_distance) { PG_RETURN_INT32(static_cast<int32>(distance_of(fcinfo).distance)); }

HARTONOMOUS_FUNCTION(levenshtein_similarity) { PG_RETURN_FLOAT8(distance_of(fcinfo).similarity()); }
