// Where the rows of a scoring query go: into the run's partition, in blocks.
#pragma once

#include "pg/server.h"
#include "serving/score_query.h"

extern "C" {
#include "tcop/dest.h"
}

namespace many::serving {

// Made before the query runs (a parallel query assigns no transaction or command id), and finished
// after it.
struct ScoreReceiver;

// rows_so_far, which other sessions read, counts rows written; nullptr: nobody looks.
ScoreReceiver* score_receiver_create(const ScoreSpec* spec, Oid partition, int64 run_id,
                                     TimestampTz scored_at, pg_atomic_uint64* rows_so_far);
DestReceiver* score_receiver_dest(ScoreReceiver* receiver);

struct ScoreCounts {
    int64 rows;
    int64 without_prediction;
};
// Writes what is left, and closes the partition.
ScoreCounts score_receiver_finish(ScoreReceiver* receiver);

}  // namespace many::serving
