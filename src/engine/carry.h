// Carrying forward: the rows of groups that a run has not trained, from the version before into the
// new one, before its partitions are published. As the registry's owner.
#pragma once

#include "engine/refresh.h"

namespace many::engine {

// Those in these places (fingerprint.h); called by the collector (Carry). `argument`: a Retraining.
void carry_unchanged(void* argument, const uint64* places, Size n, Collected* collected);
// All but those of the groups in `again`.
void carry_all_others(Retraining* r);

// Notes what the run itself has done, before its counters become those of the version.
void count_trained(Retraining* r);

}  // namespace many::engine
