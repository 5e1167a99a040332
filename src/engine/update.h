// Updates: a refresh of forecasters that moves models forward instead of fitting them again (option
// "refresh": "update").
//
// A group is updated when its rows up to the last time of the version before are those of then, which
// its fingerprint tells, when rows have come behind them, and when its model allows it
// (ForecastTrainer::append_rows). All else is fitted. The processes of the fit phase read the stored
// model at its place (fingerprint.h), which costs a few microseconds a group, and only of groups that
// have new rows.
//
// No privilege is checked here: who refreshes a set may make versions of it, and gets the models only
// into the next one. The rows of the base stay where they are: the set's row is locked, and so is the
// table, since merge_known_groups read it in this transaction.
#pragma once

#include "engine/fit_session.h"
#include "engine/group_table.h"
#include "engine/refresh.h"

namespace many::engine {

// The session's side, between scan and fit: tells the processes where the models are. Nothing where
// the set does not ask for updates.
void offer_updates(const Retraining* r);

struct Updates;
// nullptr when the run has none. Lives in `context`.
Updates* open_updates(RunSegment* segment, MemoryContext context);
void close_updates(Updates* updates);

// The group's model moved forward; false: the group is to be fitted. Its rows stay as they are.
bool update_group(Updates* updates, FitSession* session, const GroupTable* table,
                  const Group* group, GroupFitInput input, GroupOutcome* outcome);

}  // namespace many::engine
