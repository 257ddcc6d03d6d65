// Queries from C++: an SPI connection for a scope.
#pragma once

#include "pg/boundary.hpp"

#include <cstdint>
#include <string>

namespace hartonomous::pg {

// Connected until destroyed. On the way out of an error it leaves the connection to the transaction's abort: the
// error's own data may live in its memory.
class spi_session {
 public:
  spi_session() : exceptions_(std::uncaught_exceptions()) {
    call([] {
      if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    });
  }
  spi_session(const spi_session&) = delete;
  spi_session& operator=(const spi_session&) = delete;
  ~spi_session() {
    if (std::uncaught_exceptions() == exceptions_) SPI_finish();
  }

  // A query whose result is fetched whole; it sees what the calling query sees.
  void select(const char* query, int arguments, Oid* types, Datum* values) {
    call([&] {
      if (SPI_execute_with_args(query, arguments, types, values, nullptr, true, 0) != SPI_OK_SELECT) {
        elog(ERROR, "query failed: %s", query);
      }
    });
  }

 private:
  int exceptions_;
};

// One field of the rows in SPI_tuptable.
inline Datum spi_field(std::uint64_t row, int column, bool* is_null) {
  return call([&] { return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, is_null); });
}
inline std::string spi_text(std::uint64_t row, int column) {
  bool is_null;
  const Datum value = spi_field(row, column, &is_null);
  if (is_null) return {};
  char* chars = call([&] { return TextDatumGetCString(value); });
  std::string result = chars;
  pfree(chars);
  return result;
}
inline std::int64_t spi_int64(std::uint64_t row, int column) {
  bool is_null;
  return DatumGetInt64(spi_field(row, column, &is_null));
}
inline std::int32_t spi_int32(std::uint64_t row, int column) {
  bool is_null;
  return DatumGetInt32(spi_field(row, column, &is_null));
}

}  // namespace hartonomous::pg
