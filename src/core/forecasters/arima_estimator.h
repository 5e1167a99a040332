// Estimates ARMA models of one differenced series: what fixed and automatic ARIMA share.
//
// prepare() differences the series, its constant and regressors, orthogonalises the latter, takes
// their part out of the series and scales the rest to mean square 1; estimate() then searches the
// parameters of one order. In the search the autoregressive parts are free parameters
// (stationary_from_free), the moving averages are not bounded: the likelihood of an inverted root is
// the same, and its derivative 0 at the border, where the optimum of a series differenced too often
// lies.
#pragma once

#include <span>
#include <vector>

#include "core/forecasters/arima.h"
#include "core/forecasters/arma_filter.h"
#include "core/numeric/least_squares_search.h"

namespace many::core {

// An estimate of one order. free: p ar, q ma, P sar, Q sma as they are searched.
struct ArmaEstimate {
    ForecastStatus status = ForecastStatus::ok;
    std::vector<double> free;
    double objective = 0;    // log(sum of squares / n) + log|V| / n: -2 loglik / n but constants
    double conditional = 0;  // log(sum of squares / (n - n_ar)) of the conditional estimate
};

// NOLINTNEXTLINE(cppcoreguidelines-virtual-class-destructor): never deleted by its base
class ArimaEstimator final : public ResidualFunction {
  public:
    // d, D, m of `order`. overflow, too_short or ok.
    ForecastStatus prepare(const SeriesView& series, const ArimaOrder& order, bool constant,
                           std::span<const double> regressors, int n_regressors);

    [[nodiscard]] int n_used() const noexcept { return n_; }
    // Constant and regressors that are not collinear.
    [[nodiscard]] int n_kept() const noexcept { return kept_; }
    [[nodiscard]] int n_columns() const noexcept { return static_cast<int>(pivots_.size()); }
    // Nothing is left to explain: the series is its constant and regressors to rounding.
    [[nodiscard]] bool exact_already() const noexcept { return scale_ == 0; }

    // p, q, P, Q of `order`. Conditional sum of squares from white noise.
    ArmaEstimate conditional(const ArimaOrder& order, double tolerance, const StopSignal& stop);
    // Whether an autoregressive part ended at the border of stationarity, which nothing but the end of
    // the search keeps it from.
    [[nodiscard]] static bool at_border(const ArimaOrder& order,
                                        std::span<const double> free) noexcept;
    // Free parameters off the border of stationarity and invertible: to start a search from.
    static std::vector<double> inside(const ArimaOrder& order, std::vector<double> free);
    // Exact, from the given free parameters.
    ArmaEstimate exact(const ArimaOrder& order, std::span<const double> from, double tolerance,
                       const StopSignal& stop);
    // Exact objective at free parameters without a search; infinity outside.
    double objective(const ArimaOrder& order, std::span<const double> free);
    // -2 log-likelihood of an exact objective.
    [[nodiscard]] double minus_2_loglik(double objective) const noexcept;
    // What constant and regressors leave of the differenced series, scaled; n_used values.
    [[nodiscard]] std::span<const double> rest() const noexcept {
        return {columns_.data(), static_cast<std::size_t>(n_)};
    }

    // From free parameters to coefficients, with moving averages made invertible; and back.
    static std::vector<double> coefficients(const ArimaOrder& order, std::span<const double> free);
    static bool free_parameters(const ArimaOrder& order, std::span<const double> coefficients,
                                std::vector<double>& free);

    // Fills the fit (whose order, has_constant and n_regressors are set) from ARMA coefficients;
    // constant and regressors are estimated. False where the likelihood is not defined. Stopped:
    // without standard errors.
    [[nodiscard]] bool finish(const SeriesView& series, std::span<const double> arma,
                              bool with_std_errors, const StopSignal& stop, ArimaFit& fit);

    bool residuals(const double* x, double* r) override;

  private:
    void set_order(const ArimaOrder& order);
    bool evaluate(const double* coefficients, bool to_the_end = false);
    double objective_at(const double* coefficients);
    bool project() noexcept;  // beta_, gram_ and sum_ from the filter's columns
    void orthogonalise(const std::vector<std::vector<double>>& raw);
    [[nodiscard]] std::vector<double> original_beta() const;
    void arma_std_errors(const ArimaOrder& order, std::span<const double> arma,
                         const StopSignal& stop, ArimaFit& fit);
    void beta_std_errors(ArimaFit& fit) const;

    int n_ = 0, kept_ = 0;
    double scale_ = 1;               // of the series
    std::vector<double> columns_;    // n x (1 + kept): the series' rest, orthonormal regressors
    std::vector<double> raw_;        // n_original x all, before differencing
    std::vector<double> triangle_;   // column j, kept in all: kept raw column j = sum Q_i t_ij
    std::vector<double> explained_;  // of the series by the orthonormal columns, in its own units
    std::vector<int> pivots_;        // column of the triangle of each raw column, -1: collinear

    ArmaFilter filter_;
    LeastSquaresSearch search_;
    ArimaOrder current_{.p = -1};
    bool exact_ = true;
    std::vector<double> work_, beta_, gram_;
    double sum_ = 0;  // of squared standardised innovations
};

}  // namespace many::core
