// Defines the settings of guc.hpp, and the memory limit based on them.
#include "pg/base/guc.hpp"

#include "pg/base/memory.hpp"
#include "pg/store/tensor_cache.hpp"

#include <cstdint>
#include <string>

#include "hartonomous/simd.hpp"

namespace hartonomous::pg {

settings current_settings = {1024 * 1024, 60 * 1000, 1, 64 * 1024, true};

namespace {

void model_cache_resized(int kilobytes, void*) { tensor_cache::shrink(static_cast<std::uint64_t>(kilobytes) * 1024); }

}  // namespace

void define_settings() {
  DefineCustomIntVariable("hartonomous.max_work_memory",
                          "Sets the largest amount of memory that one function may plan to use.",
                          "A function that needs more fails before it starts and names the number of bytes.",
                          &current_settings.max_work_memory_kb, 1024 * 1024, 4 * 1024, MAX_KILOBYTES, PGC_USERSET,
                          GUC_UNIT_KB, nullptr, nullptr, nullptr);
  // How long a stage waits for transactions that use a model whose partitions it has to swap.
  DefineCustomIntVariable(
      "hartonomous.swap_timeout", "Sets how long to wait for the locks under which partitions are swapped.",
      "A stage that cannot get them fails with 55P03; the same call resumes it.", &current_settings.swap_timeout_ms,
      60 * 1000, 0, 24 * 60 * 60 * 1000, PGC_USERSET, GUC_UNIT_MS, nullptr, nullptr, nullptr);
  DefineCustomIntVariable(
      "hartonomous.threads", "Sets the number of threads that matrix arithmetic may use in one session.",
      "Results do not depend on it.", &current_settings.threads, 1, 1, 64, PGC_USERSET, 0, nullptr, nullptr, nullptr);
  DefineCustomIntVariable(
      "hartonomous.model_cache_size", "Sets the largest amount of memory in which a session caches decoded tensors.",
      "They are used by the next evaluation; 0 disables the cache.", &current_settings.model_cache_kb, 64 * 1024, 0,
      MAX_KILOBYTES, PGC_USERSET, GUC_UNIT_KB, nullptr, model_cache_resized, nullptr);
  DefineCustomBoolVariable("hartonomous.check_disk_space",
                           "Sets whether a stage that does not fit the disk fails before it writes.",
                           "It fails with 53100 and names the number of bytes.", &current_settings.check_disk_space,
                           true, PGC_USERSET, 0, nullptr, nullptr, nullptr);
  static char* simd = nullptr;
  DefineCustomStringVariable("hartonomous.simd", "Shows the vector instructions in use.",
                             "They are the best that the processor supports; results do not depend on them.", &simd,
                             simd_target(), PGC_INTERNAL, GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE, nullptr, nullptr,
                             nullptr);
  MarkGUCPrefixReserved("hartonomous");
}

std::uint64_t work_memory() noexcept { return static_cast<std::uint64_t>(current_settings.max_work_memory_kb) * 1024; }

void require_work_memory(std::uint64_t bytes, const char* purpose) {
  const std::uint64_t limit = work_memory();
  if (bytes <= limit) return;
  throw error(sqlstate::out_of_memory, std::string(purpose) + " needs more than hartonomous.max_work_memory",
              "It needs " + std::to_string(bytes) + " bytes; the limit is " + std::to_string(limit) + " bytes.",
              "Raise hartonomous.max_work_memory for this session.");
}

}  // namespace hartonomous::pg
