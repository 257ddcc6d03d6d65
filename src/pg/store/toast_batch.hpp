// Fetches several TOASTed values at a time.
//
// PostgreSQL fetches them one by one, and for each value it opens and locks the TOAST table and its index and descends
// the tree. Values that were written one after the other have consecutive ids, so a batch of them is one range of the
// index, in the order of the heap.
#pragma once

#include "pg/base/memory.hpp"

#include <cstddef>

namespace hartonomous::pg {

class toast_batch {
 public:
  // Fetches the first values, as many of them as it pays to fetch together, into memory that is valid until the next
  // call, and returns how many it handled (at least one of `count`). Values that it does not fetch (few, large,
  // compressed, scattered, or not stored out of line) are left for PostgreSQL to detoast.
  std::size_t fetch(Datum* values, std::size_t count);

 private:
  buffer<std::byte> room_;
};

}  // namespace hartonomous::pg
