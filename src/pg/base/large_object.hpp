// A large object that is open for a scope. It goes through the functions that SQL and clients use, because those see to
// the end of the transaction: what inv_open() and its like beneath them open, an error would leave open for good.
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
  // On the way out of an error the transaction's abort closes it.
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
  // At most 1 MB at once, so that interrupts are looked at in between; how many bytes.
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
