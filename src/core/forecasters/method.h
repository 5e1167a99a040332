// A forecasting method by name, its options as plain data, and any method's fit behind one interface.
//
// MethodSpec is trivially copyable: it lies in the shared memory of a run and among a group's
// options. What is not given is chosen by the method's own rules (NaN, -1, false).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/forecasters/arima.h"
#include "core/forecasters/autoregression.h"
#include "core/forecasters/ces.h"
#include "core/forecasters/ets.h"
#include "core/forecasters/forecaster.h"
#include "core/forecasters/intermittent.h"
#include "core/forecasters/simple.h"
#include "core/forecasters/theta.h"

namespace many::core {

// Values are part of the model format: never renumber.
enum class ForecastMethod : std::uint8_t {
    none = 0,
    naive = 1,
    seasonal_naive = 2,
    mean = 3,
    drift = 4,
    window_average = 5,
    seasonal_window_average = 6,
    naive2 = 7,
    ses = 10,
    holt = 11,
    damped_holt = 12,
    holt_winters = 13,
    ets = 14,
    theta = 20,
    optimised_theta = 21,
    dynamic_theta = 22,
    arima = 30,
    croston = 40,
    sba = 41,
    tsb = 42,
    adida = 43,
    imapa = 44,
    mstl = 50,
    ces = 51,
    autoregression = 52,
    // Of several methods; never a member of themselves.
    auto_forecast = 60,
    ensemble = 61,
};

// The name in SQL, "unknown" for none of them; false when there is no such method.
[[nodiscard]] const char* method_name(ForecastMethod method) noexcept;
[[nodiscard]] bool method_from_name(std::string_view name, ForecastMethod& out) noexcept;
// Whether future values of features enter the forecast (arima, autoregression).
[[nodiscard]] bool method_takes_features(ForecastMethod method) noexcept;
[[nodiscard]] bool method_is_seasonal(ForecastMethod method) noexcept;

struct MethodSpec {
    ForecastMethod method = ForecastMethod::none;
    int window = 4;  // window averages: values; seasonal: seasons
    // Exponential smoothing. Given parameters are fixed. croston, sba, tsb, theta: alpha (and beta).
    double alpha = FitSummary::kNone;
    double beta = FitSummary::kNone;
    double gamma = FitSummary::kNone;
    double phi = FitSummary::kNone;
    bool has_form = false;  // ets: the form is given
    EtsForm form;
    EtsOptions::Start start = EtsOptions::Start::optimal;
    bool multiplicative_season = false;  // holt_winters: (M,A,M)
    bool multiplicative_trend = false;   // ets, automatic: consider it
    bool additive_only = false;
    bool optimise = false;  // croston, sba, tsb: smoothing by search
    int aggregation = 0;    // adida, imapa
    // arima. order.m is the series'.
    bool has_order = false;
    ArimaOrder order;
    bool constant = true;
    int max_p = 5, max_q = 5, max_seasonal_p = 2, max_seasonal_q = 2;
    int d = -1, seasonal_d = -1;
    bool seasonal = true;  // arima, autoregression, theta: false: as if the season were 1
    // autoregression: lags 1 .. n_lags (0: chosen), seasonal lags, calendar terms.
    int n_lags = 0;
    bool calendar = false;  // with features: regressors of the calendar beside them
    bool inference = true;  // arima: standard errors; false: only what forecasts need, in less time
};

// A whole series of one group, as fits take it. x: n x n_features, column-major, beside y: the user's
// features, then those of the calendar.
struct SeriesData {
    std::span<const double> y = {};
    std::span<const int> season_lengths = {};  // ascending, > 1 each; none: not seasonal
    std::span<const double> x = {};
    int n_features = 0;

    [[nodiscard]] int size() const noexcept { return static_cast<int>(y.size()); }
    // The first season length, for methods that know one; 1 without.
    [[nodiscard]] SeriesView view() const noexcept {
        return {y, season_lengths.empty() ? 1 : season_lengths.front()};
    }
};

// Seasons by STL, the adjusted series by exponential smoothing without season.
struct MstlFit {
    std::vector<int> season_lengths;
    std::vector<std::vector<double>> last_cycle;  // per season: values of the steps 1 .. m ahead
    EtsFit adjusted;
    FitSummary summary;
};

// Other methods' fits join the list at its end: the index is not part of the model format.
using AnyFit = std::variant<SimpleFit, EtsFit, ThetaFit, ArimaFit, IntermittentFit, MstlFit,
                            AutoregressionFit, CesFit>;

struct MethodFit {
    // What was fitted in the end: for ses a method of its own, not ets.
    ForecastMethod method = ForecastMethod::none;
    AnyFit fit;

    [[nodiscard]] const FitSummary& summary() const;
};

// Of the fit's series; more than so many are refused.
constexpr int kMostObservations = 1 << 30;
[[nodiscard]] int n_observations(const MethodFit& fit);

// Scratch of one process, used for all its groups.
class ForecastWorkspace {
  public:
    [[nodiscard]] EtsWorkspace& ets() noexcept { return ets_; }
    [[nodiscard]] CesWorkspace& ces() noexcept { return ces_; }

  private:
    EtsWorkspace ets_;
    CesWorkspace ces_;
};

// Fits one method (none of auto_forecast, ensemble). A status other than ok: there is no fit. A
// search that gave up leaves its best point and returns ok (out.summary().status: not_converged).
// Given smoothing parameters are those of the model (holt: beta of the innovations form, ets.h).
// Seasons too long for what a method chooses by itself (ets: 24, arima: 1000 observations) are not
// modelled: the fit's form or order says so; a given form or order is not_admissible then.
[[nodiscard]] ForecastStatus fit_method(const MethodSpec& spec, const SeriesData& series,
                                        const StopSignal& stop, ForecastWorkspace& workspace,
                                        MethodFit& out);

// future: h x n_features, column-major; h = out.mean.size(). variance NaN: none.
[[nodiscard]] ForecastStatus forecast_method(const MethodFit& fit, std::span<const double> future,
                                             const ForecastOut& out);

// Degrees of freedom of Student's t that the interval is of; 0: Gaussian.
[[nodiscard]] double interval_degrees_of_freedom(const MethodFit& fit) noexcept;

// New observations behind the series' end move the state without refitting; x beside them, as in
// SeriesData. False, and the fit as it was, when the method has no such thing (window averages,
// adida, imapa) or the values allow none: refit. naive, seasonal_naive, mean and drift are then what
// a refit is; theta's line goes on with the values; seasonal figures (naive2, theta, mstl) stay.
[[nodiscard]] bool update_method(MethodFit& fit, std::span<const double> y,
                                 std::span<const double> x);

// Names and values a user reads. `kind`: "parameter", "order", "state", "seasonal".
struct FitTerm {
    const char* kind;
    const char* name;
    // Of ar1, xreg2, ..; seasonal: the step ahead, 1 .. m, whose season it is; imapa: the aggregation;
    // 0: a term of its own.
    int index;
    double estimate;
    double std_error;  // NaN: none
};
void list_terms(const MethodFit& fit, std::vector<FitTerm>& out);
// "ETS(M,Ad,M)", "ARIMA(0,1,1)(0,1,1)[12] with drift", "MSTL(24,168) + ETS(A,N,N)", "CES(partial)",
// or the method's name.
[[nodiscard]] std::string fit_label(const MethodFit& fit);

}  // namespace many::core
