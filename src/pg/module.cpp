// Module entry: the magic block and _PG_init. No thread, no shared memory, no hook.
#include "pg/server.h"

#include "pg/settings.h"

extern "C" {

PG_MODULE_MAGIC;

void _PG_init(void);

void _PG_init(void) {
    if (IsBinaryUpgrade) return;
    many::pg::define_settings();
}
}
