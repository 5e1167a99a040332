// ARIMA with orders chosen by the series: the stepwise search of Hyndman & Khandakar (2008), with the
// defaults of auto.arima() in R's forecast.
//
// Seasonal differences by seasonal strength, others by the KPSS test on what is left (unit_roots.h);
// then the criterion (AICc) is compared among models of these differences: from four models, and the
// one without constant, to the neighbours of the best (P, Q, both, p, q, both by one, the constant),
// as soon as one is better. Models with a root within 1.01 of the unit circle do not count, nor do those
// whose conditional estimate is not stationary: their exact likelihood may be high, their forecasts are
// worse.
//
// Where R differs: with `approximation` the conditional sum of squares ranks the models, as in R, but
// the exact likelihood of the best few decides, not the rank alone. A candidate's exact search starts
// from its conditional estimate or from the best model so far, whichever is likelier: a model never
// is worse than one that it contains.
#pragma once

#include <span>

#include "core/forecasters/arima.h"

namespace many::core {

enum class Criterion { aicc, aic, bic };
enum class Approximation { by_size, never, always };  // by_size: n > 150 or m > 12

struct AutoArimaOptions {
    int max_p = 5, max_q = 5, max_seasonal_p = 2, max_seasonal_q = 2;
    int max_d = 2, max_seasonal_d = 1;
    int d = -1, seasonal_d = -1;  // -1: chosen
    bool seasonal = true;         // false: as if m were 1
    bool constant = true;         // false: never a mean or a drift
    Criterion criterion = Criterion::aicc;
    Approximation approximation = Approximation::by_size;
    int max_models = 94;
    bool std_errors = true;
    std::span<const double> regressors;  // n x n_regressors, column-major
    int n_regressors = 0;
};

struct AutoArimaFit {
    ArimaFit fit;
    int n_models = 0;  // looked at
    bool approximated = false;
};

[[nodiscard]] AutoArimaFit fit_auto_arima(const SeriesView& series,
                                          const AutoArimaOptions& options = {},
                                          const StopSignal& stop = {});

}  // namespace many::core
