// What can be read from the bytes of a forecaster's model, with the server's types.
#pragma once

#include "core/forecasters/forecast_model.h"
#include "pg/server.h"
#include "serving/model_value.h"

namespace many::serving {

// A decoded model that lives in a memory context, to be used for one model after the other.
struct ForecastHandle;
ForecastHandle* make_forecast_handle(MemoryContext context);
// Raises XX001 when the bytes are damaged. The model is valid until the next call.
const core::ForecastModel* decode_forecast(ForecastHandle* handle, const char* data, Size length);

// What is asked for beside the mean: the interval of a level, and quantiles, ascending.
struct ForecastSpread {
    double level;
    int n_quantiles;
    const double* quantiles;
};

// Forecasts in arrays of the handle; valid until the next call.
struct ForecastRows {
    int n;
    const double* mean;
    const double *lower, *upper;  // of one level; NaN: none
    const unsigned char* flags;   // core::ForecastFlag
    const int64* times;           // as the source's column has them
    int n_quantiles;
    const double* quantiles;  // step after step
};
// Of the decoded model: `n` steps. future: n x n_features, column-major.
void make_forecast(ForecastHandle* handle, int n, const ForecastSpread& spread,
                   const double* future, int n_features, ForecastRows* rows);
// The time of step `step` (1-based) behind the series' end; 0 and less: of its observations.
int64 forecast_time(const ForecastHandle* handle, int64 step);
core::TimeZoneMap forecast_zone(const ForecastHandle* handle);

// The decoded model moved forward by the values that follow on its end, as bytes that are valid until
// the next call; false: it allows none.
bool move_forecast(ForecastHandle* handle, const double* values, Size n,
                   const unsigned char** bytes, Size* length);

// The one-step forecasts of the decoded model's own series, y of model->n values, into `fitted`. False:
// there are none (the model has regressors, or a method without).
bool make_fitted(ForecastHandle* handle, const double* y, double* fitted);

// How many steps a forecast has when the caller does not say.
int forecast_default_horizon(const ForecastHandle* handle);

// Of the bytes of a model that was checked.
const char* forecast_algorithm(const ModelBytes& bytes);
core::SplitMetrics forecast_metrics(const ModelBytes& bytes, core::ForecastSplit split,
                                    double* mase);
// Between the smallest and the largest value of the series.
double forecast_spread(const ModelBytes& bytes);
// False when there is no such statistic; NaN when the model has none.
bool forecast_statistic(const ModelBytes& bytes, const char* name, double* value);

}  // namespace many::serving
