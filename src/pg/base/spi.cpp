// Queries and their results (spi.hpp).
#include "pg/base/spi.hpp"

#include <cstdint>
#include <cstring>

extern "C" {
#include "parser/parse_coerce.h"
}

namespace hartonomous::pg {

namespace {

void run(const char* query, std::initializer_list<query_argument> arguments, bool read_only) {
  constexpr std::size_t most = 10;
  Oid types[most];
  Datum values[most];
  int count = 0;
  for (const query_argument& a : arguments) {
    types[count] = a.type;
    values[count++] = a.value;
  }
  call([&] {
    if (SPI_execute_with_args(query, count, types, values, nullptr, read_only, 0) != SPI_OK_SELECT) {
      elog(ERROR, "query failed: %s", query);
    }
  });
}

}  // namespace

query_result select(const char* query, const char* table, std::initializer_list<query_argument> arguments) {
  run(query, arguments, true);
  return query_result(table);
}

query_result execute(const char* query, const char* table, std::initializer_list<query_argument> arguments) {
  run(query, arguments, false);
  return query_result(table);
}

query_result::query_result(const char* table) noexcept
    : table_(table), found_(SPI_tuptable), count_(SPI_processed), exceptions_(std::uncaught_exceptions()) {}

// If the scope is left by an error, the abort of the transaction frees the rows.
query_result::~query_result() {
  if (std::uncaught_exceptions() == exceptions_) SPI_freetuptable(found_);
}

std::string query_result::name_of(int column) const {
  return std::string("column \"") + NameStr(TupleDescAttr(found_->tupdesc, column - 1)->attname) + "\" of table \"" +
         table_ + "\"";
}

// If PostgreSQL accepts a type for another one without conversion (a domain over it, varchar for text), the values have
// the same representation.
void query_result::require_type(int column, Oid type) const {
  const Oid found = TupleDescAttr(found_->tupdesc, column - 1)->atttypid;
  if (found == type || call([&] { return IsBinaryCoercible(found, type); })) return;
  const char* is = call([&] { return format_type_be(found); });
  const char* expected = call([&] { return format_type_be(type); });
  throw error(sqlstate::datatype_mismatch, name_of(column) + " is of type " + is + " instead of " + expected, {},
              std::string("Restore the type with which the column was created: ") + expected + ".");
}

void query_result::is_null(int column, const char* what) const {
  throw error(sqlstate::null_value_not_allowed, name_of(column) + what + " is NULL", {},
              "The store's functions never leave it NULL: restore the value, or import the model again.");
}

void query_result::require_range(int column, std::int64_t number, std::int64_t least, std::int64_t most) const {
  if (number >= least && number <= most) return;
  throw error(sqlstate::numeric_value_out_of_range, name_of(column) + " is out of range: " + std::to_string(number),
              "It can be from " + std::to_string(least) + " to " + std::to_string(most) + ".",
              "Restore the value, or import the model again.");
}

std::optional<Datum> query_result::optional(std::uint64_t row, int column, Oid type) const {
  require_type(column, type);
  bool null = true;
  const Datum value = call([&] { return SPI_getbinval(found_->vals[row], found_->tupdesc, column, &null); });
  return null ? std::nullopt : std::optional<Datum>(value);
}

Datum query_result::value(std::uint64_t row, int column, Oid type) const {
  const std::optional<Datum> found = optional(row, column, type);
  if (!found) is_null(column);
  return *found;
}

void query_result::values(int column, Oid type, Datum* to) const {
  require_type(column, type);
  const bool complete = call([&] {
    bool null = false;
    for (std::uint64_t row = 0; row < count_ && !null; ++row) {
      to[row] = SPI_getbinval(found_->vals[row], found_->tupdesc, column, &null);
    }
    return !null;
  });
  if (!complete) is_null(column);
}

std::string query_result::text(std::uint64_t row, int column) const {
  const Datum stored = value(row, column, TEXTOID);
  varlena* const whole = call([&] { return PG_DETOAST_DATUM_PACKED(stored); });
  std::string result(VARDATA_ANY(whole), VARSIZE_ANY_EXHDR(whole));
  if (PointerGetDatum(whole) != stored) pfree(whole);
  return result;
}

std::int32_t query_result::integer(std::uint64_t row, int column, std::int32_t least) const {
  const std::int32_t number = DatumGetInt32(value(row, column, INT4OID));
  require_range(column, number, least, INT32_MAX);
  return number;
}

std::int64_t query_result::bigint(std::uint64_t row, int column, std::int64_t least, std::int64_t most) const {
  const std::int64_t number = DatumGetInt64(value(row, column, INT8OID));
  require_range(column, number, least, most);
  return number;
}

template <class T>
std::vector<T> query_result::numbers(std::uint64_t row, int column, Oid array_type, Oid element_type) const {
  const Datum stored = value(row, column, array_type);
  ArrayType* const array = call([&] { return DatumGetArrayTypeP(stored); });
  const int count = call([&] { return ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)); });
  if (ARR_ELEMTYPE(array) != element_type) {
    throw error(sqlstate::datatype_mismatch, name_of(column) + " has elements of another type");
  }
  if (ARR_HASNULL(array) && call([&] { return array_contains_nulls(array); })) is_null(column, ": an element");
  if (ARR_NDIM(array) > 1 || (ARR_NDIM(array) == 1 && ARR_LBOUND(array)[0] != 1)) {
    throw error(sqlstate::array_subscript_error,
                name_of(column) + " is not an array of one dimension that begins at 1");
  }
  std::vector<T> result(static_cast<std::size_t>(count));
  if (count > 0) std::memcpy(result.data(), ARR_DATA_PTR(array), result.size() * sizeof(T));
  if (PointerGetDatum(array) != stored) pfree(array);
  return result;
}

std::vector<std::int32_t> query_result::integers(std::uint64_t row, int column) const {
  return numbers<std::int32_t>(row, column, INT4ARRAYOID, INT4OID);
}

std::vector<std::int64_t> query_result::bigints(std::uint64_t row, int column, std::int64_t least) const {
  std::vector<std::int64_t> result = numbers<std::int64_t>(row, column, INT8ARRAYOID, INT8OID);
  for (std::int64_t number : result) require_range(column, number, least, INT64_MAX);
  return result;
}

}  // namespace hartonomous::pg
