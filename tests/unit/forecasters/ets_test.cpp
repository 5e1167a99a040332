#include "core/forecasters/ets.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "core/forecasters/ets_kernel.h"
#include "core/forecasters/ets_optimiser.h"
#include "core/forecasters/ets_region.h"

namespace many::core {
namespace {

using Doubles = std::vector<double>;

EtsForm form_of(const char* name) {
    EtsForm form;
    EXPECT_TRUE(EtsForm::parse(name, form)) << name;
    return form;
}

std::vector<EtsForm> all_forms() {
    std::vector<EtsForm> out;
    for (const char* e : {"A", "M"}) {
        for (const char* t : {"N", "A", "Ad", "M", "Md"}) {
            for (const char* s : {"N", "A", "M"}) {
                out.push_back(form_of((std::string(e) + t + s).c_str()));
            }
        }
    }
    return out;
}

// Trend, season and noise; all positive.
Doubles made_series(int n, int m, unsigned seed, double noise = 3) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> gauss(0, noise);
    Doubles y;
    for (int t = 0; t < n; ++t) {
        y.push_back(100 + 0.5 * t + 10 * std::sin(2 * 3.141592653589793 * t / m) + gauss(random));
    }
    return y;
}

TEST(Ets, names_are_read_and_written) {
    for (const EtsForm& form : all_forms()) EXPECT_EQ(form_of(form.name().c_str()), form);
    EtsForm form;
    for (const char* bad : {"", "AA", "ANNN", "NdN", "AXN", "ZZZ", "ANdN"}) {
        EXPECT_FALSE(EtsForm::parse(bad, form)) << bad;
    }
    EXPECT_EQ(form_of("MAdM").n_parameters(12), 4 + 2 + 11);
}

// y = 10, 12, 11; l0 = 10, alpha = 0.5: mu = 10, 10, 11; e = 0, 2, 0; l = 10, 11, 11.
TEST(Ets, simple_smoothing_by_hand) {
    const Doubles y = {10, 12, 11};
    EtsParameters p;
    p.alpha = 0.5;
    EtsState state{10, 0, {}};
    EtsSums sums;
    Doubles fitted(3), residuals(3);
    ASSERT_EQ(filter_ets(EtsForm{}, p, y, state, fitted, residuals, sums), ForecastStatus::ok);
    EXPECT_EQ(fitted, (Doubles{10, 10, 11}));
    EXPECT_EQ(residuals, (Doubles{0, 2, 0}));
    EXPECT_EQ(sums.squares, 4);
    EXPECT_EQ(state.level, 11);
}

// Holt's method: forecasts l + h b; variance sigma2 (1 + (alpha + beta)^2 + (alpha + 2 beta)^2).
TEST(Ets, forecasts_of_a_trend_by_hand) {
    EtsFit fit;
    fit.form = form_of("AAN");
    fit.parameters = {0.5, 0.1, FitSummary::kNone, FitSummary::kNone};
    fit.last = {10, 2, {}};
    fit.summary.sigma2 = 4;
    Doubles mean(3), variance(3);
    ASSERT_EQ(forecast_ets(fit, {mean, variance}), ForecastStatus::ok);
    EXPECT_EQ(mean, (Doubles{12, 14, 16}));
    EXPECT_DOUBLE_EQ(variance[2], 4 * (1 + 0.36 + 0.49));
}

// The recursions' derivatives against central differences of the objective, for every form.
TEST(Ets, derivatives_are_those_of_the_objective) {
    const int m = 4;
    Doubles y = made_series(30, m, 7);
    for (double& v : y) v /= 128;
    for (const EtsForm& form : all_forms()) {
        const EtsProblem problem{form, form.has_season() ? m : 1, y};
        Doubles p = {0.3, form.has_trend() ? 0.1 : 0, form.has_season() ? 0.2 : 0,
                     form.damped() ? 0.9 : 1, 0.8};
        if (form.has_trend()) p.push_back(form.multiplicative_trend() ? 1.01 : 0.004);
        for (int j = 1; form.has_season() && j < m; ++j) {
            p.push_back((form.season == EtsSeason::multiplicative ? 1 : 0) + 0.03 * j);
        }
        EtsDerivatives derivatives;
        ASSERT_TRUE(ets_derivatives(problem, p.data(), derivatives));
        Doubles season(m);
        const double n = static_cast<double>(y.size());
        for (std::size_t i = 0; i < p.size(); ++i) {
            const bool unused = (i == 1 && !form.has_trend()) || (i == 2 && !form.has_season()) ||
                                (i == 3 && !form.damped());
            if (unused) continue;
            const double step = 1e-6, at = p[i];
            p[i] = at + step;
            const double high = ets_objective(problem, p.data(), season.data());
            p[i] = at - step;
            const double low = ets_objective(problem, p.data(), season.data());
            p[i] = at;
            const double slope = 2 * n * derivatives.cross[i] / derivatives.sums.squares +
                                 2 * derivatives.log_slope[i];
            EXPECT_NEAR((high - low) / (2 * step), slope, 1e-4 * (1 + std::fabs(slope)))
                << form.name() << " " << i;
        }
    }
}

// Cohn's criterion against the roots that one can see: m = 2, gamma = 0 splits off z + 1.
TEST(Ets, admissible_region) {
    const EtsForm seasonal = form_of("AAA");
    EXPECT_TRUE(is_admissible(seasonal, 0.3, 0.1, 0.2, 1, 12));
    EXPECT_TRUE(is_admissible(form_of("ANA"), 0.9, 0, 0.1, 1, 12));
    EXPECT_TRUE(is_admissible(seasonal, 0.5, 0.0001, 0.2, 1, 100));  // beyond the small buffer
    // Response to an old error grows: the errors of a filter with these parameters explode.
    EXPECT_FALSE(is_admissible(seasonal, 0.9, 0.9, 0.0001, 1, 12));
    EXPECT_FALSE(is_admissible(seasonal, 0.9, 0.9, 0.0001, 1, 100));
    const auto explodes = [&](double alpha, double beta, double gamma, double phi) {
        EtsState state{1, 0, Doubles(4, 0.0)};
        state.seasonal[1] = 1;
        EtsSums sums;
        const Doubles y(4000, 0.0);
        Doubles residuals(y.size());
        const EtsParameters p{alpha, beta, gamma, phi};
        if (filter_ets(form_of("AAdA"), p, y, state, {}, residuals, sums) != ForecastStatus::ok) {
            return true;
        }
        return std::fabs(residuals.back()) > 1;
    };
    int inside = 0, outside = 0;
    for (double alpha = 0.1; alpha < 1; alpha += 0.2) {
        for (double beta = 0.05; beta <= alpha; beta += 0.15) {
            for (double gamma = 0.05; gamma <= 1 - alpha; gamma += 0.2) {
                for (const double phi : {0.8, 0.95}) {
                    const bool admissible =
                        is_admissible(form_of("AAdA"), alpha, beta, gamma, phi, 4);
                    EXPECT_EQ(admissible, !explodes(alpha, beta, gamma, phi))
                        << alpha << " " << beta << " " << gamma << " " << phi;
                    ++(admissible ? inside : outside);
                }
            }
        }
    }
    EXPECT_GT(inside, 10);
}

// A fit is a stationary point inside the bounds: no small move of a parameter or state is better.
TEST(Ets, fits_are_maxima) {
    const int m = 4;
    const Doubles y = made_series(60, m, 3);
    EtsWorkspace workspace;
    for (const EtsForm& form : all_forms()) {
        EtsFit fit;
        const ForecastStatus status = fit_ets({y, m}, form, {}, {}, workspace, fit);
        ASSERT_TRUE(status == ForecastStatus::ok || status == ForecastStatus::not_converged);
        EXPECT_TRUE(is_usable(form, fit.parameters, m)) << form.name();
        const auto likelihood = [&](const EtsParameters& p, EtsState state) {
            EtsSums sums;
            if (filter_ets(form, p, y, state, {}, {}, sums) != ForecastStatus::ok) return -1e300;
            return -0.5 * static_cast<double>(y.size()) * std::log(sums.squares) - sums.logs;
        };
        const double best = fit.summary.log_likelihood;
        EXPECT_NEAR(likelihood(fit.parameters, fit.initial), best, 1e-9 * std::fabs(best));
        for (const double step : {-1e-3, 1e-3}) {
            EtsState moved = fit.initial;
            moved.level *= 1 + step;
            EXPECT_LT(likelihood(fit.parameters, moved), best + 1e-3) << form.name();
            EtsParameters p = fit.parameters;
            p.alpha += step;
            if (is_usable(form, p, m) && p.alpha >= EtsBounds::kLow &&
                p.alpha <= EtsBounds::kHigh) {
                EXPECT_LT(likelihood(p, fit.initial), best + 1e-3) << form.name();
            }
            p = fit.parameters;
            p.gamma += step;
            if (form.has_season() && is_usable(form, p, m) && p.gamma >= EtsBounds::kLow) {
                EXPECT_LT(likelihood(p, fit.initial), best + 1e-3) << form.name();
            }
        }
    }
}

TEST(Ets, damped_holt_stays_near_a_smooth_trend) {
    std::vector<double> y;
    for (int t = 0; t < 14; ++t) y.push_back(100 + 9 * t - 0.25 * t * t + (t * t * 5 % 7) * 2);
    EtsForm form;
    ASSERT_TRUE(EtsForm::parse("AAdN", form));
    EtsWorkspace workspace;
    EtsFit fit, seasonal_fit, widest;
    ASSERT_EQ(fit_ets({y, 1}, form, damped_holt_options(), {}, workspace, fit), ForecastStatus::ok);
    EXPECT_EQ(fit.summary.n_parameters, 4);  // alpha, beta, phi, the variance
    EXPECT_EQ(fit.summary.status, ForecastStatus::ok);
    // The start is the line through the first ten values.
    double slope = 0, mean = 0;
    for (std::size_t i = 0; i < 10; ++i) {
        slope += (static_cast<double>(i) - 4.5) * y[i] / 82.5;
        mean += y[i] / 10;
    }
    EXPECT_NEAR(fit.initial.trend, slope, 1e-9);
    EXPECT_NEAR(fit.initial.level, mean - 5.5 * slope, 1e-9);
    // The maximum next to the start: no higher one in a small step, and never above the wide search.
    EtsOptions wide = damped_holt_options();
    wide.search = EtsOptions::Search::wide;
    ASSERT_EQ(fit_ets({y, 1}, form, wide, {}, workspace, widest), ForecastStatus::ok);
    EXPECT_LE(fit.summary.log_likelihood, widest.summary.log_likelihood + 1e-9);
    for (const double step : {-1e-3, 1e-3}) {
        EtsParameters p = fit.parameters;
        p.alpha += step;
        if (p.alpha > 0.9999 || p.alpha < p.beta) continue;
        EtsState state = fit.initial;
        EtsSums sums;
        ASSERT_EQ(filter_ets(form, p, y, state, {}, {}, sums), ForecastStatus::ok);
        EXPECT_LE(-7 * std::log(sums.squares), fit.summary.log_likelihood + 1e-9);
    }
    // A start outside of the region of a form is no reason to give up.
    EtsForm seasonal;
    ASSERT_TRUE(EtsForm::parse("AAA", seasonal));
    EtsOptions near;
    near.search = EtsOptions::Search::near;
    std::vector<double> waves;
    for (int t = 0; t < 40; ++t) waves.push_back(50 + t + 10 * (t % 4) + (t * 7 % 5));
    EXPECT_EQ(fit_ets({waves, 4}, seasonal, near, {}, workspace, seasonal_fit), ForecastStatus::ok);
}

TEST(Ets, given_parameters_stay) {
    const Doubles y = made_series(48, 12, 5);
    EtsOptions options;
    options.parameters.beta = 0.02;
    options.parameters.gamma = 0.05;
    EtsWorkspace workspace;
    EtsFit fit;
    ASSERT_EQ(fit_ets({y, 12}, form_of("AAA"), options, {}, workspace, fit), ForecastStatus::ok);
    EXPECT_EQ(fit.parameters.beta, 0.02);
    EXPECT_EQ(fit.parameters.gamma, 0.05);
    EXPECT_GE(fit.parameters.alpha, 0.02);
    EXPECT_EQ(fit.summary.n_parameters, 17 - 2);
    options.parameters.alpha = 0.01;  // less than beta
    EXPECT_EQ(fit_ets({y, 12}, form_of("AAA"), options, {}, workspace, fit),
              ForecastStatus::not_admissible);
}

TEST(Ets, states_move_on_without_refitting) {
    const Doubles y = made_series(60, 4, 11);
    EtsWorkspace workspace;
    for (const char* name : {"ANN", "AAdA", "MAM", "MMdM"}) {
        EtsFit fit;
        ASSERT_EQ(fit_ets({{y.data(), 51}, 4}, form_of(name), {}, {}, workspace, fit),
                  ForecastStatus::ok);
        EtsState whole = fit.initial;
        EtsSums sums;
        ASSERT_EQ(filter_ets(fit.form, fit.parameters, y, whole, {}, {}, sums), ForecastStatus::ok);
        ASSERT_EQ(update_ets(fit, {y.data() + 51, 2}), ForecastStatus::ok);
        ASSERT_EQ(update_ets(fit, {y.data() + 53, 7}), ForecastStatus::ok);
        EXPECT_EQ(fit.n, 60);
        EXPECT_NEAR(fit.last.level, whole.level, 1e-12 * whole.level);
        for (std::size_t j = 0; j < whole.seasonal.size(); ++j) {
            EXPECT_NEAR(fit.last.seasonal[j], whole.seasonal[j], 1e-10) << name;
        }
        const EtsState before = fit.last;
        const Doubles bad = {5, std::nan("")};
        EXPECT_EQ(update_ets(fit, bad), ForecastStatus::overflow);
        EXPECT_EQ(fit.last.level, before.level);
        EXPECT_EQ(fit.n, 60);
    }
}

// Analytic mean and variance against 40,000 paths of each class, trend and season on or off, damped.
TEST(Ets, moments_are_those_of_the_simulation) {
    const Doubles y = made_series(60, 4, 13, 8);
    EtsWorkspace workspace;
    constexpr int kPaths = 40000, kHorizon = 11;
    for (const char* name :
         {"ANN", "AAdN", "ANA", "AAA", "AAdA", "MNN", "MAN", "MNA", "MAdA", "MNM", "MAM", "MAdM"}) {
        EtsFit fit;
        EtsOptions options;
        options.parameters = {0.4, 0.1, 0.3, 0.85};
        const EtsForm form = form_of(name);
        ASSERT_EQ(fit_ets({y, 4}, form, options, {}, workspace, fit), ForecastStatus::ok) << name;
        if (form.error == EtsError::multiplicative) fit.summary.sigma2 = 0.01;
        Doubles mean(kHorizon), variance(kHorizon), paths(kPaths * kHorizon);
        ASSERT_EQ(forecast_ets(fit, {mean, variance}), ForecastStatus::ok);
        ASSERT_EQ(simulate_ets(fit, kHorizon, kPaths, 42, paths), ForecastStatus::ok);
        for (std::size_t h = 0; h < kHorizon; ++h) {
            double sum = 0, squares = 0;
            for (std::size_t i = 0; i < kPaths; ++i) sum += paths[i * kHorizon + h];
            const double average = sum / kPaths;
            for (std::size_t i = 0; i < kPaths; ++i) {
                squares += std::pow(paths[i * kHorizon + h] - average, 2);
            }
            const double spread = squares / (kPaths - 1);
            EXPECT_NEAR(average, mean[h], 5 * std::sqrt(variance[h] / kPaths)) << name << h;
            EXPECT_NEAR(spread / variance[h], 1, 0.05) << name << " " << h;
        }
    }
}

TEST(Ets, classes_without_variance_say_so) {
    const Doubles y = made_series(60, 4, 13);
    EtsWorkspace workspace;
    EtsFit fit;
    ASSERT_EQ(fit_ets({y, 4}, form_of("MMN"), {}, {}, workspace, fit), ForecastStatus::ok);
    Doubles mean(5), variance(5), paths(50), again(50);
    ASSERT_EQ(forecast_ets(fit, {mean, variance}), ForecastStatus::ok);
    for (const double v : variance) EXPECT_TRUE(std::isnan(v));
    ASSERT_EQ(simulate_ets(fit, 5, 10, 1, paths), ForecastStatus::ok);
    ASSERT_EQ(simulate_ets(fit, 5, 10, 1, again), ForecastStatus::ok);
    EXPECT_EQ(paths, again);
    ASSERT_EQ(simulate_ets(fit, 5, 10, 2, again), ForecastStatus::ok);
    EXPECT_NE(paths, again);
}

TEST(Ets, choice_finds_the_structure) {
    EtsWorkspace workspace;
    EtsFit fit;
    ASSERT_EQ(choose_ets({made_series(120, 12, 1), 12}, {}, {}, workspace, fit),
              ForecastStatus::ok);
    EXPECT_TRUE(fit.form.has_season());
    EXPECT_TRUE(fit.form.has_trend());
    EtsOptions options;
    options.trend = false;
    options.additive_only = true;
    ASSERT_EQ(choose_ets({made_series(120, 12, 1), 12}, options, {}, workspace, fit),
              ForecastStatus::ok);
    EXPECT_EQ(fit.form, form_of("ANA"));
    ASSERT_EQ(choose_ets({made_series(120, 52, 1), 52}, {}, {}, workspace, fit),
              ForecastStatus::ok);
    EXPECT_FALSE(fit.form.has_season());  // too long a season
}

TEST(Ets, long_seasons_are_kept_and_their_trend_is_damped) {
    EtsWorkspace workspace;
    EtsFit fit;
    const Doubles y = made_series(240, 24, 3);
    ASSERT_EQ(choose_ets({y, 24}, {}, {}, workspace, fit), ForecastStatus::ok);
    EXPECT_TRUE(fit.form.has_season());
    EXPECT_TRUE(!fit.form.has_trend() || fit.form.damped());
    // The line is there for the taking, and a series of months takes it.
    EtsFit undamped;
    ASSERT_EQ(fit_ets({y, 24}, form_of("AAA"), {}, {}, workspace, undamped), ForecastStatus::ok);
    EXPECT_LT(undamped.summary.aicc, fit.summary.aicc);
    EtsOptions options;
    options.damped = false;
    ASSERT_EQ(choose_ets({y, 24}, options, {}, workspace, fit), ForecastStatus::ok);
    EXPECT_EQ(fit.form.trend, EtsTrend::additive);
    // Without a season to see, forms without one are in.
    ASSERT_EQ(choose_ets({Doubles(60, 7.0), 24}, {}, {}, workspace, fit), ForecastStatus::ok);
    EXPECT_FALSE(fit.form.has_season());
    ASSERT_EQ(choose_ets({made_series(20, 24, 3), 24}, {}, {}, workspace, fit), ForecastStatus::ok);
    EXPECT_FALSE(fit.form.has_season());
}

// Hours from 10 to some thousands, some of them a hundred times what the season says: relative errors that
// throw an undamped trend below zero from all starting values but the stillest.
TEST(Ets, multiplicative_forms_of_erratic_series) {
    std::mt19937_64 random(8);
    std::normal_distribution<double> gauss(0, 1);
    EtsWorkspace workspace;
    for (int i = 0; i < 10; ++i) {
        Doubles y;
        for (int t = 0; t < 240; ++t) {
            const double season = std::exp(4 + 1.5 * std::sin(2 * 3.141592653589793 * t / 24));
            y.push_back(std::round(10 + season * std::exp(2 * gauss(random))));
        }
        for (const char* form : {"MAM", "MAdM", "MNM"}) {
            for (const EtsOptions& options : {EtsOptions{}, holt_options()}) {
                EtsFit fit;
                EXPECT_EQ(fit_ets({y, 24}, form_of(form), options, {}, workspace, fit),
                          ForecastStatus::ok)
                    << form << i;
            }
        }
    }
}

TEST(Ets, scale_does_not_matter) {
    const Doubles y = made_series(48, 4, 17);
    EtsWorkspace workspace;
    EtsFit fit, scaled;
    ASSERT_EQ(choose_ets({y, 4}, {}, {}, workspace, fit), ForecastStatus::ok);
    Doubles big = y;
    for (double& v : big) v = std::ldexp(v, 900);
    ASSERT_EQ(choose_ets({big, 4}, {}, {}, workspace, scaled), ForecastStatus::ok);
    EXPECT_EQ(fit.form, scaled.form);
    EXPECT_EQ(fit.parameters.alpha, scaled.parameters.alpha);
    EXPECT_EQ(std::ldexp(fit.last.level, 900), scaled.last.level);
    EXPECT_NEAR(scaled.summary.log_likelihood,
                fit.summary.log_likelihood - 48 * 900 * std::log(2.0), 1e-6);
}

TEST(Ets, same_bits_every_time) {
    const Doubles y = made_series(60, 12, 19);
    EtsWorkspace one, two;
    EtsFit a, b;
    ASSERT_EQ(choose_ets({y, 12}, {}, {}, one, a), ForecastStatus::ok);
    ASSERT_EQ(fit_ets({made_series(40, 4, 1), 4}, form_of("MAM"), {}, {}, two, b),
              ForecastStatus::ok);  // leaves nothing in the scratch
    ASSERT_EQ(choose_ets({y, 12}, {}, {}, two, b), ForecastStatus::ok);
    EXPECT_EQ(a.form, b.form);
    EXPECT_EQ(std::memcmp(&a.parameters, &b.parameters, sizeof a.parameters), 0);
    EXPECT_EQ(a.last.seasonal, b.last.seasonal);
    EXPECT_EQ(a.summary.aicc, b.summary.aicc);
}

TEST(Ets, stops_when_told) {
    const volatile int flag = 1;
    StopSignal stop;
    stop.flag = &flag;
    EtsWorkspace workspace;
    EtsFit fit;
    EXPECT_EQ(choose_ets({made_series(60, 12, 19), 12}, {}, stop, workspace, fit),
              ForecastStatus::stopped);
}

// Statuses of series that have no such model; and never a forecast that is not a number.
TEST(Ets, degenerate_series) {
    const double inf = std::numeric_limits<double>::infinity();
    std::vector<Doubles> all = {{},
                                {5},
                                {5, 5},
                                {0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
                                Doubles(40, 7.0),
                                Doubles(40, -7.0),
                                Doubles(40, 1e300),
                                Doubles(40, 5e-324),
                                {inf, 1, 2, 3, 4, 5}};
    Doubles spike(40, 0.0), one_spike(40, 1.0), line, powers, wild;
    spike[17] = 1;
    one_spike[17] = 1e12;
    for (int t = 0; t < 40; ++t) {
        line.push_back(3 + 2 * t);
        powers.push_back(std::ldexp(1.0, 25 * t));
        wild.push_back(t % 2 == 0 ? 1e300 : 1e-300);
    }
    for (const Doubles& y : {spike, one_spike, line, powers, wild}) all.push_back(y);
    for (int n = 2; n <= 26; ++n) {
        Doubles y;
        for (int t = 0; t < n; ++t) y.push_back(1 + t % 3);
        all.push_back(y);
    }
    EtsWorkspace workspace;
    const auto check = [&](const EtsFit& fit, ForecastStatus status) {
        if (status != ForecastStatus::ok && status != ForecastStatus::not_converged) return;
        Doubles mean(30), variance(30);
        if (forecast_ets(fit, {mean, variance}) != ForecastStatus::ok) return;
        for (const double v : mean) EXPECT_TRUE(std::isfinite(v)) << fit.form.name();
        EXPECT_FALSE(std::isnan(fit.summary.sigma2)) << fit.form.name();
        const bool no_variance = fit.form.multiplicative_trend() ||
                                 (fit.form.season == EtsSeason::multiplicative &&
                                  (fit.form.error == EtsError::additive || fit.summary.sigma2 > 1));
        for (const double v : variance) EXPECT_TRUE(no_variance || v >= 0) << fit.form.name();
    };
    for (const Doubles& y : all) {
        for (const int m : {1, 4, 12}) {
            EtsFit fit;
            check(fit, choose_ets({y, m}, {}, {}, workspace, fit));
            for (const EtsForm& form : all_forms()) {
                check(fit, fit_ets({y, m}, form, {}, {}, workspace, fit));
            }
        }
    }
    EtsFit fit;
    EXPECT_EQ(choose_ets({{}, 1}, {}, {}, workspace, fit), ForecastStatus::too_short);
    const Doubles long_season(1500, 2.0);
    for (const int m : {0, 1, 401}) {
        EXPECT_EQ(fit_ets({long_season, m}, form_of("ANA"), {}, {}, workspace, fit),
                  ForecastStatus::not_admissible);
    }
    EXPECT_EQ(fit_ets({spike, 4}, form_of("MAM"), {}, {}, workspace, fit),
              ForecastStatus::not_positive);
    ASSERT_EQ(choose_ets({Doubles(40, 7.0), 4}, {}, {}, workspace, fit), ForecastStatus::ok);
    EXPECT_EQ(fit.form, EtsForm{});
    EXPECT_NEAR(fit.last.level, 7, 1e-12);
    ASSERT_EQ(choose_ets({line, 4}, {}, {}, workspace, fit), ForecastStatus::ok);
    Doubles mean(3), variance(3);
    ASSERT_EQ(forecast_ets(fit, {mean, variance}), ForecastStatus::ok);
    EXPECT_NEAR(mean[2], 3 + 2 * 42, 1e-3);
}

}  // namespace
}  // namespace many::core
