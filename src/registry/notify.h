// Events on the channel many_models: what happened, as JSON, to sessions that LISTEN.
//
// Sent when the transaction commits, and only if many_models.notify is on. It is off by default:
// whoever may connect can listen, whatever sets he may see; a transaction that notified cannot be
// prepared (PREPARE TRANSACTION); commits that notify wait for each other; and a full queue of
// notifications, which one listener that sleeps in a transaction is enough for, fails the commit.
#pragma once

#include "pg/server.h"

namespace many::registry {

// {"event": event, "model_set": model_set, fields}; fields: "name": value pairs or nullptr. Beyond
// the server's limit of a payload the fields give way to "truncated": true.
void notify_event(const char* event, const char* model_set, const char* fields);

struct RunEvent {
    const char* model_set;
    const char* kind;  // train, score
    int64 run_id;
    int version;  // 0: models of several
    int64 groups;
    int64 rows;
    int64 failed;     // groups without a model, rows without a prediction
    int64 failed_of;  // of how many
};

// run_finished, and failed_fraction where more failed than many_models.notify_failed_fraction.
void notify_run(const RunEvent* run);

}  // namespace many::registry
