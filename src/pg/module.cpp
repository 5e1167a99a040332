// Module entry: the magic block and _PG_init. No thread; shared memory and the hooks for it only in
// shared_preload_libraries.
#include "pg/server.h"

#include "pg/settings.h"
#include "serving/shared_cache.h"

extern "C" {

PG_MODULE_MAGIC;

void _PG_init(void);

void _PG_init(void) {
    if (IsBinaryUpgrade) return;
    many::pg::define_settings();
    if (process_shared_preload_libraries_in_progress) many::serving::install_shared_cache();
}
}
