// Options of the forecasters, as users write them in jsonb, into a core::ForecastSpec.
//
// Usage: forecast_options_init (false: not the name of a forecaster), then for every pair of the
// object set_forecast_option (false: not one of these keys), then, when the time column's type is
// known, finish_forecast_options. Plain data; callers' mistakes are raised as 22023 with the key, the
// value and what is valid.
#pragma once

#include "core/learners/forecast_trainer.h"
#include "pg/learner_options.h"
#include "pg/series_time.h"
#include "pg/server.h"

namespace many::pg {

struct ForecastOptions {
    core::ForecastSpec spec;
    char* frequency;  // as written; nullptr: inferred
    char* zone;       // nullptr: the session's
    bool updates;     // a refresh moves models forward
};

bool is_forecaster(const char* algorithm);
// Their names, for hints.
char* forecaster_list();

bool forecast_options_init(ForecastOptions* options, const char* algorithm);

// The keys that the algorithm takes beside those of every run, for hints.
const char* forecast_option_keys(core::ForecastMethod method);

// Raises 22023 for a key that the algorithm has not.
[[noreturn]] void raise_forecast_option(core::ForecastMethod method, const char* key);
// Whether some forecaster takes it.
bool is_forecast_option(const char* key);

bool set_forecast_option(ForecastOptions* options, const char* key, const JsonbValue* value);

// type: of the time column, one of int2, int4, int8, date, timestamp, timestamptz.
void finish_forecast_options(ForecastOptions* options, Oid type, int n_features);

}  // namespace many::pg
