#include "core/forecasters/method.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>

#include "core/forecasters/method_check.h"
#include "core/forecasters/method_paths.h"
#include "unit/forecasters/method_support.h"

namespace many::core {
namespace {

class Method : public testing::Test {
  protected:
    ForecastStatus fit(const MethodSpec& spec, const SeriesData& series, MethodFit& out) {
        return fit_method(spec, series, {}, workspace_, out);
    }
    MethodFit fitted(const MethodSpec& spec, const SeriesData& series) {
        MethodFit out;
        EXPECT_EQ(fit(spec, series, out), ForecastStatus::ok) << method_name(spec.method);
        return out;
    }
    static Doubles forecast(const MethodFit& fit, std::size_t h,
                            std::span<const double> future = {}) {
        Forecasts f(h);
        EXPECT_EQ(forecast_method(fit, future, f.out()), ForecastStatus::ok);
        return f.mean;
    }

  private:
    ForecastWorkspace workspace_;
};

const int kMonths[] = {12};

TEST_F(Method, names_are_those_of_sql_and_come_back) {
    EXPECT_STREQ(method_name(ForecastMethod::seasonal_naive), "seasonal_naive");
    EXPECT_STREQ(method_name(ForecastMethod::optimised_theta), "optimised_theta");
    EXPECT_STREQ(method_name(ForecastMethod::none), "unknown");
    EXPECT_STREQ(method_name(static_cast<ForecastMethod>(255)), "unknown");
    int known = 0;
    for (int value = 0; value < 256; ++value) {
        const auto method = static_cast<ForecastMethod>(value);
        ForecastMethod back = ForecastMethod::none;
        const std::string name = method_name(method);
        if (!method_from_name(name, back)) continue;
        EXPECT_EQ(back, method);
        ++known;
    }
    EXPECT_EQ(known, 26);
    ForecastMethod untouched = ForecastMethod::ses;
    EXPECT_FALSE(method_from_name("unknown", untouched));
    EXPECT_FALSE(method_from_name("", untouched));
    EXPECT_FALSE(method_from_name("ETS", untouched));
    EXPECT_EQ(untouched, ForecastMethod::ses);
    EXPECT_TRUE(method_takes_features(ForecastMethod::arima));
    EXPECT_FALSE(method_takes_features(ForecastMethod::ets));
    EXPECT_TRUE(method_is_seasonal(ForecastMethod::mstl));
    EXPECT_FALSE(method_is_seasonal(ForecastMethod::drift));
}

TEST_F(Method, every_method_forecasts_an_ordinary_series) {
    const Doubles y = seasonal_series(72, 12), demand = demand_series(72);
    for (const MethodSpec& spec : all_specs()) {
        const bool intermittent =
            spec.method >= ForecastMethod::croston && spec.method <= ForecastMethod::imapa;
        const MethodFit f = fitted(spec, {intermittent ? demand : y, kMonths});
        EXPECT_EQ(f.method, spec.method);
        for (const double v : forecast(f, 24)) {
            EXPECT_GT(v, 0) << method_name(spec.method);
            EXPECT_LT(v, 800) << method_name(spec.method);
        }
    }
}

TEST_F(Method, what_is_not_a_method_of_its_own_is_not_fitted) {
    const Doubles y = seasonal_series(30, 12);
    for (const ForecastMethod m : {ForecastMethod::none, ForecastMethod::auto_forecast,
                                   ForecastMethod::ensemble, static_cast<ForecastMethod>(200)}) {
        MethodFit out;
        EXPECT_EQ(fit(spec_of(m), {y, kMonths}, out), ForecastStatus::not_admissible);
    }
}

TEST_F(Method, given_parameters_and_forms_are_taken) {
    const Doubles y = seasonal_series(48, 12);
    MethodSpec spec = spec_of(ForecastMethod::damped_holt);
    spec.alpha = 0.3;
    spec.beta = 0.1;
    spec.phi = 0.9;
    const MethodFit holt = fitted(spec, {y, kMonths});
    const EtsParameters p = std::get<EtsFit>(holt.fit).parameters;
    EXPECT_EQ(p.alpha, 0.3);
    EXPECT_EQ(p.beta, 0.1);
    EXPECT_EQ(p.phi, 0.9);
    EXPECT_EQ(fit_label(holt), "ETS(A,Ad,N)");

    spec = spec_of(ForecastMethod::ets);
    spec.has_form = true;
    ASSERT_TRUE(EtsForm::parse("MAdM", spec.form));
    EXPECT_EQ(fit_label(fitted(spec, {y, kMonths})), "ETS(M,Ad,M)");
    MethodFit out;
    EXPECT_EQ(fit(spec, {y, {}}, out), ForecastStatus::not_admissible);  // no season in the series

    spec = spec_of(ForecastMethod::theta);
    spec.alpha = 0.4;
    EXPECT_EQ(std::get<ThetaFit>(fitted(spec, {y, kMonths}).fit).alpha, 0.4);
    spec.alpha = 0;
    EXPECT_EQ(fit(spec, {y, kMonths}, out), ForecastStatus::not_admissible);

    spec = spec_of(ForecastMethod::sba);
    spec.alpha = 0.2;
    spec.beta = 0.25;
    const MethodFit sba = fitted(spec, {y, {}});
    EXPECT_EQ(std::get<IntermittentFit>(sba.fit).levels.front().beta, 0.25);

    spec = spec_of(ForecastMethod::window_average);
    spec.window = 3;
    EXPECT_DOUBLE_EQ(forecast(fitted(spec, {y, kMonths}), 1)[0], (y[45] + y[46] + y[47]) / 3);
}

TEST_F(Method, seasons_too_long_to_be_modelled_are_left_out_and_the_form_says_so) {
    const Doubles y = seasonal_series(120, 30);
    const int month[] = {30}, long_season[] = {1440};
    const MethodFit ets = fitted(spec_of(ForecastMethod::ets), {y, month});
    EXPECT_FALSE(std::get<EtsFit>(ets.fit).form.has_season());
    const MethodFit arima = fitted(spec_of(ForecastMethod::arima), {y, long_season});
    EXPECT_EQ(std::get<ArimaFit>(arima.fit).order.m, 1);
}

TEST_F(Method, degenerate_series_never_give_a_forecast_that_is_not_finite) {
    std::vector<Doubles> all = {{}, {5}, {0}, {1e300}, {-1e300, 1e300}, {1e-300, 2e-300, 1e-300}};
    for (int n = 2; n <= 24; ++n) {
        all.push_back(seasonal_series(n, 12));
        all.push_back(demand_series(n));
    }
    for (const int n : {3, 13, 30}) {
        const std::size_t size = static_cast<std::size_t>(n);
        all.emplace_back(size, 0.0);
        all.emplace_back(size, 7.0);
        all.emplace_back(size, -7.25);
        all.emplace_back(size, 1e300);
        Doubles spike(size, 0.0);
        spike[size / 2] = 100;
        all.push_back(spike);
        spike[size / 2] = 1e300;
        all.push_back(spike);
        Doubles line;
        for (int t = 0; t < n; ++t) line.push_back(3.0 * t - 20);
        all.push_back(line);
        for (double& v : line) v *= 1e299;
        all.push_back(line);
        line[1] = std::numeric_limits<double>::infinity();
        all.push_back(line);
        line[1] = std::numeric_limits<double>::quiet_NaN();
        all.push_back(line);
    }
    int fits = 0;
    for (const MethodSpec& spec : all_specs()) {
        for (const Doubles& y : all) {
            MethodFit f;
            if (fit(spec, {y, kMonths}, f) != ForecastStatus::ok) continue;
            ++fits;
            EXPECT_EQ(fit_defect(f), nullptr);
            Forecasts out(30);
            if (forecast_method(f, {}, out.out()) != ForecastStatus::ok) continue;
            for (std::size_t h = 0; h < 30; ++h) {
                ASSERT_TRUE(std::isfinite(out.mean[h])) << method_name(spec.method) << y.size();
                ASSERT_FALSE(out.variance[h] < 0) << method_name(spec.method) << y.size();
            }
            Doubles fitted_values(y.size()), errors(y.size());
            (void)one_step_method(f, {y, kMonths}, fitted_values, errors);
            MethodFit moved = f;
            if (update_method(moved, Doubles{1, 2, 0, 1e300}, {})) {
                EXPECT_EQ(fit_defect(moved), nullptr) << method_name(spec.method) << y.size();
            }
        }
    }
    EXPECT_GT(fits, 1000);
}

// --- Updates --------------------------------------------------------------------------------------

void expect_near(const Doubles& a, const Doubles& b, double tolerance, const std::string& what) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
        EXPECT_NEAR(a[i], b[i], tolerance * std::max(1.0, std::fabs(b[i]))) << what << " " << i;
    }
}

TEST_F(Method, updated_smoothing_is_the_filter_over_all_values) {
    const Doubles y = seasonal_series(80, 12);
    const std::span<const double> all = y, first = all.first(57), rest = all.subspan(57);
    for (const char* name : {"ANN", "AAN", "AAdN", "AAA", "ANA", "MNM", "MAM", "MAdM", "MMN"}) {
        MethodSpec spec = spec_of(ForecastMethod::ets);
        spec.has_form = true;
        ASSERT_TRUE(EtsForm::parse(name, spec.form));
        MethodFit f = fitted(spec, {first, kMonths});
        const EtsFit& before = std::get<EtsFit>(f.fit);
        EtsState state = before.initial;
        EtsSums sums;
        ASSERT_EQ(filter_ets(before.form, before.parameters, all, state, {}, {}, sums),
                  ForecastStatus::ok);
        // In two parts that are no whole seasons.
        ASSERT_TRUE(update_method(f, rest.first(5), {}));
        ASSERT_TRUE(update_method(f, rest.subspan(5), {}));
        const EtsFit& after = std::get<EtsFit>(f.fit);
        EXPECT_EQ(after.n, 80);
        EXPECT_NEAR(after.last.level, state.level, 1e-12 * std::fabs(state.level)) << name;
        EXPECT_NEAR(after.last.trend, state.trend, 1e-12 * std::fabs(state.level)) << name;
        expect_near(after.last.seasonal, state.seasonal, 1e-12, name);
    }
}

TEST_F(Method, updated_benchmarks_are_a_refit) {
    const Doubles y = seasonal_series(53, 12);
    const std::span<const double> all = y;
    for (const ForecastMethod m : {ForecastMethod::naive, ForecastMethod::seasonal_naive,
                                   ForecastMethod::mean, ForecastMethod::drift}) {
        for (const std::size_t from : {std::size_t{12}, std::size_t{40}}) {
            MethodFit f = fitted(spec_of(m), {all.first(from), kMonths});
            ASSERT_TRUE(update_method(f, all.subspan(from, 7), {}));
            ASSERT_TRUE(update_method(f, all.subspan(from + 7), {}));
            const MethodFit whole = fitted(spec_of(m), {all, kMonths});
            expect_near(forecast(f, 15), forecast(whole, 15), 1e-12, method_name(m));
            EXPECT_NEAR(f.summary().sigma2, whole.summary().sigma2, 1e-11 * whole.summary().sigma2);
            EXPECT_EQ(interval_degrees_of_freedom(f), interval_degrees_of_freedom(whole));
        }
    }
    MethodFit windows = fitted(spec_of(ForecastMethod::window_average), {all, kMonths});
    EXPECT_FALSE(update_method(windows, Doubles{1}, {}));
}

TEST_F(Method, more_observations_than_can_be_counted_are_no_update) {
    const Doubles y = seasonal_series(30, 12);
    MethodFit f = fitted(spec_of(ForecastMethod::ses), {y, kMonths});
    std::get<EtsFit>(f.fit).n = kMostObservations - 1;
    EXPECT_EQ(fit_defect(f), nullptr);
    EXPECT_TRUE(update_method(f, Doubles{1}, {}));
    EXPECT_FALSE(update_method(f, Doubles{1}, {}));
    std::get<EtsFit>(f.fit).n = kMostObservations + 1;
    EXPECT_NE(fit_defect(f), nullptr);
}

TEST_F(Method, updated_naive2_keeps_its_season) {
    const Doubles y = seasonal_series(60, 12);
    MethodFit f = fitted(spec_of(ForecastMethod::naive2), {y, kMonths});
    const SimpleFit before = std::get<SimpleFit>(f.fit);
    ASSERT_EQ(before.factors.size(), 12U);
    ASSERT_TRUE(update_method(f, Doubles{100, 200}, {}));
    // The level is the last value without its season; the next one's season is the third.
    const double level = 200 / before.factors[1];
    EXPECT_NEAR(forecast(f, 1)[0], level * before.factors[2], 1e-10);
}

TEST_F(Method, updated_demand_is_a_refit_with_the_same_smoothing) {
    const Doubles y = demand_series(60);
    const std::span<const double> all = y;
    for (const ForecastMethod m :
         {ForecastMethod::croston, ForecastMethod::sba, ForecastMethod::tsb}) {
        MethodSpec spec = spec_of(m);
        spec.alpha = 0.15;
        spec.beta = 0.2;
        MethodFit f = fitted(spec, {all.first(31), {}});
        ASSERT_TRUE(update_method(f, all.subspan(31), {}));
        const MethodFit whole = fitted(spec, {all, {}});
        const auto &a = std::get<IntermittentFit>(f.fit), &b = std::get<IntermittentFit>(whole.fit);
        EXPECT_NEAR(a.rate, b.rate, 1e-13);
        EXPECT_EQ(a.n_demands, b.n_demands);
        EXPECT_EQ(a.levels[0].waiting, b.levels[0].waiting);
        EXPECT_NEAR(a.mean_interval, b.mean_interval, 1e-12);
        EXPECT_FALSE(update_method(f, Doubles{-1}, {}));
    }
    MethodFit none = fitted(spec_of(ForecastMethod::croston), {Doubles{0, 0}, {}});
    EXPECT_TRUE(update_method(none, Doubles{0}, {}));
    EXPECT_FALSE(update_method(none, Doubles{1}, {}));
    MethodFit sums = fitted(spec_of(ForecastMethod::adida), {all, {}});
    EXPECT_FALSE(update_method(sums, Doubles{1}, {}));
}

TEST_F(Method, updated_arima_is_the_filter_over_all_values) {
    const Doubles y = seasonal_series(90, 12);
    const std::span<const double> all = y;
    const ArimaOrder orders[] = {
        {.p = 1, .d = 0, .q = 0},
        {.p = 2, .d = 0, .q = 2},
        {.p = 0, .d = 1, .q = 1},
        {.p = 1, .d = 1, .q = 0},
        {.p = 0, .d = 2, .q = 1},
        {.p = 0, .d = 1, .q = 1, .P = 0, .D = 1, .Q = 1},
        {.p = 1, .d = 0, .q = 1, .P = 1, .D = 0, .Q = 0},
    };
    for (const ArimaOrder& order : orders) {
        for (const std::size_t from : {std::size_t{40}, std::size_t{80}}) {
            MethodSpec spec = spec_of(ForecastMethod::arima);
            spec.has_order = true;
            spec.order = order;
            MethodFit f = fitted(spec, {all.first(from), kMonths});
            const ArimaFit before = std::get<ArimaFit>(f.fit);
            ASSERT_TRUE(update_method(f, all.subspan(from, 3), {}));
            ASSERT_TRUE(update_method(f, all.subspan(from + 3), {}));
            ArimaOptions given;
            given.order = order;
            given.constant = before.has_constant;
            given.given = before.coefficients;
            const ArimaFit whole = fit_arima({all, 12}, given);
            ASSERT_EQ(whole.summary.status, ForecastStatus::ok);
            const ArimaFit& after = std::get<ArimaFit>(f.fit);
            EXPECT_EQ(after.n, 90);
            Forecasts a(30), b(30);
            ASSERT_EQ(forecast_arima(after, {}, a.out()), ForecastStatus::ok);
            ASSERT_EQ(forecast_arima(whole, {}, b.out()), ForecastStatus::ok);
            const std::string label = fit_label(f);
            expect_near(a.mean, b.mean, 1e-9, label);
            for (double& v : a.variance) v /= after.summary.sigma2;
            for (double& v : b.variance) v /= whole.summary.sigma2;
            expect_near(a.variance, b.variance, 1e-7, label);
        }
    }
}

TEST_F(Method, updated_arima_takes_regressors) {
    Noise noise(3);
    Doubles x, y;
    for (int t = 0; t < 60; ++t) x.push_back(noise());
    for (int t = 0; t < 60; ++t) {
        y.push_back(10 + 4 * x[static_cast<std::size_t>(t)] + 0.1 * noise());
    }
    const std::span<const double> all = y, columns = x;
    MethodSpec spec = spec_of(ForecastMethod::arima);
    spec.has_order = true;
    spec.order = {.p = 1};
    MethodFit f = fitted(spec, {all.first(50), {}, columns.first(50), 1});
    EXPECT_FALSE(update_method(f, all.subspan(50), {}));  // without them
    ASSERT_TRUE(update_method(f, all.subspan(50), columns.subspan(50)));
    EXPECT_NEAR(forecast(f, 2, Doubles{1, -1})[1], 10 - 4, 0.3);
    Forecasts out(2);
    EXPECT_EQ(forecast_method(f, {}, out.out()), ForecastStatus::not_admissible);
}

TEST_F(Method, collinear_and_constant_regressors_are_dropped) {
    const Doubles y = seasonal_series(40, 12);
    Doubles x;
    for (int t = 0; t < 40; ++t) x.push_back(std::cos(t));
    for (int t = 0; t < 40; ++t) x.push_back(2 * std::cos(t));
    x.resize(120, 3.0);
    for (const bool has_order : {true, false}) {
        MethodSpec spec = spec_of(ForecastMethod::arima);
        spec.has_order = has_order;
        spec.order = {.p = 1};
        const MethodFit f = fitted(spec, {y, {}, x, 3});
        EXPECT_EQ(fit_defect(f), nullptr);
        const Doubles mean = forecast(f, 2, Doubles{1, 1, 2, 2, 3, 3});
        EXPECT_TRUE(std::isfinite(mean[0]) && std::isfinite(mean[1]));
        std::vector<FitTerm> terms;
        list_terms(f, terms);
        int dropped = 0;
        for (const FitTerm& t : terms) {
            if (std::string(t.name) == "xreg" && std::isnan(t.estimate)) ++dropped;
        }
        EXPECT_GE(dropped, 1);
    }
}

// What a model says of the next value does not depend on how it came to its state.
TEST_F(Method, one_step_forecasts_are_those_of_the_updated_fit) {
    const Doubles y = seasonal_series(80, 12), demand = demand_series(80);
    for (const MethodSpec& spec : all_specs()) {
        const ForecastMethod m = spec.method;
        // Their lines, means and seasons are those of the whole series.
        if (m == ForecastMethod::mean || m == ForecastMethod::drift || m == ForecastMethod::theta ||
            m == ForecastMethod::optimised_theta || m == ForecastMethod::mstl) {
            continue;
        }
        const bool intermittent = m >= ForecastMethod::croston && m <= ForecastMethod::imapa;
        const std::span<const double> all = intermittent ? demand : y;
        MethodFit f = fitted(spec, {all.first(60), kMonths});
        Doubles next;
        bool moves = true;
        for (std::size_t t = 60; t < 80 && moves; ++t) {
            next.push_back(forecast(f, 1)[0]);
            moves = update_method(f, all.subspan(t, 1), {});
        }
        if (!moves) continue;
        Doubles values(80), errors(80);
        ASSERT_TRUE(one_step_method(f, {all, kMonths}, values, errors)) << method_name(m);
        // Of ARIMA in units of the steady filter.
        const double tolerance = m == ForecastMethod::arima ? 1e-4 : 1e-10;
        expect_near(Doubles(values.begin() + 60, values.end()), next, tolerance, method_name(m));
    }
}

TEST_F(Method, one_step_errors_have_the_variance_of_the_fit) {
    const Doubles y = seasonal_series(80, 12);
    const auto mean_square = [&](const MethodFit& f, double divisor) {
        Doubles values(80), errors(80);
        EXPECT_TRUE(one_step_method(f, {y, kMonths}, values, errors));
        double sum = 0;
        for (const double e : errors) sum += std::isnan(e) ? 0 : e * e;
        return sum / divisor;
    };
    for (const ForecastMethod m :
         {ForecastMethod::ses, ForecastMethod::holt_winters, ForecastMethod::ets,
          ForecastMethod::optimised_theta, ForecastMethod::dynamic_theta, ForecastMethod::mstl}) {
        const MethodFit f = fitted(spec_of(m), {y, kMonths});
        const int lost = f.summary().n_parameters - 1;
        EXPECT_NEAR(mean_square(f, 80 - lost) / f.summary().sigma2, 1, 1e-9) << method_name(m);
    }
    EXPECT_NEAR(mean_square(fitted(spec_of(ForecastMethod::drift), {y, {}}), 78) /
                    fitted(spec_of(ForecastMethod::drift), {y, {}}).summary().sigma2,
                1, 1e-12);
    const MethodFit windows =
        fitted(spec_of(ForecastMethod::seasonal_window_average), {y, kMonths});
    EXPECT_NEAR(mean_square(windows, 80 - 4 * 12) / windows.summary().sigma2, 1, 1e-12);
    const MethodFit arima = fitted(all_specs()[24], {y, kMonths});
    const auto& a = std::get<ArimaFit>(arima.fit);
    EXPECT_NEAR(mean_square(arima, a.n_used - a.order.n_arma()) / a.summary.sigma2, 1, 1e-9);
    // Another series than that of the fit has none.
    Doubles values(79), errors(79);
    EXPECT_FALSE(one_step_method(windows, {std::span(y).first(79), kMonths}, values, errors));
    EXPECT_TRUE(std::isnan(values[78]));
}

TEST_F(Method, paths_without_errors_are_the_forecast) {
    const Doubles y = seasonal_series(80, 12), demand = demand_series(80), none(30, 0.0);
    int possible = 0;
    for (const MethodSpec& spec : all_specs()) {
        const bool intermittent =
            spec.method >= ForecastMethod::croston && spec.method <= ForecastMethod::imapa;
        const MethodFit f = fitted(spec, {intermittent ? demand : y, kMonths});
        const Doubles mean = forecast(f, 30);
        PathMaker maker(f, mean);
        if (!maker.possible()) continue;
        ++possible;
        Doubles path(30);
        maker.run(none, path);
        // The mean of multiplicative seasons is a little above the plain recursion.
        expect_near(path, mean, 0.01, method_name(spec.method));
    }
    EXPECT_EQ(possible, 24);  // all but adida and imapa
}

// The variance by steps is the sum of the squared responses to one error each.
TEST_F(Method, paths_respond_to_errors_as_the_variance_says) {
    const Doubles y = seasonal_series(80, 12);
    for (const ForecastMethod m :
         {ForecastMethod::naive, ForecastMethod::seasonal_naive, ForecastMethod::naive2,
          ForecastMethod::ses, ForecastMethod::damped_holt, ForecastMethod::holt_winters,
          ForecastMethod::theta, ForecastMethod::dynamic_theta, ForecastMethod::arima,
          ForecastMethod::mstl, ForecastMethod::ces}) {
        MethodSpec spec = spec_of(m);
        if (m == ForecastMethod::arima) {
            spec.has_order = true;
            spec.order = {.p = 1, .d = 1, .q = 1, .P = 0, .D = 1, .Q = 1};
        }
        if (m == ForecastMethod::mstl) spec.additive_only = true;
        const MethodFit f = fitted(spec, {y, kMonths});
        Forecasts out(20);
        ASSERT_EQ(forecast_method(f, {}, out.out()), ForecastStatus::ok);
        PathMaker maker(f, out.mean);
        Doubles squares(20, 0.0), path(20);
        for (std::size_t i = 0; i < 20; ++i) {
            Doubles errors(20, 0.0);
            errors[i] = 1;
            maker.run(errors, path);
            for (std::size_t h = 0; h < 20; ++h) {
                squares[h] += (path[h] - out.mean[h]) * (path[h] - out.mean[h]);
            }
        }
        for (std::size_t h = 0; h < 20; ++h) {
            const double variance = out.variance[h] / f.summary().sigma2;
            EXPECT_NEAR(squares[h] / variance, 1, m == ForecastMethod::arima ? 1e-3 : 1e-8)
                << method_name(m) << h;
        }
    }
}

// --- What a user reads ----------------------------------------------------------------------------

TEST_F(Method, terms_and_labels) {
    const Doubles y = seasonal_series(72, 12);
    std::vector<FitTerm> terms;
    const auto find = [&](const std::string& kind, const std::string& name, int index) {
        for (const FitTerm& t : terms) {
            if (t.kind == kind && t.name == name && t.index == index) return t.estimate;
        }
        ADD_FAILURE() << kind << " " << name << index;
        return 0.0;
    };
    const MethodFit winters = fitted(spec_of(ForecastMethod::holt_winters), {y, kMonths});
    list_terms(winters, terms);
    const EtsFit& ets = std::get<EtsFit>(winters.fit);
    EXPECT_EQ(find("parameter", "alpha", 0), ets.parameters.alpha);
    EXPECT_EQ(find("parameter", "gamma", 0), ets.parameters.gamma);
    EXPECT_EQ(find("state", "trend", 0), ets.last.trend);
    EXPECT_EQ(find("seasonal", "season", 12), ets.last.seasonal[11]);
    EXPECT_EQ(fit_label(winters), "ETS(A,A,A)");

    MethodSpec airline = all_specs()[24];
    const MethodFit arima = fitted(airline, {y, kMonths});
    list_terms(arima, terms);
    EXPECT_EQ(find("order", "D", 0), 1);
    EXPECT_EQ(find("parameter", "sma", 1), std::get<ArimaFit>(arima.fit).coefficient(1));
    EXPECT_EQ(fit_label(arima), "ARIMA(0,1,1)(0,1,1)[12]");
    airline.order = {.p = 1, .d = 1};
    EXPECT_EQ(fit_label(fitted(airline, {y, {}})), "ARIMA(1,1,0) with drift");

    const int seasons[] = {4, 12};
    const MethodFit several = fitted(spec_of(ForecastMethod::mstl), {y, seasons});
    list_terms(several, terms);
    EXPECT_EQ(find("seasonal", "season2", 12), std::get<MstlFit>(several.fit).last_cycle[1][11]);
    EXPECT_EQ(fit_label(several).substr(0, 17), "MSTL(4,12) + ETS(");
    EXPECT_EQ(fit_label(fitted(spec_of(ForecastMethod::theta), {y, kMonths})), "theta");

    for (const MethodSpec& spec : all_specs()) {
        const bool intermittent =
            spec.method >= ForecastMethod::croston && spec.method <= ForecastMethod::imapa;
        const Doubles demand = demand_series(72);
        const MethodFit f = fitted(spec, {intermittent ? demand : y, kMonths});
        list_terms(f, terms);
        EXPECT_FALSE(terms.empty());
        EXPECT_FALSE(fit_label(f).empty());
        for (const FitTerm& t : terms) EXPECT_FALSE(std::isnan(t.estimate)) << t.name;
    }
}

}  // namespace
}  // namespace many::core
