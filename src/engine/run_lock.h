// Locks that say what is going on: whoever holds one is alive, whatever the tables say.
//
// A background run's process holds, for its session, the lock of its run and, when it trains, the
// lock of its set. A transaction that starts a training holds another lock of the set until it ends:
// nobody sees its row before. All are advisory locks with sub-ids that no SQL function can give.
#pragma once

#include "pg/server.h"

namespace many::engine {

// Waits for a process that is just ending. Held until the process ends.
void hold_run(int64 run_id);
// Waits for a process that is just ending; false if another holds it.
bool hold_training(const char* model_set);

// False if another transaction starts a training of the set. Held until the current one ends.
bool claim_start(const char* model_set);

bool run_has_process(int64 run_id);
// Waits for a process that is just ending.
bool set_is_training(const char* model_set);

}  // namespace many::engine
