// Croston's method and its variants on the car parts, against R's forecast 8.20 (croston; sba by its
// factor) and six lines of R (tsb).
#include <gtest/gtest.h>

#include "core/forecasters/intermittent.h"
#include "unit/forecasters/reference_support.h"

namespace many::core {
namespace {

TEST(IntermittentReference, carparts) {
    MANY_NEED_SHARED_DATA();
    std::map<std::string, std::vector<double>> series;
    const test::Csv parts = test::read_csv(test::shared_dir() + "/ts/carparts.csv.gz");
    for (const auto& row : parts.rows) {  // series_id, t, y; no y: not on sale
        if (!row[2].empty()) series[row[0]].push_back(test::number(row[2]));
    }
    const test::Csv csv = test::read_csv(test::shared_dir() + "/ts/ref_croston.csv.gz");
    struct Column {
        const char* name;
        IntermittentMethod method;
        double smoothing, worst = 0;
    };
    Column columns[] = {{"croston_a0.1", IntermittentMethod::croston, 0.1},
                        {"croston_a0.2", IntermittentMethod::croston, 0.2},
                        {"sba_a0.1", IntermittentMethod::sba, 0.1},
                        {"tsb_a0.1_b0.1", IntermittentMethod::tsb, 0.1}};
    int compared = 0, without = 0;
    for (const auto& row : csv.rows) {
        const std::string& id = row[csv.column("series_id")];
        for (Column& column : columns) {
            IntermittentOptions options;
            options.alpha = column.smoothing;
            IntermittentFit fit;
            ASSERT_EQ(fit_intermittent(column.method, {series.at(id), 1}, options, {}, fit),
                      ForecastStatus::ok)
                << id;
            ASSERT_EQ(fit.n, std::stoi(row[csv.column("n")])) << id;
            ASSERT_EQ(fit.n_demands, std::stoi(row[csv.column("n_nonzero")])) << id;
            double mean = -1, variance = 0;
            ASSERT_EQ(forecast_intermittent(fit, {{&mean, 1}, {&variance, 1}}), ForecastStatus::ok);
            const std::string& cell = row[csv.column(column.name)];
            if (fit.n_demands < 2) {  // the reference has no value
                ++without;
                EXPECT_TRUE(mean >= 0) << id;
                continue;
            }
            const double expected = test::number(cell);
            ASSERT_TRUE(std::isfinite(expected)) << id;
            column.worst = std::max(column.worst, std::fabs(mean - expected) / expected);
            ++compared;
        }
    }
    EXPECT_GT(compared, 5000);
    EXPECT_LT(without, 100);
    for (const Column& column : columns) EXPECT_LT(column.worst, 1e-9) << column.name;
}

}  // namespace
}  // namespace many::core
