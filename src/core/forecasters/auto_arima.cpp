// ARIMA with orders chosen by the series: see the header.
#include "core/forecasters/auto_arima.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "core/forecasters/arima_estimator.h"
#include "core/forecasters/unit_roots.h"

namespace many::core {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLeastRoot = 1.01;
constexpr double kSearchTolerance = 1e-8, kFinalTolerance = 1e-11, kRoughTolerance = 1e-4;
constexpr int kMostTerms = 20, kMostSeasonalTerms = 10;
constexpr int kRefined = 4;  // models of an approximate search that are fitted exactly

struct Candidate {
    ArimaOrder order;
    bool constant = false;
    double criterion = kInfinity;
    std::vector<double> free;

    [[nodiscard]] bool same_model(const ArimaOrder& o, bool c) const noexcept {
        return order == o && constant == c;
    }
};

// Free parameters of the terms that both orders have, 0 for the others: of the same model, where
// `to` contains it.
std::vector<double> embed(const Candidate& from, const ArimaOrder& to) {
    std::vector<double> free(static_cast<std::size_t>(to.n_arma()), 0.0);
    const ArimaOrder& o = from.order;
    const int have[] = {o.p, o.q, o.P, o.Q}, want[] = {to.p, to.q, to.P, to.Q};
    std::size_t source = 0, target = 0;
    for (int part = 0; part < 4; ++part) {
        for (int i = 0; i < std::min(have[part], want[part]); ++i) {
            free[target + static_cast<std::size_t>(i)] =
                from.free[source + static_cast<std::size_t>(i)];
        }
        source += static_cast<std::size_t>(have[part]);
        target += static_cast<std::size_t>(want[part]);
    }
    return free;
}

class StepwiseSearch {
  public:
    StepwiseSearch(const SeriesView& series, const AutoArimaOptions& options,
                   const StopSignal& stop)
        : series_(series), options_(options), stop_(stop) {}

    AutoArimaFit run();

  private:
    ForecastStatus choose_differences();
    void set_limits();
    void start();
    void refine();
    bool try_neighbour();
    // True if the model is new and better than the best, which it then is.
    bool try_model(ArimaOrder order, bool constant);
    Candidate estimate(const ArimaOrder& order, bool constant, bool approximate);
    double criterion(double minus_2_loglik, int n, int n_parameters) const noexcept;
    ArimaEstimator& estimator(bool constant);
    void fit_plain(bool constant);
    void finish();

    SeriesView series_;
    const AutoArimaOptions& options_;
    const StopSignal& stop_;
    ArimaOrder base_;  // d, D, m
    int max_p_ = 0, max_q_ = 0, max_seasonal_p_ = 0, max_seasonal_q_ = 0;
    bool allow_constant_ = false, approximate_ = false, stopped_ = false;
    bool walk_constant_ = false;
    std::optional<ArimaEstimator> estimators_[2];
    ForecastStatus prepared_[2] = {};
    std::vector<Candidate> tried_;
    Candidate best_;
    AutoArimaFit result_;
};

ArimaEstimator& StepwiseSearch::estimator(bool constant) {
    std::optional<ArimaEstimator>& e = estimators_[constant ? 1 : 0];
    if (!e) {
        e.emplace();
        prepared_[constant ? 1 : 0] =
            e->prepare(series_, base_, constant, options_.regressors, options_.n_regressors);
    }
    return *e;
}

ForecastStatus StepwiseSearch::choose_differences() {
    std::vector<double> x(series_.y.begin(), series_.y.end());
    base_.m = options_.seasonal ? std::max(1, series_.season_length) : 1;
    if (options_.n_regressors > 0) {
        ArimaEstimator whole;
        const ForecastStatus s =
            whole.prepare(series_, base_, true, options_.regressors, options_.n_regressors);
        if (s != ForecastStatus::ok) return s;
        x.assign(whole.rest().begin(), whole.rest().end());
    }
    const int n = static_cast<int>(x.size());
    if (base_.m == 1) {
        base_.D = 0;
    } else if (options_.seasonal_d >= 0) {
        base_.D = options_.seasonal_d;
    } else if (n > 2 * base_.m && options_.max_seasonal_d > 0) {
        base_.D = count_seasonal_differences({x, base_.m});
    }
    if (!base_.valid()) return ForecastStatus::not_admissible;
    const std::vector<double> after = difference(x, base_);
    base_.d = options_.d >= 0 ? options_.d : count_differences(after, options_.max_d);
    if (!base_.valid()) return ForecastStatus::not_admissible;
    return n > base_.n_lost() ? ForecastStatus::ok : ForecastStatus::too_short;
}

void StepwiseSearch::set_limits() {
    const int n = series_.size();
    const auto within = [](int wanted, int room, int most) {
        return std::max(0, std::min({wanted, room, most}));
    };
    max_p_ = within(options_.max_p, n / 3, kMostTerms);
    max_q_ = within(options_.max_q, n / 3, kMostTerms);
    const int cycles = base_.m > 1 ? n / 3 / base_.m : 0;
    const int lags = (ArimaOrder::kMaxLag - kMostTerms) / base_.m;
    max_seasonal_p_ = within(options_.max_seasonal_p, cycles, std::min(lags, kMostSeasonalTerms));
    max_seasonal_q_ = within(options_.max_seasonal_q, cycles, std::min(lags, kMostSeasonalTerms));
    allow_constant_ = options_.constant && base_.d + base_.D <= 1;
    approximate_ = options_.approximation == Approximation::always ||
                   (options_.approximation == Approximation::by_size && (n > 150 || base_.m > 12));
}

double StepwiseSearch::criterion(double minus_2_loglik, int n, int n_parameters) const noexcept {
    const double k = n_parameters;
    // Too few values for the correction: R does the same.
    const Criterion by = series_.size() <= 3 && options_.criterion == Criterion::aicc
                             ? Criterion::aic
                             : options_.criterion;
    switch (by) {
        case Criterion::aic:
            return minus_2_loglik + 2 * k;
        case Criterion::bic:
            return minus_2_loglik + std::log(n) * k;
        case Criterion::aicc:
            break;
    }
    return n - k - 1 > 0 ? minus_2_loglik + 2 * k * n / (n - k - 1) : kInfinity;
}

bool roots_far_enough(const ArimaOrder& o, std::span<const double> free) {
    std::vector<double> c = ArimaEstimator::coefficients(o, free);
    const double seasonal = std::pow(kLeastRoot, o.m);
    const std::span<double> all = c;
    const auto part = [&all](int from, int count) {
        return all.subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(count));
    };
    for (double& ma : part(o.p, o.q)) ma = -ma;
    for (double& ma : part(o.p + o.q + o.P, o.Q)) ma = -ma;
    return roots_outside(part(0, o.p), kLeastRoot) && roots_outside(part(o.p, o.q), kLeastRoot) &&
           roots_outside(part(o.p + o.q, o.P), seasonal) &&
           roots_outside(part(o.p + o.q + o.P, o.Q), seasonal);
}

Candidate StepwiseSearch::estimate(const ArimaOrder& order, bool constant, bool approximate) {
    Candidate candidate{order, constant, kInfinity, {}};
    candidate.free.assign(static_cast<std::size_t>(order.n_arma()), 0.0);
    ArimaEstimator& e = estimator(constant);
    const int n = e.n_used(), k = order.n_arma() + e.n_kept() + 1;
    if (prepared_[constant ? 1 : 0] != ForecastStatus::ok || n < k || e.exact_already()) {
        return candidate;
    }
    const ArmaEstimate rough =
        e.conditional(order, approximate ? kSearchTolerance : kRoughTolerance, stop_);
    stopped_ = stopped_ || rough.status == ForecastStatus::stopped;
    if (stopped_) return candidate;
    if (approximate) {
        if (rough.status != ForecastStatus::ok) return candidate;
        candidate.free = rough.free;
        // The likelihood's other terms are taken to be those of white noise.
        candidate.criterion = criterion(e.minus_2_loglik(rough.conditional), n, k);
    } else {
        std::vector<double> from = candidate.free;
        double least = kInfinity;
        if (rough.status == ForecastStatus::ok) {
            if (ArimaEstimator::at_border(order, rough.free)) return candidate;
            from = ArimaEstimator::inside(order, rough.free);
            least = e.objective(order, from);
        }
        if (!best_.free.empty() || best_.order.n_arma() > 0) {
            std::vector<double> warm = embed(best_, order);
            if (e.objective(order, warm) < least) from = std::move(warm);
        }
        ArmaEstimate found = e.exact(order, from, kSearchTolerance, stop_);
        stopped_ = stopped_ || found.status == ForecastStatus::stopped;
        if (stopped_) return candidate;
        candidate.free = std::move(found.free);
        candidate.criterion = criterion(e.minus_2_loglik(found.objective), n, k);
    }
    if (!std::isfinite(candidate.criterion) || !roots_far_enough(order, candidate.free)) {
        candidate.criterion = kInfinity;
    }
    return candidate;
}

bool StepwiseSearch::try_model(ArimaOrder order, bool constant) {
    order.d = base_.d;
    order.D = base_.D;
    order.m = base_.m;
    if (stopped_ || result_.n_models >= options_.max_models) return false;
    for (const Candidate& c : tried_) {
        if (c.same_model(order, constant)) return false;
    }
    ++result_.n_models;
    tried_.push_back(estimate(order, constant, approximate_));
    if (!(tried_.back().criterion < best_.criterion)) return false;
    best_ = tried_.back();
    return true;
}

void StepwiseSearch::start() {
    const bool c = walk_constant_ = allow_constant_;
    const int P = std::min(1, max_seasonal_p_), Q = std::min(1, max_seasonal_q_);
    try_model({.p = std::min(2, max_p_), .q = std::min(2, max_q_), .P = P, .Q = Q}, c);
    try_model({}, c);
    try_model({.p = std::min(1, max_p_), .P = P}, c);
    try_model({.q = std::min(1, max_q_), .Q = Q}, c);
    if (c) try_model({}, false);
}

bool StepwiseSearch::try_neighbour() {
    static constexpr int kSteps[][2] = {{-1, 0},  {0, -1}, {1, 0},  {0, 1},
                                        {-1, -1}, {-1, 1}, {1, -1}, {1, 1}};
    const ArimaOrder o = best_.order;
    const bool c = walk_constant_;
    const auto within = [](int x, int most) { return x >= 0 && x <= most; };
    for (const auto& step : kSteps) {
        ArimaOrder next = o;
        next.P += step[0];
        next.Q += step[1];
        if (within(next.P, max_seasonal_p_) && within(next.Q, max_seasonal_q_) &&
            try_model(next, c)) {
            return true;
        }
    }
    for (const auto& step : kSteps) {
        ArimaOrder next = o;
        next.p += step[0];
        next.q += step[1];
        if (within(next.p, max_p_) && within(next.q, max_q_) && try_model(next, c)) return true;
    }
    if (!allow_constant_ || !try_model(o, !c)) return false;
    walk_constant_ = !c;
    return true;
}

// Exact likelihoods of the best of an approximate search.
void StepwiseSearch::refine() {
    std::stable_sort(tried_.begin(), tried_.end(), [](const Candidate& a, const Candidate& b) {
        return a.criterion < b.criterion;
    });
    Candidate best;
    int refined = 0;
    for (const Candidate& c : tried_) {
        if (refined == kRefined || !std::isfinite(c.criterion)) break;
        best_ = c;
        best_.free = ArimaEstimator::inside(c.order, c.free);
        Candidate exact = estimate(c.order, c.constant, false);
        if (!std::isfinite(exact.criterion)) continue;
        ++refined;
        if (exact.criterion < best.criterion) best = std::move(exact);
    }
    best_ = best;
}

// (0, d, 0)(0, D, 0): where there is nothing to search.
void StepwiseSearch::fit_plain(bool constant) {
    ArimaOptions o;
    o.order = base_;
    o.constant = constant;
    o.regressors = options_.regressors;
    o.n_regressors = options_.n_regressors;
    o.std_errors = options_.std_errors;
    result_.fit = fit_arima({series_.y, base_.m}, o, stop_);
}

void StepwiseSearch::finish() {
    ArimaEstimator& e = estimator(best_.constant);
    const ArmaEstimate found = e.exact(best_.order, best_.free, kFinalTolerance, stop_);
    ArimaFit& fit = result_.fit;
    fit.order = best_.order;
    fit.has_constant = best_.constant;
    fit.n_regressors = options_.n_regressors;
    fit.summary.status = found.status;
    if (found.status == ForecastStatus::stopped) return;
    const std::vector<double> arma = ArimaEstimator::coefficients(best_.order, found.free);
    if (!e.finish(series_, arma, options_.std_errors, stop_, fit)) {
        fit.summary.status = ForecastStatus::overflow;
    }
}

AutoArimaFit StepwiseSearch::run() {
    FitSummary& summary = result_.fit.summary;
    for (const double v : series_.y) {
        if (!std::isfinite(v)) summary.status = ForecastStatus::overflow;
    }
    if (series_.y.empty()) summary.status = ForecastStatus::too_short;
    if (options_.n_regressors < 0 ||
        options_.regressors.size() !=
            static_cast<std::size_t>(options_.n_regressors) * series_.y.size()) {
        summary.status = ForecastStatus::not_admissible;
    }
    if (summary.status != ForecastStatus::ok) return result_;
    summary.status = choose_differences();
    if (summary.status != ForecastStatus::ok) return result_;
    set_limits();
    result_.approximated = approximate_;
    if (options_.n_regressors == 0 && is_constant(difference(series_.y, base_))) {
        fit_plain(allow_constant_);
        return result_;
    }
    start();
    while (try_neighbour()) {
    }
    if (approximate_ && !stopped_) refine();
    if (stopped_) {
        summary.status = ForecastStatus::stopped;
    } else if (std::isfinite(best_.criterion)) {
        finish();
    } else {
        fit_plain(allow_constant_);
        if (result_.fit.summary.status == ForecastStatus::too_short) fit_plain(false);
    }
    return result_;
}

}  // namespace

AutoArimaFit fit_auto_arima(const SeriesView& series, const AutoArimaOptions& options,
                            const StopSignal& stop) {
    return StepwiseSearch(series, options, stop).run();
}

}  // namespace many::core
