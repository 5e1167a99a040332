// Quantiles of forecasts, as users ask for them and get them.
#pragma once

#include "pg/server.h"
#include "serving/forecast_value.h"

extern "C" {
#include "utils/jsonb.h"
}

namespace many::serving {

constexpr int kMaxQuantiles = 19;

// From an argument. Raises 22023 unless it has 1 to kMaxQuantiles ascending numbers between 0 and 1.
void read_quantiles(ForecastSpread* spread, ArrayType* array);

// The option of a scoring run, and the columns of the predictions table: named by the percentage, 0.1
// p10, 0.025 p2_5.
struct QuantileOption {
    int n;
    double values[kMaxQuantiles];
    char* columns[kMaxQuantiles];
};
// Raises 22023 likewise, and for numbers of more than 12 decimals.
void read_quantile_option(QuantileOption* option, const char* key, const JsonbValue* value);

// float8[] of a step; elements are NULL where there is no quantile.
Datum step_quantiles(const ForecastRows* rows, int step);

}  // namespace many::serving
