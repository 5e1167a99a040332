// The standard Theta method against R's thetaf() (forecast 8.20).
#include <gtest/gtest.h>

#include "core/forecasters/intervals.h"
#include "core/forecasters/theta.h"
#include "unit/forecasters/reference_support.h"

namespace many::core {
namespace {

struct Reference {
    double alpha, drift, sigma2;
};

std::map<std::string, Reference> load() {
    std::map<std::string, Reference> out;
    for (const auto& row : test::read_csv(test::shared_dir() + "/ts/ref_theta_fit.csv").rows) {
        out[row[0]] = {test::number(row[1]), test::number(row[2]), test::number(row[3])};
    }
    return out;
}

TEST(ThetaReference, equals_r) {
    MANY_NEED_SHARED_DATA();
    EtsWorkspace workspace;
    double worst_slope = 0, worst_mean = 0, worst_shape = 0, worst_width = 0;
    int same_alpha = 0, total = 0;
    for (const auto& [id, r] : load()) {
        const auto& series = test::reference_series().at(id);
        const auto& expected = test::reference_forecasts("thetaf").at(id);
        const std::size_t horizon = expected.mean.size();
        std::vector<double> mean(horizon), variance(horizon);
        ThetaFit fit;
        ASSERT_EQ(fit_theta({series.y, series.season_length}, {}, {}, workspace, fit),
                  ForecastStatus::ok);
        ASSERT_EQ(forecast_theta(fit, {mean, variance}, false), ForecastStatus::ok);
        ++total;
        worst_slope = std::max(worst_slope, test::relative_difference(fit.slope / 2, r.drift));
        // At the same alpha R's level may still be short of the least squares.
        if (std::fabs(fit.alpha - r.alpha) < 1e-3 && fit.summary.sigma2 > r.sigma2 * 0.99) {
            ++same_alpha;
            for (std::size_t h = 0; h < horizon; ++h) {
                worst_mean = std::max(worst_mean, std::fabs(mean[h] / expected.mean[h] - 1));
            }
        }
        EXPECT_LE(fit.summary.sigma2, r.sigma2 * (1 + 1e-6)) << id;
        // Given R's alpha, sigma2 and last level (which its first forecast tells) all is arithmetic.
        ThetaFit given = fit;
        given.alpha = r.alpha;
        given.summary.sigma2 = r.sigma2;
        const double first = given.seasonal.empty() ? 1 : given.seasonal[0];
        given.level = expected.mean[0] / first -
                      given.slope / 2 * (1 - std::pow(1 - r.alpha, given.n)) / r.alpha;
        ASSERT_EQ(forecast_theta(given, {mean, variance}, false), ForecastStatus::ok);
        for (std::size_t h = 0; h < horizon; ++h) {
            worst_shape =
                std::max(worst_shape, test::relative_difference(mean[h], expected.mean[h]));
            worst_width =
                std::max(worst_width,
                         test::relative_difference(mean[h] + interval_half_width(variance[h], 0.95),
                                                   expected.upper95[h]));
        }
    }
    RecordProperty("same_alpha", same_alpha);
    RecordProperty("series", total);
    EXPECT_LT(worst_slope, 1e-8);
    EXPECT_LT(worst_shape, 1e-8);
    EXPECT_LT(worst_width, 1e-8);
    EXPECT_LT(worst_mean, 1e-3);
    EXPECT_GE(same_alpha, 0.9 * total);
}

}  // namespace
}  // namespace many::core
