// Defines the settings of guc.hpp, and the memory limit based on them.
#include "pg/base/guc.hpp"

#include "pg/base/memory.hpp"
#include "pg/store/tensor_cache.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

#include "hartonomous/simd.hpp"

namespace hartonomous::pg {

namespace {

constexpr settings defaults = {1024 * 1024, 60 * 1000, 1, 64 * 1024, true};
constexpr int most_threads = 64;

// What the session has set, and what it may have at most. A value is assigned only after its hook has been called.
settings requested = defaults;
settings limits = {MAX_KILOBYTES, 0, most_threads, MAX_KILOBYTES, true};

}  // namespace

settings current_settings = defaults;

namespace {

template <int settings::*value>
void take_effect(int wanted, int limit) {
  current_settings.*value = std::min(wanted, limit);
  if (value == &settings::model_cache_kb) {
    tensor_cache::shrink(static_cast<std::uint64_t>(current_settings.model_cache_kb) * 1024);
  }
}

template <int settings::*value>
void requested_changed(int wanted, void*) {
  take_effect<value>(wanted, limits.*value);
}

template <int settings::*value>
void limit_changed(int limit, void*) {
  take_effect<value>(requested.*value, limit);
}

// An integer that every role may set, and the most that it may have, which only superusers set.
template <int settings::*value>
void define_limited(const char* name, const char* description, const char* more, int least, const char* limit_name,
                    const char* limit_description, int unit) {
  const int most = limits.*value;
  DefineCustomIntVariable(name, description, more, &(requested.*value), defaults.*value, least, most, PGC_USERSET, unit,
                          nullptr, requested_changed<value>, nullptr);
  DefineCustomIntVariable(limit_name, limit_description, "What a session sets above it has no effect.",
                          &(limits.*value), most, least, most, PGC_SUSET, unit, nullptr, limit_changed<value>, nullptr);
}

}  // namespace

void define_settings() {
  define_limited<&settings::max_work_memory_kb>(
      "hartonomous.max_work_memory", "Sets the largest amount of memory that one function may plan to use.",
      "A function that needs more fails before it starts and names the number of bytes.", 4 * 1024,
      "hartonomous.max_work_memory_limit", "Sets the most that hartonomous.max_work_memory can be.", GUC_UNIT_KB);
  // How long a stage waits for transactions that use a model whose partitions it has to swap.
  DefineCustomIntVariable(
      "hartonomous.swap_timeout", "Sets how long to wait for the locks under which partitions are swapped.",
      "A stage that cannot get them fails with 55P03; the same call resumes it.", &current_settings.swap_timeout_ms,
      60 * 1000, 0, 24 * 60 * 60 * 1000, PGC_USERSET, GUC_UNIT_MS, nullptr, nullptr, nullptr);
  define_limited<&settings::threads>("hartonomous.threads",
                                     "Sets the number of threads that matrix arithmetic may use in one session.",
                                     "Results do not depend on it.", 1, "hartonomous.threads_limit",
                                     "Sets the most that hartonomous.threads can be.", 0);
  define_limited<&settings::model_cache_kb>(
      "hartonomous.model_cache_size", "Sets the largest amount of memory in which a session caches decoded tensors.",
      "They are used by the next evaluation; 0 disables the cache.", 0, "hartonomous.model_cache_size_limit",
      "Sets the most that hartonomous.model_cache_size can be.", GUC_UNIT_KB);
  DefineCustomBoolVariable("hartonomous.check_disk_space",
                           "Sets whether a stage that does not fit the disk fails before it writes.",
                           "It fails with 53100 and names the number of bytes.", &current_settings.check_disk_space,
                           true, PGC_USERSET, 0, nullptr, nullptr, nullptr);
  static char* simd = nullptr;
  DefineCustomStringVariable("hartonomous.simd", "Shows the vector instructions in use.",
                             "They are the best that the processor supports; results do not depend on them.", &simd,
                             simd_target(), PGC_INTERNAL, GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE, nullptr, nullptr,
                             nullptr);
  reserve_settings("hartonomous");
}

std::uint64_t work_memory() noexcept { return static_cast<std::uint64_t>(current_settings.max_work_memory_kb) * 1024; }

void require_work_memory(std::uint64_t bytes, const char* purpose) {
  const std::uint64_t limit = work_memory();
  if (bytes <= limit) return;
  throw error(sqlstate::out_of_memory, std::string(purpose) + " needs more than hartonomous.max_work_memory",
              "It needs " + std::to_string(bytes) + " bytes; the limit is " + std::to_string(limit) + " bytes.",
              limits.max_work_memory_kb > current_settings.max_work_memory_kb
                  ? "Raise hartonomous.max_work_memory for this session."
                  : "A superuser can raise hartonomous.max_work_memory_limit.");
}

}  // namespace hartonomous::pg
