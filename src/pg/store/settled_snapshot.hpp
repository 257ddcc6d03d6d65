// One state of a model to read, whatever partitions are swapped meanwhile.
#pragma once

#include "pg/base/spi.hpp"

#include <cstdint>

namespace hartonomous::pg {

// Holds up swaps of partitions until the transaction ends. Error 40001 when the active snapshot is from before one
// that has been: it would find the new partition empty.
void settle_model(std::int32_t model);

// The same with a snapshot taken after the lock, active for a scope. In transactions that have but one snapshot that
// is too late for a swap which has been: error 40001.
class settled_snapshot {
 public:
  explicit settled_snapshot(std::int32_t model);
  settled_snapshot(const settled_snapshot&) = delete;
  settled_snapshot& operator=(const settled_snapshot&) = delete;
  // On the way out of an error the transaction's abort pops it.
  ~settled_snapshot() {
    if (std::uncaught_exceptions() == exceptions_) PopActiveSnapshot();
  }

 private:
  int exceptions_;
};

}  // namespace hartonomous::pg
