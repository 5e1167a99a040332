// ARIMA against R's forecast 8.20 on its reference series (README.md of the shared data); skipped
// where those are not there.
//
// R's figure is not the likelihood where its search ended at a unit root: arima() leaves out values
// whose prediction has a variance above 10^4, as if they were the start of a differenced series. So
// what ours must reach is the smaller of R's figure and the exact likelihood at R's coefficients.
#include <gtest/gtest.h>

#include "core/forecasters/auto_arima.h"
#include "core/forecasters/unit_roots.h"
#include "unit/support.h"

namespace many::test {
namespace {

using core::ArimaFit;
using core::ArimaOptions;
using core::ArimaOrder;
using core::ForecastStatus;

struct Series {
    int m = 1, h = 0;
    std::vector<double> y;
};

struct Reference {
    ArimaOrder order;
    bool constant = false;
    double log_likelihood = 0, sigma2 = 0, aicc = 0;
    std::vector<double> coefficients, std_errors;
    std::vector<std::vector<double>> forecasts;  // mean, lo80, hi80, lo95, hi95
};

using Key = std::pair<std::string, std::string>;  // series, model

class ArimaReference : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        if (shared_dir().empty()) return;
        const std::string dir = shared_dir() + "/ts/";
        std::map<std::string, std::vector<double>> y;
        for (const char* file : {"m3.csv.gz", "m4_hourly.csv.gz", "classic.csv"}) {
            const Csv csv = read_csv(dir + file);
            const bool split = csv.header.back() == "is_test";
            const std::size_t id = csv.column("series_id"), value = csv.column("y");
            for (const auto& row : csv.rows) {
                if (!split || row.back() == "0") y[row[id]].push_back(number(row[value]));
            }
        }
        const Csv csv = read_csv(dir + "ref_series.csv");
        for (const auto& row : csv.rows) {
            series()[row[0]] = {static_cast<int>(number(row[csv.column("m")])),
                                static_cast<int>(number(row[csv.column("h")])), y[row[0]]};
        }
        read_fits(dir);
    }

    void SetUp() override {
        if (shared_dir().empty()) GTEST_SKIP() << "no shared reference data";
    }

    static std::map<std::string, Series>& series() {
        static std::map<std::string, Series> all;
        return all;
    }
    static std::map<Key, Reference>& references() {
        static std::map<Key, Reference> all;
        return all;
    }

    static void read_fits(const std::string& dir) {
        const Csv fits = read_csv(dir + "ref_arima_fit.csv.gz");
        const auto cell = [&fits](const std::vector<std::string>& row, const char* name) {
            return number(row[fits.column(name)]);
        };
        for (const auto& row : fits.rows) {
            if (row[fits.column("status")] != "ok") continue;
            const auto whole = [&](const char* name) { return static_cast<int>(cell(row, name)); };
            Reference& r = references()[{row[0], row[1]}];
            r.order = {whole("p"),  whole("d"),  whole("q"), whole("sp"),
                       whole("sd"), whole("sq"), whole("m")};
            r.constant = whole("has_mean") + whole("has_drift") > 0;
            r.log_likelihood = cell(row, "loglik");
            r.sigma2 = cell(row, "sigma2");
            r.aicc = cell(row, "aicc");
        }
        for (const auto& row : read_csv(dir + "ref_arima_coef.csv.gz").rows) {
            Reference& r = references()[{row[0], row[1]}];
            r.coefficients.push_back(number(row[3]));
            r.std_errors.push_back(number(row[4]));
        }
        for (const auto& row : read_csv(dir + "ref_forecasts.csv.gz").rows) {
            if (!row[1].starts_with("arima_")) continue;
            std::vector<double> f;
            for (std::size_t i = 3; i < 8; ++i) f.push_back(number(row[i]));
            references()[{row[0], row[1].substr(6)}].forecasts.push_back(f);
        }
    }

    static ArimaFit fit(const Key& key, const Reference& r, bool at_its_coefficients) {
        const Series& s = series()[key.first];
        ArimaOptions options;
        options.order = r.order;
        options.constant = r.constant;
        if (at_its_coefficients) options.given = r.coefficients;
        return core::fit_arima({s.y, s.m}, options);
    }
};

// R's coefficients: its forecasts to 1e-12 without differences. With them R's prior of variance
// 10^6 is seen, which vanishes with a larger one (arima's kappa).
TEST_F(ArimaReference, GivenCoefficients) {
    int n = 0, not_the_likelihood = 0;
    for (const auto& [key, r] : references()) {
        if (r.coefficients.empty()) continue;
        const ArimaFit f = fit(key, r, true);
        ASSERT_EQ(f.summary.status, ForecastStatus::ok) << key.first << key.second;
        if (std::fabs(f.summary.log_likelihood - r.log_likelihood) > 0.01) {
            ++not_the_likelihood;
            continue;
        }
        ++n;
        std::vector<double> mean(r.forecasts.size()), variance(mean);
        ASSERT_EQ(core::forecast_arima(f, {}, {mean, variance}), ForecastStatus::ok);
        const double tolerance = r.order.d + r.order.D == 0 ? 1e-12 : 1e-4;
        for (std::size_t h = 0; h < mean.size(); ++h) {
            EXPECT_NEAR(mean[h] / r.forecasts[h][0], 1, tolerance) << key.first << key.second;
            const double sd = (r.forecasts[h][4] - r.forecasts[h][0]) / 1.959963984540054;
            EXPECT_NEAR(std::sqrt(variance[h] * r.sigma2 / f.summary.sigma2) / sd, 1, tolerance);
        }
    }
    RecordProperty("fits", n);
    EXPECT_GT(n, 750);
    EXPECT_LE(not_the_likelihood, 25);
}

TEST_F(ArimaReference, FixedOrders) {
    int n = 0, agree = 0, better = 0;
    for (const auto& [key, r] : references()) {
        if (key.second == "auto") continue;
        const ArimaFit f = fit(key, r, false);
        ++n;
        ASSERT_EQ(f.summary.status, ForecastStatus::ok) << key.first << key.second;
        const double exact = fit(key, r, true).summary.log_likelihood;
        const double ours = f.summary.log_likelihood;
        EXPECT_GE(ours, std::fmin(r.log_likelihood, exact) - 0.01) << key.first << key.second;
        better += ours > r.log_likelihood + 0.01 ? 1 : 0;
        // Where the maxima agree, so do the coefficients: to 1e-3, or to what a loglik that is
        // 1e-4 off leaves open in a flat direction.
        if (std::fabs(ours - r.log_likelihood) > 1e-4) continue;
        ++agree;
        for (std::size_t i = 0; i < r.coefficients.size(); ++i) {
            const double c = r.coefficients[i], open = 0.03 * r.std_errors[i];
            EXPECT_NEAR(f.coefficients[i], c, std::fmax(1e-3 * std::fmax(1, std::fabs(c)), open))
                << key.first << key.second << i;
        }
    }
    RecordProperty("agree", agree);
    EXPECT_GT(n, 650);
    EXPECT_GT(agree, n * 3 / 4);
    EXPECT_GT(better, 30);
}

// Well identified models whose maximum is R's: forecasts to 1e-3, bounds to 1e-2, all but a few in
// a hundred, where R stopped early in a flat direction or counts its prior among the residuals.
TEST_F(ArimaReference, Forecasts) {
    int n = 0, off = 0, bounds_off = 0;
    for (const auto& [key, r] : references()) {
        if (key.second != "011" && key.second != "110" && key.second != "100c" &&
            key.second != "011_011") {
            continue;
        }
        const ArimaFit f = fit(key, r, false);
        if (std::fabs(f.summary.log_likelihood - r.log_likelihood) > 1e-4) continue;
        std::vector<double> mean(r.forecasts.size()), variance(mean);
        ASSERT_EQ(core::forecast_arima(f, {}, {mean, variance}), ForecastStatus::ok);
        for (std::size_t h = 0; h < mean.size(); ++h) {
            ++n;
            off += std::fabs(mean[h] / r.forecasts[h][0] - 1) > 1e-3 ? 1 : 0;
            const double sd = std::sqrt(variance[h]);
            const double size = std::fabs(mean[h]) + 1.96 * sd;
            bounds_off +=
                std::fabs(mean[h] + 1.959963984540054 * sd - r.forecasts[h][4]) > 1e-2 * size ||
                        std::fabs(mean[h] - 1.2815515655446004 * sd - r.forecasts[h][1]) >
                            1e-2 * size
                    ? 1
                    : 0;
        }
    }
    RecordProperty("forecasts", n);
    EXPECT_GT(n, 3000);
    EXPECT_LE(off, n / 200);
    EXPECT_LE(bounds_off, n / 200);
}

TEST_F(ArimaReference, Automatic) {
    int n = 0, differences = 0, within_2 = 0, as_good = 0, same = 0;
    double ours = 0, theirs = 0;
    for (const auto& [key, r] : references()) {
        if (key.second != "auto") continue;
        const Series& s = series()[key.first];
        const ArimaFit f = core::fit_auto_arima({s.y, s.m}).fit;
        ASSERT_EQ(f.summary.status, ForecastStatus::ok) << key.first;
        ++n;
        differences += f.order.d == r.order.d && f.order.D == r.order.D ? 1 : 0;
        within_2 += f.summary.aicc <= r.aicc + 2 ? 1 : 0;
        as_good += f.summary.aicc <= r.aicc + 0.01 ? 1 : 0;
        same += f.order == r.order && f.has_constant == r.constant ? 1 : 0;
        ours += f.summary.aicc;
        theirs += r.aicc;
    }
    EXPECT_EQ(n, 104);
    EXPECT_EQ(differences, n);
    EXPECT_EQ(within_2, n);
    EXPECT_GE(as_good, n * 98 / 100);
    EXPECT_GE(same, n * 95 / 100);
    EXPECT_LT(ours, theirs);
}

TEST_F(ArimaReference, Tests) {
    const Csv csv = read_csv(shared_dir() + "/ts/ref_ts_tests.csv");
    for (const auto& row : csv.rows) {
        const auto cell = [&](const char* name) { return number(row[csv.column(name)]); };
        const Series& s = series()[row[0]];
        const int lags = static_cast<int>(3 * std::sqrt(static_cast<double>(s.y.size())) / 13);
        EXPECT_NEAR(core::kpss_level(s.y, lags), cell("kpss_mu"), 1e-9);
        EXPECT_EQ(core::count_differences(s.y), cell("ndiffs_kpss")) << row[0];
        const std::vector<double> acf = core::autocorrelations(s.y, s.m);
        EXPECT_NEAR(acf[0], cell("acf1"), 1e-10);
        if (s.m == 1) continue;
        EXPECT_NEAR(acf.back(), cell("acf_m"), 1e-10);
        EXPECT_EQ(core::count_seasonal_differences({s.y, s.m}), cell("nsdiffs_seas")) << row[0];
    }
}

}  // namespace
}  // namespace many::test
