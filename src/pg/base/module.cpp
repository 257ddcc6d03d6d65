// The entry point of the module: magic block and settings.
#include "pg/base/boundary.hpp"
#include "pg/base/guc.hpp"

extern "C" {
#pragma GCC visibility push(default)
PG_MODULE_MAGIC;
void _PG_init(void);
void _PG_init(void) { hartonomous::pg::define_settings(); }
#pragma GCC visibility pop
}
