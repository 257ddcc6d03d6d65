// The entry point of the module: magic block, settings, and the check of versions.
#include "pg/base/boundary.hpp"
#include "pg/base/guc.hpp"
#include "pg/base/version.hpp"

extern "C" {
#pragma GCC visibility push(default)
PG_MODULE_MAGIC;
void _PG_init(void);
void _PG_init(void) {
  hartonomous::pg::define_settings();
  hartonomous::pg::watch_version();
}
#pragma GCC visibility pop
}
