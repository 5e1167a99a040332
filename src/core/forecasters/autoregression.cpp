#include "core/forecasters/autoregression.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/forecasters/triangular_regression.h"

namespace many::core {

namespace {

// Residuals below this share of the series are rounding: a fit that leaves no more is exact.
constexpr double kExact = 1e-14;

// What is subtracted from a column, and the power of two it is divided by then.
struct Scaling {
    double centre = 0;
    int exponent = 0;

    [[nodiscard]] double apply(double v) const noexcept {
        return std::ldexp(v, -exponent) - centre;
    }
    // False when a value is not finite.
    bool of(std::span<const double> values) noexcept {
        double largest = 0, sum = 0;
        for (const double v : values) {
            if (!std::isfinite(v)) return false;
            largest = std::max(largest, std::abs(v));
        }
        if (largest > 0) (void)std::frexp(largest, &exponent);
        for (const double v : values) sum += std::ldexp(v, -exponent);
        centre = values.empty() ? 0 : sum / static_cast<double>(values.size());
        return true;
    }
};

class AutoregressionFitter {
  public:
    AutoregressionFitter(const SeriesView& series, const AutoregressionOptions& options,
                         const StopSignal& stop, AutoregressionFit& out)
        : options_(options), stop_(stop), out_(out), y_(series.y), n_(series.size()) {
        if (options.seasonal) {
            if (options.season_lengths.empty()) {
                seasons_ = {&series.season_length, 1};
            } else {
                seasons_ = options.season_lengths;
            }
        }
    }

    ForecastStatus fit();

  private:
    // A model: lags 1 .. n_lags and the first n_seasonal of seasonal_.
    struct Choice {
        int n_lags = 0;
        std::size_t n_seasonal = 0;
    };

    bool scale();
    void list_seasonal_lags();
    ForecastStatus choose(Choice& choice);
    ForecastStatus fit_choice(const Choice& choice);
    bool fold_rows(const std::vector<int>& lags, int first, TriangularFactor& factor) const;
    [[nodiscard]] double criterion(const TriangularRegression& regression, int rows) const;
    [[nodiscard]] std::vector<int> lags_of(const Choice& choice) const;
    void write(const TriangularRegression& regression, int rows);
    [[nodiscard]] double exact_sum(int rows) const noexcept { return rows * kExact * kExact; }

    const AutoregressionOptions& options_;
    const StopSignal& stop_;
    AutoregressionFit& out_;
    std::span<const double> y_;
    int n_;
    std::span<const int> seasons_;
    std::vector<int> seasonal_;  // candidates, in their order
    std::vector<double> z_;      // y scaled
    Scaling y_scaling_;
    std::vector<Scaling> x_scaling_;
};

bool AutoregressionFitter::scale() {
    if (!y_scaling_.of(y_)) return false;
    z_.resize(y_.size());
    std::transform(y_.begin(), y_.end(), z_.begin(), [&](double v) { return y_scaling_.apply(v); });
    x_scaling_.resize(static_cast<std::size_t>(options_.n_regressors));
    for (std::size_t c = 0; c < x_scaling_.size(); ++c) {
        if (!x_scaling_[c].of(options_.regressors.subspan(c * y_.size(), y_.size()))) return false;
    }
    return true;
}

void AutoregressionFitter::list_seasonal_lags() {
    const auto add = [&](std::int64_t lag, std::int64_t least) {
        if (lag > 1 && n_ >= least &&
            std::find(seasonal_.begin(), seasonal_.end(), lag) == seasonal_.end())
            seasonal_.push_back(static_cast<int>(lag));
    };
    for (const std::int64_t m : seasons_) add(m, 3 * m);
    if (!seasons_.empty()) {
        const std::int64_t m = seasons_.front();
        add(m > 1 ? 2 * m : 0, 5 * m);
    }
}

std::vector<int> AutoregressionFitter::lags_of(const Choice& choice) const {
    std::vector<int> lags;
    for (int i = 1; i <= choice.n_lags; ++i) lags.push_back(i);
    for (std::size_t s = 0; s < choice.n_seasonal; ++s) {
        if (seasonal_[s] > choice.n_lags) lags.push_back(seasonal_[s]);
    }
    std::sort(lags.begin(), lags.end());
    return lags;
}

// Columns: 1, the regressors, the lags, the target; rows of the observations from `first` on.
bool AutoregressionFitter::fold_rows(const std::vector<int>& lags, int first,
                                     TriangularFactor& factor) const {
    const std::size_t stride = factor.stride(), n = y_.size();
    for (std::size_t t = static_cast<std::size_t>(first); t < n; ++t) {
        double* cell = factor.next_row();
        *cell = 1;
        for (std::size_t c = 0; c < x_scaling_.size(); ++c)
            *(cell += stride) = x_scaling_[c].apply(options_.regressors[c * n + t]);
        for (const int lag : lags) *(cell += stride) = z_[t - static_cast<std::size_t>(lag)];
        cell[stride] = z_[t];
        if (factor.commit() && stop_.poll() != FitStatus::ok) return false;
    }
    factor.finish();
    return stop_.poll() == FitStatus::ok;
}

// AICc, up to a constant; infinite where there are too few rows.
double AutoregressionFitter::criterion(const TriangularRegression& regression, int rows) const {
    const double n = rows, k = regression.rank() + 1, rest = n - k - 1;
    if (rest <= 0) return std::numeric_limits<double>::infinity();
    const double sum = std::max(regression.residual_sum(), exact_sum(rows));
    return n * std::log(sum / n) + 2 * k + 2 * k * (k + 1) / rest;
}

ForecastStatus AutoregressionFitter::choose(Choice& choice) {
    const bool given = options_.n_lags > 0;
    const int most =
        given ? options_.n_lags
              : std::min(static_cast<int>(10 * std::log10(static_cast<double>(n_))), n_ / 4);
    choice = {given ? most : 0, 0};
    if (given && seasonal_.empty()) return ForecastStatus::ok;
    const std::vector<int> lags = lags_of({most, seasonal_.size()});
    const int first = lags.empty() ? 0 : lags.back();
    if (n_ - first < 3) return ForecastStatus::ok;
    const std::size_t base = 1 + x_scaling_.size();
    TriangularFactor factor(base + lags.size() + 1);
    if (!fold_rows(lags, first, factor)) return ForecastStatus::stopped;

    double best = std::numeric_limits<double>::infinity();
    for (std::size_t s = 0; s <= seasonal_.size(); ++s) {
        TriangularRegression regression(factor);
        for (std::size_t c = 0; c < base; ++c) regression.add(c);
        const auto add_lag = [&](int lag) {
            const auto place = std::lower_bound(lags.begin(), lags.end(), lag) - lags.begin();
            regression.add(base + static_cast<std::size_t>(place));
        };
        for (std::size_t i = 0; i < s; ++i) add_lag(seasonal_[i]);
        for (int p = 0; p <= most; ++p) {
            if (p > 0) add_lag(p);  // a second time: collinear
            if (stop_.poll() != FitStatus::ok) return ForecastStatus::stopped;
            if (given && p < most) continue;
            const double value = criterion(regression, n_ - first);
            if (value >= best) continue;
            best = value;
            choice = {p, s};
        }
    }
    return ForecastStatus::ok;
}

// From the scaled columns to those of the data.
void AutoregressionFitter::write(const TriangularRegression& regression, int rows) {
    std::vector<double> b, factors;
    regression.solve(b, factors);
    const std::size_t n_x = x_scaling_.size(), n_lags = out_.lags.size();
    const double sum = regression.residual_sum() > exact_sum(rows) ? regression.residual_sum() : 0;
    const double sigma = std::sqrt(sum / (rows - regression.rank()));
    const int to_y = y_scaling_.exponent;

    // The intercept takes up what was subtracted: a weighted sum of the coefficients.
    std::vector<double> weights(b.size(), -y_scaling_.centre);
    weights[0] = 1;
    out_.regressor_coefficients.resize(n_x);
    out_.regressor_std_errors.resize(n_x);
    for (std::size_t c = 0; c < n_x; ++c) {
        const int exponent = to_y - x_scaling_[c].exponent;
        out_.regressor_coefficients[c] = std::ldexp(b[1 + c], exponent);
        out_.regressor_std_errors[c] = std::ldexp(sigma * factors[1 + c], exponent);
        weights[1 + c] = -x_scaling_[c].centre;
    }
    out_.coefficients.assign(b.end() - static_cast<std::ptrdiff_t>(n_lags), b.end());
    out_.std_errors.assign(factors.end() - static_cast<std::ptrdiff_t>(n_lags), factors.end());
    for (double& s : out_.std_errors) s *= sigma;
    double intercept = y_scaling_.centre;
    for (std::size_t c = 0; c < b.size(); ++c) {
        if (!std::isnan(b[c])) intercept += weights[c] * b[c];
    }
    out_.intercept = std::ldexp(intercept, to_y);
    out_.intercept_std_error = std::ldexp(sigma * regression.factor_of(weights), to_y);

    FitSummary& s = out_.summary;
    const double n = rows, k = regression.rank() + 1, rest = n - k - 1;
    s.n_parameters = regression.rank() + 1;
    s.sigma2 = std::ldexp(sigma * sigma, 2 * to_y);
    if (sum > 0) {
        const double log_variance = std::log(sum / n) + 2 * to_y * std::numbers::ln2;
        s.log_likelihood = -n / 2 * (std::log(2 * std::numbers::pi) + log_variance + 1);
        s.aic = 2 * k - 2 * s.log_likelihood;
        s.aicc = rest > 0 ? s.aic + 2 * k * (k + 1) / rest : FitSummary::kNone;
        s.bic = k * std::log(n) - 2 * s.log_likelihood;
    }
}

ForecastStatus AutoregressionFitter::fit_choice(const Choice& choice) {
    out_.lags = lags_of(choice);
    out_.n_lags = choice.n_lags;
    const int first = out_.lags.empty() ? 0 : out_.lags.back(), rows = n_ - first;
    if (rows < 2) return ForecastStatus::too_short;
    const std::size_t columns = 1 + x_scaling_.size() + out_.lags.size();
    TriangularFactor factor(columns + 1);
    if (!fold_rows(out_.lags, first, factor)) return ForecastStatus::stopped;
    TriangularRegression regression(factor);
    for (std::size_t c = 0; c < columns; ++c) {
        regression.add(c);
        if (stop_.poll() != FitStatus::ok) return ForecastStatus::stopped;
    }
    if (rows <= regression.rank()) return ForecastStatus::too_short;
    out_.n_used = rows;
    out_.last.assign(y_.end() - first, y_.end());
    write(regression, rows);
    bool finite = std::isfinite(out_.intercept);
    for (const double b : out_.regressor_coefficients) finite = finite && !std::isinf(b);
    return finite ? ForecastStatus::ok : ForecastStatus::overflow;
}

ForecastStatus AutoregressionFitter::fit() {
    out_.n = n_;
    if (options_.n_lags < 0 || options_.n_lags > AutoregressionOptions::kMaxLags)
        return ForecastStatus::not_admissible;
    if (n_ < 2 || n_ - options_.n_lags < 2) return ForecastStatus::too_short;
    if (!scale()) return ForecastStatus::overflow;
    list_seasonal_lags();
    Choice choice;
    if (const ForecastStatus s = choose(choice); s != ForecastStatus::ok) return s;
    return fit_choice(choice);
}

}  // namespace

ForecastStatus fit_autoregression(const SeriesView& series, const AutoregressionOptions& options,
                                  const StopSignal& stop, AutoregressionFit& out) {
    out = {};
    const ForecastStatus status = AutoregressionFitter(series, options, stop, out).fit();
    out.summary.status = status;
    return status;
}

ForecastStatus forecast_autoregression(const AutoregressionFit& fit, std::span<const double> future,
                                       const ForecastOut& out) {
    const std::size_t h = out.mean.size(), n_lags = fit.lags.size();
    if (fit.n_used == 0 || future.size() < h * fit.regressor_coefficients.size())
        return ForecastStatus::not_admissible;
    std::vector<double> psi(h);
    double squares = 0;
    bool finite = true;
    for (std::size_t t = 0; t < h; ++t) {
        double mean = fit.intercept, weight = t == 0 ? 1 : 0;
        for (std::size_t i = 0; i < n_lags; ++i) {
            const double phi = fit.coefficients[i];
            if (std::isnan(phi)) continue;
            const std::size_t lag = static_cast<std::size_t>(fit.lags[i]);
            mean += phi * (lag > t ? fit.last[fit.last.size() + t - lag] : out.mean[t - lag]);
            if (lag <= t) weight += phi * psi[t - lag];
        }
        for (std::size_t c = 0; c < fit.regressor_coefficients.size(); ++c) {
            const double b = fit.regressor_coefficients[c];
            if (!std::isnan(b)) mean += b * future[c * h + t];
        }
        psi[t] = weight;
        squares += weight * weight;
        out.mean[t] = mean;
        const double variance = fit.summary.sigma2 * squares;
        out.variance[t] = std::isfinite(variance) ? variance : FitSummary::kNone;
        finite = finite && std::isfinite(mean);
    }
    return finite ? ForecastStatus::ok : ForecastStatus::overflow;
}

bool autoregression_one_step(const AutoregressionFit& fit, std::span<const double> y,
                             std::span<const double> regressors, std::span<double> fitted) {
    const std::size_t n = y.size(), first = fit.last.size();
    if (regressors.size() < n * fit.regressor_coefficients.size()) return false;
    for (std::size_t t = 0; t < n; ++t) {
        fitted[t] = FitSummary::kNone;
        if (t < first) continue;
        double mean = fit.intercept;
        for (std::size_t i = 0; i < fit.lags.size(); ++i) {
            if (std::isnan(fit.coefficients[i])) continue;
            mean += fit.coefficients[i] * y[t - static_cast<std::size_t>(fit.lags[i])];
        }
        for (std::size_t c = 0; c < fit.regressor_coefficients.size(); ++c) {
            const double b = fit.regressor_coefficients[c];
            if (!std::isnan(b)) mean += b * regressors[c * n + t];
        }
        fitted[t] = mean;
    }
    return true;
}

bool update_autoregression(AutoregressionFit& fit, std::span<const double> y) {
    if (!std::all_of(y.begin(), y.end(), [](double v) { return std::isfinite(v); })) return false;
    const std::size_t keep = fit.last.size();
    fit.last.insert(fit.last.end(), y.begin(), y.end());
    fit.last.erase(fit.last.begin(), fit.last.end() - static_cast<std::ptrdiff_t>(keep));
    fit.n += static_cast<int>(y.size());
    return true;
}

}  // namespace many::core
