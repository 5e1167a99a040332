// A stored forecaster beside a candidate, on the observations that the candidate is judged on.
#include <gtest/gtest.h>

#include <limits>

#include "unit/forecasters/trainer_support.h"

namespace many::core {
namespace {

using test::hold_out;
using test::plain_spec;
using test::rows_of;
using test::RowTable;
using test::train;
using test::Trained;

constexpr double kTiny = 1e-12;

RowTable first_rows(const RowTable& rows, std::size_t n) {
    RowTable part = rows;
    part.data.resize(n * rows.stride());
    return part;
}

GroupResult compare(const ForecastSpec& spec, RowTable rows, const GroupResult& rival,
                    const int* columns = nullptr) {
    ForecastTrainer trainer;
    GroupResult result;
    Rival other;
    other.forecaster = rival.model.data();
    other.forecaster_bytes = rival.model.size();
    other.columns = columns;
    trainer.fit_rows(spec, {}, rows.data.data(), rows.size(), rows.stride(), {}, result, &other);
    EXPECT_EQ(result.status, FitStatus::ok) << result.message;
    return result;
}

TEST(ForecastRival, by_hand) {
    // Naive of 1, 3, 2 says 2 of 5 and 4; drift of the same says 2.5 and 3.
    const RowTable rows = rows_of({1, 3, 2, 5, 4});
    const Trained rival = train(plain_spec(ForecastMethod::naive), first_rows(rows, 3));
    const GroupResult r =
        compare(hold_out(plain_spec(ForecastMethod::drift), 2), rows, rival.result);
    const Comparison& c = r.comparison;
    EXPECT_EQ(c.rival.n_rows, 2);
    EXPECT_NEAR(c.rival.rmse, std::sqrt(6.5), kTiny);
    EXPECT_NEAR(c.rival.mae, 2.5, kTiny);
    EXPECT_NEAR(c.rival.bias, -2.5, kTiny);
    EXPECT_NEAR(c.rival_mase, 2.5 / 1.5, kTiny);
    EXPECT_NEAR(c.baseline_mase, 2.5 / 1.5, kTiny);  // naive2 without a season
    // Losses of the rival minus those of the candidate: 9 - 6.25, 4 - 1; 3 - 2.5, 2 - 1.
    EXPECT_NEAR(c.paired.mean_squared, (2.75 + 3) / 2, kTiny);
    EXPECT_NEAR(c.paired.mean_absolute, 0.75, kTiny);
    // Of two differences the long-run deviation is the ordinary one, with one degree of freedom.
    EXPECT_NEAR(c.paired.sd_absolute, std::sqrt(0.125), kTiny);
    EXPECT_EQ(c.paired.df, 1);

    // As the registry keeps it, and back.
    double numbers[kComparisonNumbers];
    const int n = comparison_numbers(c, true, numbers);
    EXPECT_EQ(n, kComparisonNumbers);
    Comparison read;
    ASSERT_TRUE(read_comparison(numbers, n, 2, &read));
    EXPECT_EQ(read.rival_mase, c.rival_mase);
    EXPECT_EQ(read.baseline_mase, c.baseline_mase);
    EXPECT_EQ(read.paired.sd_squared, c.paired.sd_squared);
    EXPECT_EQ(read.paired.df, c.paired.df);
    EXPECT_EQ(comparison_numbers(c, false, numbers), kBaselineNumbers + 1);
    ASSERT_TRUE(read_comparison(numbers, kBaselineNumbers + 1, 2, &read));
    EXPECT_EQ(read.baseline_mase, c.baseline_mase);
}

TEST(ForecastRival, numbers_without_mase_are_those_of_other_models) {
    Comparison c;
    c.baseline = {2, 1, 1, 1, 1, 1, 1};
    c.rival = {2, 3, 3, 3, 3, 3, 3};
    double numbers[kComparisonNumbers];
    EXPECT_EQ(comparison_numbers(c, false, numbers), kBaselineNumbers);
    EXPECT_EQ(comparison_numbers(c, true, numbers), kRivalNumbers);
    Comparison read;
    for (int n = 0; n <= kComparisonNumbers + 1; ++n) {
        const bool known = n == kBaselineNumbers || n == kBaselineNumbers + 1 ||
                           n == kRivalNumbers || n == kComparisonNumbers;
        double many[kComparisonNumbers + 1] = {};
        EXPECT_EQ(read_comparison(many, n, 2, &read), known) << n;
    }
}

TEST(ForecastRival, one_that_ends_earlier_looks_further_ahead) {
    const RowTable rows = rows_of({1, 2, 3, 4, 5, 6, 7, 8});
    const Trained rival = train(plain_spec(ForecastMethod::drift), first_rows(rows, 3));
    const GroupResult r =
        compare(hold_out(plain_spec(ForecastMethod::naive), 2), rows, rival.result);
    EXPECT_EQ(r.comparison.rival.n_rows, 2);
    EXPECT_NEAR(r.comparison.rival.rmse, 0, kTiny);
}

TEST(ForecastRival, one_that_has_seen_a_row_is_not_compared) {
    const RowTable rows = rows_of({1, 2, 3, 4, 5, 6, 7, 8});
    const auto compared = [&](std::size_t known) {
        const Trained rival = train(plain_spec(ForecastMethod::naive), first_rows(rows, known));
        const GroupResult r =
            compare(hold_out(plain_spec(ForecastMethod::naive), 2), rows, rival.result);
        EXPECT_EQ(r.comparison.baseline.n_rows, 2);
        EXPECT_EQ(r.comparison.rival.n_rows > 0, !std::isnan(r.comparison.rival_mase));
        return r.comparison.rival.n_rows > 0;
    };
    EXPECT_TRUE(compared(6));
    EXPECT_FALSE(compared(7));
    EXPECT_FALSE(compared(8));
}

TEST(ForecastRival, other_grids_are_not_compared) {
    const RowTable rows = rows_of({1, 2, 3, 4, 5, 6, 7, 8});
    const ForecastSpec candidate = hold_out(plain_spec(ForecastMethod::naive), 2);
    ForecastSpec other = plain_spec(ForecastMethod::naive);
    RowTable twos;
    for (const int t : {0, 2, 4}) twos.add(t, 1);
    other.grid.step.units = 2;
    EXPECT_EQ(compare(candidate, rows, train(other, twos).result).comparison.rival.n_rows, 0);
    other = plain_spec(ForecastMethod::naive);
    other.grid.type = TimeType::date;
    EXPECT_EQ(
        compare(candidate, rows, train(other, first_rows(rows, 4)).result).comparison.rival.n_rows,
        0);
    // The last of the times is that of the first type; nothing overflows on the way to it.
    RowTable far;
    far.add(std::numeric_limits<std::int64_t>::min() + 1, 1);
    far.add(std::numeric_limits<std::int64_t>::min() + 2, 1);
    EXPECT_EQ(compare(candidate, rows, train(plain_spec(ForecastMethod::naive), far).result)
                  .comparison.rival.n_rows,
              0);
}

TEST(ForecastRival, features_of_its_steps_come_from_the_rows) {
    RowTable rows;
    for (int t = 1; t <= 40; ++t) {
        const double x = t * 7 % 5, unused = t % 3;
        rows.add(t, 10 + 2 * x + 0.01 * (t % 2), {unused, x});
    }
    RowTable narrow;
    for (int t = 1; t <= 30; ++t) {
        const double x = t * 7 % 5;
        narrow.add(t, 10 + 2 * x + 0.01 * (t % 2), {x});
    }
    ForecastSpec spec = plain_spec(ForecastMethod::arima);
    spec.method.has_order = true;
    spec.n_features = 1;
    const Trained rival = train(spec, narrow);
    ASSERT_EQ(rival.result.status, FitStatus::ok) << rival.result.message;
    spec.n_features = 2;
    spec = hold_out(spec, 5);
    const int second[] = {1};
    const GroupResult r = compare(spec, rows, rival.result, second);
    EXPECT_EQ(r.comparison.rival.n_rows, 5);
    EXPECT_LT(r.comparison.rival.rmse, 0.05);
    const int first[] = {0};
    EXPECT_GT(compare(spec, rows, rival.result, first).comparison.rival.rmse, 1);
    const int none[] = {-1};
    EXPECT_EQ(compare(spec, rows, rival.result, none).comparison.rival.n_rows, 0);
}

TEST(ForecastRival, huge_values_have_no_nan_error) {
    std::vector<double> y(12, 1e300);
    for (std::size_t i = 1; i < y.size(); i += 2) y[i] = -1e300;
    const RowTable rows = rows_of(y);
    const Trained rival = train(plain_spec(ForecastMethod::naive), first_rows(rows, 8));
    const GroupResult r =
        compare(hold_out(plain_spec(ForecastMethod::naive), 3), rows, rival.result);
    EXPECT_EQ(r.comparison.rival.n_rows, 3);
    EXPECT_TRUE(std::isfinite(r.comparison.rival.mae));
}

}  // namespace
}  // namespace many::core
