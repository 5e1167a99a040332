// STL, MSTL, and the tests for differencing: R's values on a made series, and what must hold.
#include "core/forecasters/stl.h"

#include <gtest/gtest.h>

#include "core/forecasters/unit_roots.h"
#include "unit/forecasters/arima_support.h"

namespace many::test {
namespace {

using core::Decomposition;
using core::ForecastStatus;

// R 4.2.2: rows 1, 40 and 84 of stl(y, s.window = 11)$time.series.
TEST(Stl, AsInR) {
    const std::vector<double> y = made_series();
    const double plain[3][3] = {{15.956747051565097, 197.18254092402671, -1.1366583155206342},
                                {-0.27002419858563498, 228.67492417234124, 3.1716204615592858},
                                {-14.565461618154449, 255.93705255830466, 4.1398768931599363}};
    const double robust[3][3] = {{15.531134391835671, 197.32156948843064, -0.85007422019515388},
                                 {0.4810967801435249, 229.43665975251392, 1.6587639026574266},
                                 {-16.289878674979292, 254.16229070275762, 7.6390558055317683}};
    core::StlOptions options;
    for (const auto* expected : {plain, robust}) {
        const Decomposition d = core::stl({y, 12}, options);
        const std::size_t rows[] = {0, 39, 83};
        for (std::size_t i = 0; i < 3; ++i) {
            EXPECT_NEAR(d.seasonal[0][rows[i]], expected[i][0], 1e-10);
            EXPECT_NEAR(d.trend[rows[i]], expected[i][1], 1e-10);
            EXPECT_NEAR(d.remainder[rows[i]], expected[i][2], 1e-10);
        }
        options.inner = 1;
        options.outer = 15;
    }
}

// mstl(msts(y, c(4, 12))) of R's forecast 8.20.
TEST(Stl, SeveralSeasonsAsInR) {
    const std::vector<int> seasons{12, 4};
    const Decomposition d = core::mstl(made_series(), seasons);
    ASSERT_EQ(d.seasons, (std::vector<int>{4, 12}));
    const double expected[3][4] = {
        {197.37026463312421, 7.9705908743195302, 7.8519948006393969, -1.190220648011973},
        {228.68105540035822, -1.0292783921027384, 0.81763308843111082, 3.1071103386282743},
        {256.07386460262842, -1.2369577104078102, -13.324794949520058, 3.9993558906095359}};
    const std::size_t rows[] = {0, 39, 83};
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_NEAR(d.trend[rows[i]], expected[i][0], 1e-10);
        EXPECT_NEAR(d.seasonal[0][rows[i]], expected[i][1], 1e-10);
        EXPECT_NEAR(d.seasonal[1][rows[i]], expected[i][2], 1e-10);
        EXPECT_NEAR(d.remainder[rows[i]], expected[i][3], 1e-10);
    }
    std::vector<double> mean(13, 100.0), variance(13);
    core::add_seasons(d, {mean, variance});
    EXPECT_NEAR(mean[0], 100 + d.seasonal[0][80] + d.seasonal[1][72], 1e-12);
    EXPECT_NEAR(mean[12], 100 + d.seasonal[0][80] + d.seasonal[1][72], 1e-12);
}

// A line and a season that repeats are taken apart and leave next to nothing.
TEST(Stl, LineAndSeason) {
    std::vector<double> y;
    for (int t = 0; t < 50; ++t) y.push_back(3 + 0.5 * t + (t % 4 == 0 ? 3 : -1));
    const Decomposition d = core::stl({y, 4});
    for (std::size_t t = 0; t < y.size(); ++t) EXPECT_NEAR(d.remainder[t], 0, 0.1);
    EXPECT_NEAR(d.trend[25] - d.trend[24], 0.5, 0.01);
}

TEST(Stl, ShortSeriesHaveNoSeason) {
    const std::vector<double> y = made_series(24);
    EXPECT_EQ(core::stl({y, 12}).status, ForecastStatus::too_short);
    EXPECT_EQ(core::stl({y, 1}).status, ForecastStatus::too_short);
    const std::vector<int> seasons{12};
    const Decomposition d = core::mstl(y, seasons);
    EXPECT_EQ(d.status, ForecastStatus::ok);
    EXPECT_TRUE(d.seasons.empty());
    for (std::size_t t = 0; t < y.size(); ++t) EXPECT_NEAR(d.trend[t] + d.remainder[t], y[t], 1e-9);
    for (std::size_t n = 0; n < 5; ++n) {
        const Decomposition tiny = core::mstl(made_series(n), seasons);
        EXPECT_EQ(tiny.status, n == 0 ? ForecastStatus::too_short : ForecastStatus::ok);
    }
}

// urca's ur.kpss(y, "mu", use.lag = 2), acf(), ndiffs(), nsdiffs() of R.
TEST(UnitRoots, AsInR) {
    const std::vector<double> y = made_series();
    EXPECT_NEAR(core::kpss_level(y, 2), 2.2240844957810708, 1e-12);
    const std::vector<double> r = core::autocorrelations(y, 12);
    EXPECT_NEAR(r[0], 0.46341730042089457, 1e-12);
    EXPECT_NEAR(r[11], 0.69043965678932606, 1e-12);
    EXPECT_EQ(core::count_differences(y), 1);
    EXPECT_EQ(core::count_seasonal_differences({y, 12}), 1);
    EXPECT_EQ(core::count_differences(core::difference(y, {.D = 1, .m = 12})), 0);
}

// By hand: y = 1, 2, 3, 4, 5; partial sums -2, -3, -3, -2, 0: 26 / 25 over the variance 2.
TEST(UnitRoots, KpssByHand) {
    const std::vector<double> y{1, 2, 3, 4, 5};
    EXPECT_NEAR(core::kpss_level(y, 0), 26.0 / 25 / 2, 1e-15);
    // One lag, weight 1/2: + 2 / 5 * 1/2 * (2 + 0 + 0 + 2).
    EXPECT_NEAR(core::kpss_level(y, 1), 26.0 / 25 / 2.8, 1e-15);
}

TEST(UnitRoots, NothingToTest) {
    EXPECT_EQ(core::count_differences({}), 0);
    EXPECT_EQ(core::count_differences(std::vector<double>{4}), 0);
    EXPECT_EQ(core::count_differences(std::vector<double>(30, 2.0)), 0);
    EXPECT_EQ(core::count_seasonal_differences({std::vector<double>(30, 2.0), 4}), 0);
    EXPECT_TRUE(std::isnan(core::autocorrelations(std::vector<double>(9, 2.0), 1)[0]));
    std::vector<double> line;
    for (int t = 0; t < 50; ++t) line.push_back(0.1 * t);
    EXPECT_EQ(core::count_differences(line), 1);
}

}  // namespace
}  // namespace many::test
