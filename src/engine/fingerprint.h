// Fingerprints: by what a refresh tells that a group has not changed.
//
// A fingerprint is what a scan met of a group: how many rows, the last time, and the sum of the rows'
// hashes, modulo 2^64, so that neither order nor number of processes matter. It is of all rows, those
// that the null policy leaves out too, and of what training reads of them: target, features, time, as
// the sink has them. It is summed where rows are counted (group_table.h), in the training's own scan,
// and stored with the group's result.
//
// A refresh reads the source as a training does, and writes what the version before has of each group
// into the exchange as one more process of the scan. Where the fit phase finds both alike it does not
// fit, but gives back the place of the group's row, which is then carried forward.
#pragma once

#include "engine/refresh.h"

namespace many::engine {

constexpr Size kFingerprintBytes = 24;

// As stored: three integers, most significant byte first.
void fingerprint_write(const Fingerprint* fingerprint, char* to);

// Before the scan: how many groups of the base have fingerprints.
int64 count_known_groups(const Retraining* r);
// Between scan and fit: those groups into the exchange.
void merge_known_groups(const Retraining* r);

// Where the row of a group lies: in model_store or failure_store. Rows stay where they are as long
// as the set's row is locked.
uint64 place_of(const ItemPointerData* row, bool is_failure);
ItemPointerData row_at(uint64 place);
inline bool is_failure_place(uint64 place) {
    return (place & 1) != 0;
}
// Of the places of one of the two, the rows: tid[].
Datum rows_at(const uint64* places, Size n, bool is_failure);

}  // namespace many::engine
