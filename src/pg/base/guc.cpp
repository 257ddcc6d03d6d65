// Defines the settings of guc.hpp and the memory budget that rests on them.
#include "pg/base/guc.hpp"

#include "pg/base/memory.hpp"
#include "pg/store/tensor_cache.hpp"

#include <cstdint>
#include <string>

#include "hartonomous/simd.hpp"

namespace hartonomous::pg {

settings current_settings = {1024 * 1024, 60 * 1000, 1, 64 * 1024};

namespace {

void model_cache_resized(int kilobytes, void*) { tensor_cache::shrink(static_cast<std::uint64_t>(kilobytes) * 1024); }

}  // namespace

void define_settings() {
  DefineCustomIntVariable("hartonomous.max_work_memory", "Most memory one hartonomous function may plan to use.",
                          "Work that needs more is refused before it starts, naming the bytes.",
                          &current_settings.max_work_memory_kb, 1024 * 1024, 4 * 1024, MAX_KILOBYTES, PGC_USERSET,
                          GUC_UNIT_KB, nullptr, nullptr, nullptr);
  // How patient a stage is with transactions that keep reading or writing a model whose partitions it has to swap.
  DefineCustomIntVariable("hartonomous.swap_timeout", "Longest wait for the lock under which partitions are swapped.",
                          "A stage that cannot get it fails with 55P03; called again, it goes on from there.",
                          &current_settings.swap_timeout_ms, 60 * 1000, 0, 24 * 60 * 60 * 1000, PGC_USERSET,
                          GUC_UNIT_MS, nullptr, nullptr, nullptr);
  DefineCustomIntVariable("hartonomous.threads", "Threads that the matrix arithmetic of one session may use.",
                          "The result does not depend on it.", &current_settings.threads, 1, 1, 64, PGC_USERSET, 0,
                          nullptr, nullptr, nullptr);
  DefineCustomIntVariable("hartonomous.model_cache_size", "Most memory in which a session keeps tensors of models.",
                          "They are kept as floats, for the next evaluation; 0 keeps none.",
                          &current_settings.model_cache_kb, 64 * 1024, 0, MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB,
                          nullptr, model_cache_resized, nullptr);
  static char* simd = nullptr;
  DefineCustomStringVariable("hartonomous.simd", "Vector instructions in use.",
                             "The best set that this processor has; results do not depend on it.", &simd, simd_target(),
                             PGC_INTERNAL, GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE, nullptr, nullptr, nullptr);
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
