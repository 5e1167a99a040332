#include "core/forecasters/ces.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <limits>
#include <random>

namespace many::core {
namespace {

using Doubles = std::vector<double>;
using Complex = std::complex<double>;
constexpr CesForm kForms[] = {CesForm::none, CesForm::simple, CesForm::partial, CesForm::full};

// Trend, season of m and what looks like noise.
Doubles waves(int n, int m) {
    Doubles y;
    for (int t = 0; t < n; ++t) {
        y.push_back(100 + 0.4 * t + 12 * std::sin(2 * 3.141592653589793 * t / m) + (t * 7 % 5) -
                    (t * 11 % 7));
    }
    return y;
}

CesParameters parameters_of(CesForm form) {
    switch (form) {
        case CesForm::partial:
            return {1.4, 1.01, 0.3, FitSummary::kNone};
        case CesForm::full:
            return {1.4, 1.01, 1.3, 1.02};
        default:
            return {1.4, 1.01, FitSummary::kNone, FitSummary::kNone};
    }
}

bool has_season(CesForm form) {
    return form != CesForm::none;
}

// The method as it is defined, in complex numbers and with all of the past kept: what is to come is
// w (y + i e) + (1 + i - w) (what was foreseen). (Svetunkov et al. 2022, equation 5)
struct Definition {
    CesForm form;
    Complex a, b;
    std::size_t m;
    std::vector<Complex> level, season;  // foreseen: level[t], season[t] (before: season[t], t < m)
    Doubles fitted, errors;

    Definition(const CesFit& fit)
        : form(fit.form),
          a(fit.parameters.a0, fit.parameters.a1),
          b(fit.parameters.b0, fit.form == CesForm::full ? fit.parameters.b1 : 0),
          m(static_cast<std::size_t>(fit.season_length)) {
        if (form != CesForm::simple) level.emplace_back(fit.initial.level, fit.initial.potential);
        for (std::size_t j = 0; j < fit.initial.seasonal.size(); ++j) {
            season.emplace_back(fit.initial.seasonal[j],
                                form == CesForm::partial ? 0 : fit.initial.seasonal_potential[j]);
        }
    }
    static Complex next(Complex w, double seen, double error, Complex foreseen) {
        return w * Complex(seen, error) + (Complex(1, 1) - w) * foreseen;
    }
    double predict() const {
        const std::size_t t = fitted.size();
        double mu = form == CesForm::simple ? 0 : level[t].real();
        if (form != CesForm::none) mu += season[t].real();
        return mu;
    }
    void see(double y) {
        const std::size_t t = fitted.size();
        const double mu = predict(), error = y - mu;
        fitted.push_back(mu);
        errors.push_back(error);
        if (form != CesForm::simple) {
            level.push_back(next(a, level[t].real() + error, error, level[t]));
        }
        if (form == CesForm::partial) season.push_back(season[t] + b * error);
        if (form == CesForm::simple) season.push_back(next(a, y, error, season[t]));
        if (form == CesForm::full) {
            season.push_back(next(b, season[t].real() + error, error, season[t]));
        }
    }
    double squares() const {
        double sum = 0;
        for (const double e : errors) sum += e * e;
        return sum;
    }
};

CesFit fit_of(const Doubles& y, int m, CesForm form, const CesOptions& options = {}) {
    CesWorkspace workspace;
    CesFit fit;
    EXPECT_EQ(fit_ces({y, m}, form, options, {}, workspace, fit), ForecastStatus::ok)
        << ces_name(form);
    return fit;
}

TEST(Ces, names_are_read_and_written) {
    for (const CesForm form : kForms) {
        CesForm read = CesForm::none;
        EXPECT_TRUE(parse_ces(ces_name(form), read));
        EXPECT_EQ(read, form);
    }
    CesForm read = CesForm::full;
    EXPECT_FALSE(parse_ces("fully", read));
    EXPECT_FALSE(parse_ces("", read));
    EXPECT_EQ(read, CesForm::full);
}

TEST(Ces, one_step_by_hand) {
    CesState state;
    state.level = 10;
    state.potential = 4;
    const CesParameters p{1.5, 1.2, FitSummary::kNone, FitSummary::kNone};
    const Doubles y = {12, 9};
    Doubles fitted(2), residuals(2);
    ASSERT_EQ(filter_ces(CesForm::none, p, y, state, fitted, residuals), ForecastStatus::ok);
    EXPECT_DOUBLE_EQ(fitted[0], 10);
    EXPECT_DOUBLE_EQ(residuals[0], 2);
    // level 10 + 0.2 * 4 + 0.3 * 2 = 11.4, potential 10 - 0.5 * 4 + 2.7 * 2 = 13.4
    EXPECT_NEAR(fitted[1], 11.4, 1e-14);
    EXPECT_NEAR(residuals[1], -2.4, 1e-14);
    // level 11.4 + 0.2 * 13.4 - 0.3 * 2.4, potential 11.4 - 0.5 * 13.4 - 2.7 * 2.4
    EXPECT_NEAR(state.level, 13.36, 1e-13);
    EXPECT_NEAR(state.potential, -1.78, 1e-13);
}

TEST(Ces, filter_and_forecasts_are_those_of_the_definition) {
    const int m = 5;
    const Doubles y = waves(43, m);
    for (const CesForm form : kForms) {
        CesOptions options;
        options.parameters = parameters_of(form);
        for (const auto start : {CesOptions::Start::heuristic, CesOptions::Start::backcast}) {
            options.start = start;
            const CesFit fit = fit_of(y, m, form, options);
            Definition d(fit);
            for (const double v : y) d.see(v);
            CesState state = fit.initial;
            Doubles fitted(y.size()), residuals(y.size());
            ASSERT_EQ(filter_ces(form, fit.parameters, y, state, fitted, residuals),
                      ForecastStatus::ok);
            for (std::size_t t = 0; t < y.size(); ++t) {
                EXPECT_NEAR(fitted[t], d.fitted[t], 1e-9) << ces_name(form) << t;
                EXPECT_NEAR(residuals[t], d.errors[t], 1e-9);
            }
            const double n = static_cast<double>(y.size()), variance = d.squares() / n;
            EXPECT_NEAR(fit.summary.log_likelihood,
                        -n / 2 * (std::log(2 * 3.141592653589793 * variance) + 1), 1e-8);
            Doubles mean(13), variances(13);
            ASSERT_EQ(forecast_ces(fit, {mean, variances}), ForecastStatus::ok);
            for (const double v : mean) {
                EXPECT_NEAR(v, d.predict(), 1e-8) << ces_name(form);
                d.see(d.predict());
            }
        }
    }
}

// A value that is larger by 1 moves the forecasts by the responses.
TEST(Ces, variance_is_that_of_the_responses) {
    const int m = 4;
    const Doubles y = waves(40, m);
    for (const CesForm form : kForms) {
        const CesFit fit = fit_of(y, m, form);
        CesFit low = fit, high = fit;
        ASSERT_EQ(update_ces(low, Doubles{100}), ForecastStatus::ok);
        ASSERT_EQ(update_ces(high, Doubles{101}), ForecastStatus::ok);
        Doubles mean(12), variance(12), below(11), above(11), unused(11);
        ASSERT_EQ(forecast_ces(fit, {mean, variance}), ForecastStatus::ok);
        ASSERT_EQ(forecast_ces(low, {below, unused}), ForecastStatus::ok);
        ASSERT_EQ(forecast_ces(high, {above, unused}), ForecastStatus::ok);
        double squares = 1;
        EXPECT_DOUBLE_EQ(variance[0], fit.summary.sigma2);
        for (std::size_t h = 1; h < 12; ++h) {
            squares += (above[h - 1] - below[h - 1]) * (above[h - 1] - below[h - 1]);
            EXPECT_NEAR(variance[h], fit.summary.sigma2 * squares, 1e-8 * variance[h])
                << ces_name(form) << h;
        }
    }
}

TEST(Ces, fits_are_least_squares) {
    const int m = 4;
    const Doubles y = waves(60, m);
    for (const CesForm form : kForms) {
        const CesFit fit = fit_of(y, m, form);
        const auto squares = [&](const CesParameters& p) {
            CesFit moved = fit;
            moved.parameters = p;
            Definition d(moved);
            for (const double v : y) d.see(v);
            return d.squares();
        };
        const double least = squares(fit.parameters);
        const int k = form == CesForm::full ? 4 : form == CesForm::partial ? 3 : 2;
        EXPECT_EQ(fit.summary.n_parameters, k + 1 + (form == CesForm::none ? 1 : m));
        EXPECT_NEAR(fit.summary.sigma2 * (fit.n - k), least, 1e-8 * least);
        for (int i = 0; i < k; ++i) {
            for (const double step : {-2e-3, 2e-3}) {
                CesParameters p = fit.parameters;
                (i == 0 ? p.a0 : i == 1 ? p.a1 : i == 2 ? p.b0 : p.b1) += step;
                if (!is_admissible(form, p, m)) continue;
                EXPECT_GT(squares(p), least * (1 - 1e-6)) << ces_name(form) << i << step;
            }
        }
    }
}

TEST(Ces, given_parameters_stay) {
    const Doubles y = waves(48, 4);
    CesOptions options;
    options.parameters.a0 = 1.2;
    options.parameters.b0 = 1.1;
    for (const CesForm form : kForms) {
        const CesFit fit = fit_of(y, 4, form, options);
        EXPECT_EQ(fit.parameters.a0, 1.2);
        EXPECT_FALSE(std::isnan(fit.parameters.a1));
        const bool has_b0 = form == CesForm::partial || form == CesForm::full;
        EXPECT_EQ(std::isnan(fit.parameters.b0), !has_b0);
        EXPECT_EQ(std::isnan(fit.parameters.b1), form != CesForm::full);
        const int of_start = form == CesForm::none ? 1 : 4;
        EXPECT_EQ(fit.summary.n_parameters, (form == CesForm::full ? 3 : 2) + of_start);
    }
    options.parameters.a0 = 0.5;  // within the circle of the forms that never forget
    options.parameters.a1 = 1;
    CesWorkspace workspace;
    CesFit fit;
    EXPECT_EQ(fit_ces({y, 4}, CesForm::none, options, {}, workspace, fit),
              ForecastStatus::not_admissible);
    EXPECT_EQ(fit.summary.status, ForecastStatus::not_admissible);
}

TEST(Ces, states_move_on_without_refitting) {
    const int m = 6;
    const Doubles y = waves(60, m), head(y.begin(), y.begin() + 47), tail(y.begin() + 47, y.end());
    for (const CesForm form : kForms) {
        CesFit fit = fit_of(head, m, form);
        const CesParameters before = fit.parameters;
        ASSERT_EQ(update_ces(fit, tail), ForecastStatus::ok);
        EXPECT_EQ(fit.n, 60);
        EXPECT_EQ(fit.parameters.a0, before.a0);
        CesState whole = fit.initial;
        ASSERT_EQ(filter_ces(form, fit.parameters, y, whole, {}, {}), ForecastStatus::ok);
        EXPECT_NEAR(fit.last.level, whole.level, 1e-9);
        EXPECT_NEAR(fit.last.potential, whole.potential, 1e-9);
        ASSERT_EQ(fit.last.seasonal.size(), has_season(form) ? 6U : 0U);
        for (std::size_t j = 0; j < whole.seasonal.size(); ++j) {
            EXPECT_NEAR(fit.last.seasonal[j], whole.seasonal[j], 1e-9) << ces_name(form);
        }
        const CesFit kept = fit;
        EXPECT_EQ(update_ces(fit, Doubles{1, std::nan("")}), ForecastStatus::overflow);
        EXPECT_EQ(fit.last.level, kept.last.level);
        EXPECT_EQ(fit.n, kept.n);
    }
}

// How fast the filter forgets, from what is left of a state after many observations of 0.
double growth(CesForm form, const CesParameters& p, int m) {
    CesState x;
    x.level = 0.3;
    x.potential = -0.7;
    for (int j = 0; has_season(form) && j < m; ++j) {
        x.seasonal.push_back(0.1 * j - 0.2);
        if (form != CesForm::partial) x.seasonal_potential.push_back(0.5 - 0.2 * j);
    }
    const int block = 200;
    double log_scale = 0;
    for (int i = 0; i < 60; ++i) {
        if (filter_ces(form, p, Doubles(block, 0.0), x, {}, {}) != ForecastStatus::ok) return 10;
        double size = std::fabs(x.level) + std::fabs(x.potential);
        for (const double s : x.seasonal) size += std::fabs(s);
        for (const double s : x.seasonal_potential) size += std::fabs(s);
        if (!(size > 0)) return -10;
        if (i >= 30) log_scale += std::log(size);
        x.level /= size;
        x.potential /= size;
        for (double& s : x.seasonal) s /= size;
        for (double& s : x.seasonal_potential) s /= size;
    }
    return log_scale / (30 * block);
}

TEST(Ces, region_is_where_the_filter_forgets) {
    const int m = 3;
    int inside = 0, outside = 0;
    for (const CesForm form : kForms) {
        for (double a0 = 0.3; a0 < 2.8; a0 += 0.19) {
            for (double a1 = -0.4; a1 < 1.9; a1 += 0.23) {
                for (const double b : {0.05, 0.9, 1.7}) {
                    CesParameters p{a0, a1, b, 1.02};
                    if (form == CesForm::none || form == CesForm::simple) {
                        if (b != 0.9) continue;
                        p.b0 = p.b1 = FitSummary::kNone;
                    }
                    const bool admissible = is_admissible(form, p, m);
                    const double rate = growth(form, p, m);
                    const double limit =
                        form == CesForm::none || form == CesForm::simple ? 0 : std::log(1.01);
                    EXPECT_TRUE(!admissible || rate < limit + 3e-4)
                        << ces_name(form) << " " << a0 << " " << a1 << " " << b << " " << rate;
                    (admissible ? inside : outside) += 1;
                    // The circles are the whole of it where there is one part.
                    EXPECT_TRUE(form != CesForm::none || admissible || rate > -3e-4) << a0 << a1;
                }
            }
        }
    }
    EXPECT_GT(inside, 50);
    EXPECT_GT(outside, 50);
    // Level and season each within its own, but the two together too quick.
    EXPECT_TRUE(is_admissible(CesForm::none, {2.2, 1.3, 0, 0}, 1));
    EXPECT_FALSE(is_admissible(CesForm::partial, {2.2, 1.3, 1.9, 0}, m));
}

TEST(Ces, choice_finds_the_structure) {
    CesWorkspace workspace;
    CesFit fit;
    const Doubles seasonal = waves(72, 6);
    ASSERT_EQ(choose_ces({seasonal, 6}, {}, {}, workspace, fit), ForecastStatus::ok);
    EXPECT_NE(fit.form, CesForm::none);
    Doubles mean(12), variance(12);
    ASSERT_EQ(forecast_ces(fit, {mean, variance}), ForecastStatus::ok);
    const Doubles future = waves(84, 6);
    for (std::size_t h = 0; h < 12; ++h) EXPECT_NEAR(mean[h], future[72 + h], 12);
    double least = std::numeric_limits<double>::infinity();
    for (const CesForm form : kForms) {
        const CesFit one = fit_of(seasonal, 6, form);
        least = std::min(least, one.summary.aicc);
        EXPECT_TRUE(form != fit.form || one.parameters.a0 == fit.parameters.a0);
    }
    EXPECT_EQ(fit.summary.aicc, least);
    ASSERT_EQ(choose_ces({seasonal, 1}, {}, {}, workspace, fit), ForecastStatus::ok);
    EXPECT_EQ(fit.form, CesForm::none);
}

// The start takes a season out of any series: what it took counts.
TEST(Ces, choice_finds_no_season_in_noise) {
    CesWorkspace workspace;
    std::mt19937_64 random(5);
    std::normal_distribution<double> gauss(100, 10);
    int with_season = 0;
    for (int i = 0; i < 30; ++i) {
        Doubles y;
        for (int t = 0; t < 40; ++t) y.push_back(gauss(random));
        CesFit fit;
        ASSERT_EQ(choose_ces({y, 12}, {}, {}, workspace, fit), ForecastStatus::ok);
        with_season += fit.form != CesForm::none ? 1 : 0;
    }
    EXPECT_LE(with_season, 3);
}

TEST(Ces, criteria_are_infinite_where_parameters_are_too_many) {
    const Doubles y = waves(8, 4);
    EXPECT_TRUE(std::isinf(fit_of(y, 4, CesForm::partial).summary.aicc));
    EXPECT_FALSE(std::isinf(fit_of(y, 4, CesForm::none).summary.aicc));
    CesWorkspace workspace;
    CesFit fit;
    ASSERT_EQ(choose_ces({y, 4}, {}, {}, workspace, fit), ForecastStatus::ok);
    EXPECT_EQ(fit.form, CesForm::none);
}

TEST(Ces, scale_does_not_matter) {
    const Doubles y = waves(48, 4);
    Doubles scaled = y;
    for (double& v : scaled) v = std::ldexp(v, 400);
    for (const CesForm form : kForms) {
        const CesFit a = fit_of(y, 4, form), b = fit_of(scaled, 4, form);
        EXPECT_EQ(a.parameters.a0, b.parameters.a0);
        EXPECT_EQ(std::ldexp(a.last.seasonal.empty() ? a.last.level : a.last.seasonal[0], 400),
                  b.last.seasonal.empty() ? b.last.level : b.last.seasonal[0]);
        EXPECT_EQ(std::ldexp(a.summary.sigma2, 800), b.summary.sigma2);
    }
}

TEST(Ces, same_bits_every_time) {
    const Doubles y = waves(50, 4);
    CesWorkspace used;
    CesFit first, second;
    ASSERT_EQ(choose_ces({y, 4}, {}, {}, used, first), ForecastStatus::ok);
    ASSERT_EQ(choose_ces({waves(90, 12), 12}, {}, {}, used, second), ForecastStatus::ok);
    ASSERT_EQ(choose_ces({y, 4}, {}, {}, used, second), ForecastStatus::ok);
    EXPECT_EQ(first.form, second.form);
    EXPECT_EQ(first.parameters.a0, second.parameters.a0);
    EXPECT_EQ(first.parameters.a1, second.parameters.a1);
    EXPECT_EQ(first.summary.log_likelihood, second.summary.log_likelihood);
    EXPECT_EQ(first.last.seasonal, second.last.seasonal);
}

TEST(Ces, stops_when_told) {
    const volatile int now = 1;
    StopSignal stop;
    stop.flag = &now;
    CesWorkspace workspace;
    CesFit fit;
    const Doubles y = waves(60, 4);
    EXPECT_EQ(fit_ces({y, 4}, CesForm::full, {}, stop, workspace, fit), ForecastStatus::stopped);
    EXPECT_EQ(choose_ces({y, 4}, {}, stop, workspace, fit), ForecastStatus::stopped);
    EXPECT_EQ(fit.summary.status, ForecastStatus::stopped);
}

TEST(Ces, degenerate_series) {
    const double inf = std::numeric_limits<double>::infinity();
    std::vector<Doubles> all = {{},
                                {5},
                                {1, 2, 3},
                                Doubles(40, 0.0),
                                Doubles(40, 7.0),
                                Doubles(40, 1e300),
                                Doubles(40, -1e300),
                                {1, 2, 3, 4, 5, 6, 7, inf}};
    Doubles spike(40, 0.0), wild;
    spike[17] = 1;
    for (int t = 0; t < 40; ++t) wild.push_back(t % 4 == 0 ? 1e300 : 1e-300);
    all.push_back(spike);
    all.push_back(wild);
    for (int n = 2; n <= 26; ++n) {
        Doubles y;
        for (int t = 0; t < n; ++t) y.push_back(t % 4);
        all.push_back(y);
    }
    CesWorkspace workspace;
    for (const Doubles& y : all) {
        for (const int m : {0, 1, 4, 12}) {
            for (const auto start : {CesOptions::Start::heuristic, CesOptions::Start::backcast}) {
                CesOptions options;
                options.start = start;
                for (int i = 0; i < 5; ++i) {
                    CesFit fit;
                    const SeriesView series{y, m};
                    const ForecastStatus status =
                        i == 4 ? choose_ces(series, options, {}, workspace, fit)
                               : fit_ces(series, kForms[i], options, {}, workspace, fit);
                    EXPECT_EQ(fit.summary.status, status);
                    if (status != ForecastStatus::ok) continue;
                    Doubles mean(30), variance(30);
                    if (forecast_ces(fit, {mean, variance}) != ForecastStatus::ok) continue;
                    for (const double v : mean) EXPECT_TRUE(std::isfinite(v));
                    for (const double v : variance) EXPECT_FALSE(std::isnan(v));
                }
            }
        }
    }
    CesFit fit;
    EXPECT_EQ(fit_ces({Doubles{1, 2, 3, 4}, 1}, CesForm::none, {}, {}, workspace, fit),
              ForecastStatus::too_short);
    EXPECT_EQ(fit_ces({waves(11, 6), 6}, CesForm::partial, {}, {}, workspace, fit),
              ForecastStatus::too_short);
    EXPECT_EQ(fit_ces({waves(900, 6), 401}, CesForm::partial, {}, {}, workspace, fit),
              ForecastStatus::not_admissible);
    EXPECT_EQ(choose_ces({Doubles{1, 2}, 4}, {}, {}, workspace, fit), ForecastStatus::too_short);
    ASSERT_EQ(choose_ces({Doubles(40, 7.0), 4}, {}, {}, workspace, fit), ForecastStatus::ok);
    Doubles mean(8), variance(8);
    ASSERT_EQ(forecast_ces(fit, {mean, variance}), ForecastStatus::ok);
    for (const double v : mean) EXPECT_NEAR(v, 7, 1e-3);
}

}  // namespace
}  // namespace many::core
