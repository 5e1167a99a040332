// Options of the forecasters, as users write them in jsonb, into a core::ForecastSpec.
//
// Usage: forecast_options_init (false: not the name of a forecaster), then for every pair of the
// object set_forecast_option (false: not one of these keys), then, when the time column's type is
// known, finish_forecast_options. Plain data; callers' mistakes are raised as 22023 with the key, the
// value and what is valid.
#pragma once

#include "core/learners/forecast_trainer.h"
#include "pg/learner_options.h"
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

// The zone of a spec, for the core; the names are those of the server's own time zones.
core::TimeZoneMap time_zone_map(const char* zone);

core::TimeType time_type_of(Oid type);

// The time of a time column as the core has it (see time_grid.h), as a datum of its type, and back.
Datum time_datum(Oid type, int64 time);
int64 time_number(Oid type, Datum value);
// Whether the type has the time: whole numbers may count on beyond the last of theirs.
bool time_fits(Oid type, int64 time);

}  // namespace many::pg
