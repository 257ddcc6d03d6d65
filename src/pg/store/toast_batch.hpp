// Fetches TOASTed values of neighbouring rows together.
//
// PostgreSQL fetches them one by one, and for each opens and locks the TOAST table and its index and goes down the
// tree. Values that were written one after the other have numbers one after the other: a batch of them is one range of
// the index, in the order of the heap.
#pragma once

#include "pg/base/memory.hpp"

#include <cstddef>

namespace hartonomous::pg {

class toast_batch {
 public:
  // Brings the first values, or as many of them as are worth it together, into memory that lasts until the next call;
  // returns how many (at least one of `count`). Those that it leaves as they are - few, large, compressed, scattered,
  // not out of line at all - are for PostgreSQL to detoast.
  std::size_t fetch(Datum* values, std::size_t count);

 private:
  buffer<std::byte> room_;
};

}  // namespace hartonomous::pg
