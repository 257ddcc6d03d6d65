// Queries from C++: an SPI connection within a scope, and the rows that a query returned.
//
// The tables of the store belong to a user, who may change the types of columns, drop NOT NULL and CHECK constraints,
// and store any number. C++ code that trusted a value to be what it should be could read invalid memory. So values are
// read only through query_result, which checks types, NULL, the shape of arrays, and the range of numbers.
#pragma once

#include "pg/base/boundary.hpp"

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace hartonomous::pg {

// An SPI connection that is closed by the destructor. If the scope is left by an error, it is left for the abort of the
// transaction to close, because the data of the error may be in its memory.
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

 private:
  int exceptions_;
};

// The rows returned by a query. Columns are numbered from 1. Errors name the column and the table: 42804 if a column
// has neither the requested type nor a domain over it; 22004 if it or an element of its array is NULL; 2202E if an
// array is not one-dimensional with lower bound 1; 22003 if a number is out of range.
class query_result {
 public:
  // Takes the result of the last SPI execution or fetch; `table` is the origin of the columns in error messages. Must
  // be destroyed before the spi_session.
  explicit query_result(const char* table) noexcept;
  query_result(const query_result&) = delete;
  query_result& operator=(const query_result&) = delete;
  ~query_result();

  std::uint64_t rows() const noexcept { return count_; }
  Datum value(std::uint64_t row, int column, Oid type) const;
  // Has no value if the column is NULL.
  std::optional<Datum> optional(std::uint64_t row, int column, Oid type) const;
  std::string text(std::uint64_t row, int column) const;
  bool boolean(std::uint64_t row, int column) const { return DatumGetBool(value(row, column, BOOLOID)); }
  std::int32_t integer(std::uint64_t row, int column, std::int32_t least = INT32_MIN) const;
  std::int64_t bigint(std::uint64_t row, int column, std::int64_t least = INT64_MIN,
                      std::int64_t most = INT64_MAX) const;
  std::vector<std::int32_t> integers(std::uint64_t row, int column) const;
  std::vector<std::int64_t> bigints(std::uint64_t row, int column, std::int64_t least = INT64_MIN) const;
  // Copies the values of the column in all rows to `to`.
  void values(int column, Oid type, Datum* to) const;

 private:
  void require_type(int column, Oid type) const;
  std::string name_of(int column) const;
  [[noreturn]] void is_null(int column, const char* what = "") const;
  void require_range(int column, std::int64_t number, std::int64_t least, std::int64_t most) const;
  template <class T>
  std::vector<T> numbers(std::uint64_t row, int column, Oid array_type, Oid element_type) const;

  const char* table_;
  SPITupleTable* found_;
  std::uint64_t count_;
  int exceptions_;
};

struct query_argument {
  Oid type;
  Datum value;
};

// Runs a SELECT with the active snapshot and fetches all rows. Needs an spi_session.
query_result select(const char* query, const char* table, std::initializer_list<query_argument> arguments);
// The same with a new snapshot, which sees what this transaction has written so far.
query_result execute(const char* query, const char* table, std::initializer_list<query_argument> arguments);

}  // namespace hartonomous::pg
