// Intermittent demand: series with many zeros, forecast by their mean demand per period.
//
// z: size of the demands, p: interval between them (the first counts from t = 0), q: probability that a
// period has demand. All start at their first values (q at 1 / first interval; ses at the first sum) and
// are exponentially smoothed:
//   croston  z and p at each demand, by alpha and beta; forecast z / p.
//            Croston (1972), Operational Research Quarterly 23(3).
//   sba      the same without its bias: (1 - beta / 2) z / p.
//            Syntetos & Boylan (2005), Int. J. Forecasting 21(2).
//   tsb      z at each demand by alpha, q in each period by beta; forecast q z, so that an item without
//            demand fades out. Teunter, Syntetos & Babai (2011), European J. Operational Research 214(3).
//   adida    sums of k periods, k the mean interval rounded; simple exponential smoothing (ses) of the
//            sums; forecast level / k. Nikolopoulos, Syntetos, Boylan, Petropoulos & Assimakopoulos
//            (2011), J. Operational Research Society 62(3).
//   imapa    the mean of such forecasts of the sums of k = 1 .. longest interval periods, as long as
//            there are 4 sums (k = 1 always); of each, by interval p and squared coefficient of variation v
//            of the demands: ses (p = 1), sba (v > 2 - 3 p / 2), croston (else). Petropoulos & Kourentzes
//            (2015), J. Operational Research Society 66(6); the border by Kostenko & Hyndman (2006),
//            same journal 57(10).
// Sums are of whole blocks that end with the series; what is left over at its start is dropped.
//
// Searched smoothing: croston, sba, tsb by the mean squared rate, the distance of the forecasts from the
// mean demand per period so far (errors against the demand itself favour forecasts of nearly 0:
// Kourentzes 2014, Int. J. Production Economics 156); ses by the squared one-step errors of the sums.
// All in [0.05, 0.3], the values in use in the literature, by a grid and a compass search from its
// best and not by NLopt: one or two bounded parameters and an objective of some 100 ns, no derivatives.
//
// Invariants: 0 <= forecast <= largest value; the same for each step; no variance (there is no model of
// which these were the means). No demand at all: forecast 0. One demand: its size by its interval
// (sba, tsb: as above). Croston and sba see no zeros behind the last demand.
#pragma once

#include <cstdint>
#include <vector>

#include "core/forecasters/forecaster.h"
#include "core/learners/linear.h"

namespace many::core {

enum class IntermittentMethod : std::uint8_t { croston, sba, tsb, adida, imapa, ses };

// ses alone is what the aggregates are forecast by: the constant of a level, adida with k = 1.
struct IntermittentOptions {
    // Smoothing of the sizes (ses: of the sums), and of the intervals or the probability, in [0, 1].
    // NaN: not given. Then ses searches; the others search if `optimise`, or else have 0.1, beta: alpha's.
    double alpha = FitSummary::kNone;
    double beta = FitSummary::kNone;
    bool optimise = false;
    int aggregation = 0;  // periods of a sum (imapa: at most); 0: from the intervals
};

// One aggregation level and what it forecasts.
struct IntermittentLevel {
    IntermittentMethod method = IntermittentMethod::croston;
    int aggregation = 1;
    double alpha = 0, beta = 0;  // beta: NaN for ses
    double size = 0;             // z (ses: level) of the sums by aggregation
    double interval = 0;         // p, in sums; tsb: 1 / q, which may be infinite; ses: 1
    int waiting = 0;             // sums since the last demand
    double rate = 0;             // forecast per period
};

struct IntermittentFit {
    IntermittentMethod method = IntermittentMethod::croston;
    int n = 0;
    int n_demands = 0;
    double mean_interval = FitSummary::kNone;  // NaN: no demand
    std::vector<IntermittentLevel> levels;     // one; imapa: one or more; none: no demand
    double rate = 0;                           // the forecast
    // sigma2: mean square of the one-step errors behind the first demand (croston, sba, tsb); no likelihood.
    FitSummary summary;
};

// Statuses: ok; too_short (no value); not_positive (a negative value is no demand: returns have to
// be netted before); not_admissible (options out of their range); overflow (a value is not finite);
// stopped. Cost O(n), with a search some 100 times that; imapa times log n. Next to a value 1e300 times
// as large a demand counts as none.
[[nodiscard]] ForecastStatus fit_intermittent(IntermittentMethod method, const SeriesView& series,
                                              const IntermittentOptions& options,
                                              const StopSignal& stop, IntermittentFit& out);

// mean: the rate; variance: NaN.
[[nodiscard]] ForecastStatus forecast_intermittent(const IntermittentFit& fit,
                                                   const ForecastOut& out);

// New observations move size, interval and rate of croston, sba and tsb. False, and the fit as it
// was: the other methods; a value that is negative or not finite; the first demand of a series
// (its smoothing is not known then).
[[nodiscard]] bool update_intermittent(IntermittentFit& fit, std::span<const double> y);

// The rates before each of the values of the fit's series (NaN: before the first demand). False: not
// croston, sba or tsb.
[[nodiscard]] bool intermittent_one_step(const IntermittentFit& fit, std::span<const double> y,
                                         std::span<double> fitted);

}  // namespace many::core
