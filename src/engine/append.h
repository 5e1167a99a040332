// Refreshing a set whose rows are only ever appended (option append_only).
//
// A run of such a set keeps, beside each result, the sums of the group: the moments of the training
// split and those of the held-out rows (which a hash of the row or its time decides, so that a row
// stays on its side). A refresh reads the rows with a later time than the last that the version
// before had read, writes the stored sums into the exchange as one more process of the scan, and
// fits as a training does. Moments are order-free, hence the bits of a training from the start.
//
// What a version needs to be continued: runs.details has last_time (no run that trained some groups
// only, or went on after a pause, has: its groups have seen rows up to different times), and every
// group has sums (an imported set has none). Rows that are not appended a refresh cannot see, but
// those of the last time it reads once more: their number and the sum of their hashes must be as they
// were, so that rows of that time that come late are noticed. Otherwise all groups are trained from
// the source.
#pragma once

#include "engine/group_table.h"
#include "engine/refresh.h"

namespace many::engine {

// Head of a stored value, in the server's byte order; the moments follow.
struct StoredSums {
    uint32 magic;
    uint16 format;
    uint16 n_features;
    uint32 checksum;  // CRC-32C of the whole value with this field as 0
    Oid time_type;    // of a type of the server's own
    int64 first_time;
    int64 last_time;
    int64 n_rows;
    GroupInfo info;
};
static_assert(sizeof(StoredSums) == 72);

// Writes head and moments to `to`, which needs no alignment.
void stored_sums_write(const RunSpec* spec, const Group* group, Size moments_bytes, char* to);

// Whether the base can be continued: then sets what the scan needs. Otherwise says why in a NOTICE.
bool plan_append(Retraining* r);
// After the scan: whether the rows of the last time are those that the base has read.
bool is_continued(const Retraining* r);
// Between scan and fit: the stored sums of all groups of the base into the exchange.
void merge_stored_sums(Retraining* r);

}  // namespace many::engine
