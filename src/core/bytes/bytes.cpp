// A byte source in memory (hartonomous/bytes.hpp).
#include "hartonomous/bytes.hpp"

#include <cstdint>
#include <cstring>
#include <string>

#include "hartonomous/error.hpp"

namespace hartonomous {

void memory_source::read(std::uint64_t offset, void* to, std::size_t count) {
  // Compared in this way so that offset + count cannot overflow.
  if (offset > size_ || count > size_ - offset) {
    throw error(sqlstate::io_error, "read beyond the end of the data",
                "Reading " + std::to_string(count) + " bytes at " + std::to_string(offset) + " of " +
                    std::to_string(size_) + ".");
  }
  if (count > 0) std::memcpy(to, data_ + offset, count);
}

}  // namespace hartonomous
