// Defines the settings of guc.hpp and the memory budget that rests on them.
#include "pg/guc.hpp"

#include "pg/memory.hpp"

#include <string>

namespace hartonomous::pg {

settings current_settings = {1024 * 1024};

void define_settings() {
  DefineCustomIntVariable("hartonomous.max_work_memory", "Most memory one hartonomous function may plan to use.",
                          "Work that needs more is refused before it starts, naming the bytes.",
                          &current_settings.max_work_memory_kb, 1024 * 1024, 4 * 1024, MAX_KILOBYTES, PGC_USERSET,
                          GUC_UNIT_KB, nullptr, nullptr, nullptr);
  MarkGUCPrefixReserved("hartonomous");
}

void require_work_memory(std::uint64_t bytes, const char* purpose) {
  const std::uint64_t limit = static_cast<std::uint64_t>(current_settings.max_work_memory_kb) * 1024;
  if (bytes <= limit) return;
  throw error(sqlstate::out_of_memory, std::string(purpose) + " needs more than hartonomous.max_work_memory",
              "It needs " + std::to_string(bytes) + " bytes; the limit is " + std::to_string(limit) + " bytes.",
              "Raise hartonomous.max_work_memory for this session.");
}

}  // namespace hartonomous::pg
