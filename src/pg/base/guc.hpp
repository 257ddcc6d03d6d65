// The settings of the extension (prefix `hartonomous.`). They never change a result, only how it is computed.
#pragma once

namespace hartonomous::pg {

struct settings {
  int max_work_memory_kb;  // hartonomous.max_work_memory
  int swap_timeout_ms;     // hartonomous.swap_timeout; read by lock_for_swap() (sql/internal/swap.sql)
  int threads;             // hartonomous.threads
  int model_cache_kb;      // hartonomous.model_cache_size
  bool check_disk_space;   // hartonomous.check_disk_space; read by require_disk_space() (sql/internal/disk_space.sql)
};
extern settings current_settings;

void define_settings();  // called by _PG_init

}  // namespace hartonomous::pg
