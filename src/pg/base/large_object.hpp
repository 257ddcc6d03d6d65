// A large object that is open within a scope. It uses the functions that SQL and clients use, because those clean up at
// the end of the transaction; after an error, an object opened by inv_open() would never be closed.
#pragma once

#include "pg/base/boundary.hpp"

#include <algorithm>
#include <cstdint>
#include <exception>

extern "C" {
#include "libpq/be-fsstubs.h"
#include "libpq/libpq-fs.h"
#include "utils/fmgrprotos.h"
}

namespace hartonomous::pg {

class large_object {
 public:
  large_object(Oid id, int mode) : exceptions_(std::uncaught_exceptions()) {
    fd_ =
        call([&] { return DatumGetInt32(DirectFunctionCall2(be_lo_open, ObjectIdGetDatum(id), Int32GetDatum(mode))); });
  }
  large_object(const large_object&) = delete;
  large_object& operator=(const large_object&) = delete;
  // If the scope is left by an error, the abort of the transaction closes the object.
  ~large_object() {
    if (std::uncaught_exceptions() == exceptions_) DirectFunctionCall1(be_lo_close, Int32GetDatum(fd_));
  }

  static Oid create() {
    return call([] { return DatumGetObjectId(DirectFunctionCall1(be_lo_creat, Int32GetDatum(INV_READ | INV_WRITE))); });
  }
  std::uint64_t seek(std::int64_t offset, int whence) {
    return static_cast<std::uint64_t>(call([&] {
      return DatumGetInt64(
          DirectFunctionCall3(be_lo_lseek64, Int32GetDatum(fd_), Int64GetDatum(offset), Int32GetDatum(whence)));
    }));
  }
  // Reads at most 1 MB per call, so that interrupts are checked in between; returns the number of bytes.
  std::size_t read(char* to, std::size_t count) {
    return static_cast<std::size_t>(call([&] { return lo_read(fd_, to, piece(count)); }));
  }
  std::size_t write(const char* from, std::size_t count) {
    return static_cast<std::size_t>(call([&] { return lo_write(fd_, from, piece(count)); }));
  }

 private:
  static int piece(std::size_t count) { return static_cast<int>(std::min(count, std::size_t{1} << 20)); }

  int exceptions_;
  int fd_ = -1;
};

}  // namespace hartonomous::pg
