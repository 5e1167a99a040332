// Background runs: a dynamic background worker does what train_many_models or score_many_models
// would do, as the role that asked for it, with the settings of its session.
//
//   start_training ──► queued ──► running ──► succeeded | failed | cancelled
//                        ▲           │                       │
//                        ├─ paused ◄─┤ resume_run: the worker scans again, but for what is stored
//                        │           │                       │
//                   (interrupted) ◄──┘ the process is gone; the row still says running
//                        └─ failed, with results stored ◄────┘
//
// The row in background_store is written by the transaction that asks; the worker waits for its end
// and leaves if it was undone. A training then goes on in transactions of its own:
//
//   plan, publish the segment | scan | a slice of buckets: fit, store results, note them | ... |
//   attach the results, write the run, make the view
//
// Results of slices lie in tables of the run's own that no view reads, until the last transaction
// attaches them: a version appears as a whole. What a slice stored is never done again: the number
// of buckets is fixed with the first scan, and a later scan drops the rows of buckets that are done.
//
// Who is alive is told by locks (run_lock.h). Wishes of other sessions reach the worker in its
// segment, with an interrupt where it should not finish what it is at.
#pragma once

#include "engine/background_store.h"

namespace many::engine {

enum class Wish : uint32 { none, pause, cancel };

// Registers a worker for the run, whose row the current transaction has written, and waits until
// it is connected. Returns its pid. Errors: 53400 no slot, 42501 the role cannot be worked for.
int launch_run(const BackgroundRow* row);

// Raises 42501 unless the current role may control the run: has the rights of the role that it works
// as or of the set's owner.
void require_run_owner(const BackgroundRow* row);

// The training itself, in the worker: transactions of its own. False: paused.
bool train_in_background(BackgroundRow* row, RunSegment** segment);
// After an error of it: whether the results as such were refused, so that none is worth keeping.
bool results_refused();
// Gives up the run's segment, and with it its temporary files, if it has one.
void release_segment();

// A transaction of the worker, with an SPI connection and a snapshot.
void begin_step(const BackgroundRow* row, const char* doing);
void end_step();

}  // namespace many::engine
