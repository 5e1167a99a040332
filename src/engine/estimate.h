// What a training run would cost: plain arithmetic over the shape of the data.
//
// The constants are measured: one process of an AVX2 machine, rows in memory, uniform random
// features, up to 20 of them (tools and data as in bench/). They hold within a factor of two or three
// elsewhere; where an earlier run of the set has measured the phases, its times take their place,
// scaled by the same formulas.
#pragma once

#include "engine/train_spec.h"

namespace many::engine {

// What plan_training counts.
struct DataShape {
    int64 groups;
    int64 trainable;  // groups that would get a model
    int64 rows;
    int64 usable_rows;
    int64 largest_rows;
    double terms;      // mean over the trainable groups; the features, levels expanded
    double key_bytes;  // mean, of a key image
};

struct PhaseSeconds {
    double scan;
    double fit;
    double collect;
    double total() const { return scan + fit + collect; }
};

struct Estimate {
    PhaseSeconds seconds;
    double memory_bytes;  // of one process
    double temp_bytes;
    double registry_bytes;
};

// Processes of the scan and of the fit phase.
Estimate estimate_run(const TrainPlan* plan, const DataShape* shape, int scan_processes,
                      int fit_processes);

}  // namespace many::engine
