// Reads one consistent state of a model while others may swap its partitions.
#pragma once

#include "pg/base/spi.hpp"

#include <cstdint>

namespace hartonomous::pg {

// Delays swaps of partitions until the transaction ends. Raises 40001 if the active snapshot is older than the last
// swap, because the new partition would appear empty to it.
void lock_partitions(std::int32_t model);

// The same with a snapshot that is taken after the lock and active within a scope. A transaction that uses a single
// snapshot (REPEATABLE READ or SERIALIZABLE) cannot take a new one: after a swap it gets 40001.
class locked_snapshot {
 public:
  explicit locked_snapshot(std::int32_t model);
  locked_snapshot(const locked_snapshot&) = delete;
  locked_snapshot& operator=(const locked_snapshot&) = delete;
  // If the scope is left by an error, the abort of the transaction pops the snapshot.
  ~locked_snapshot() {
    if (std::uncaught_exceptions() == exceptions_) PopActiveSnapshot();
  }

 private:
  int exceptions_;
};

}  // namespace hartonomous::pg
