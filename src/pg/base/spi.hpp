// Queries from C++: an SPI connection for a scope, and what a query found.
//
// The tables of the store belong to a user, who may give their columns other types, drop NOT NULL and CHECK, and store
// any number. C++ that took a value for what it was meant to be would read memory that is not the value's. So there is
// one way to a value, query_result, and it checks: the type, NULL, the shape of arrays, the range of numbers.
#pragma once

#include "pg/base/boundary.hpp"

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <vector>

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

 private:
  int exceptions_;
};

// The rows that a query found. Columns are numbered from 1. Errors name the column and the table: 42804 a column is not
// of the type asked for, nor of a domain over it; 22004 it is NULL, or an array's element is; 2202E an array is not of
// one dimension that begins at 1; 22003 a number is out of range.
class query_result {
 public:
  // Of what SPI has just run or fetched; `table` is where, in errors, the columns come from. To be destroyed within the
  // spi_session.
  explicit query_result(const char* table) noexcept;
  query_result(const query_result&) = delete;
  query_result& operator=(const query_result&) = delete;
  ~query_result();

  std::uint64_t rows() const noexcept { return count_; }
  Datum value(std::uint64_t row, int column, Oid type) const;
  // Without a value when it is NULL.
  std::optional<Datum> optional(std::uint64_t row, int column, Oid type) const;
  std::string text(std::uint64_t row, int column) const;
  bool boolean(std::uint64_t row, int column) const { return DatumGetBool(value(row, column, BOOLOID)); }
  std::int32_t integer(std::uint64_t row, int column, std::int32_t least = INT32_MIN) const;
  std::int64_t bigint(std::uint64_t row, int column, std::int64_t least = INT64_MIN,
                      std::int64_t most = INT64_MAX) const;
  std::vector<std::int32_t> integers(std::uint64_t row, int column) const;
  std::vector<std::int64_t> bigints(std::uint64_t row, int column, std::int64_t least = INT64_MIN) const;
  // The column's values of all rows, to `to`.
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

// What a SELECT finds, fetched whole, with the active snapshot. Within an spi_session.
query_result select(const char* query, const char* table, std::initializer_list<query_argument> arguments);

}  // namespace hartonomous::pg
