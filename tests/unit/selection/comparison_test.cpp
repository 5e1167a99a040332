// A rival judged beside the candidate: metrics, paired differences, the test, in both forms.
#include "core/selection/comparison.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/selection/split.h"
#include "unit/learners/group_support.h"

namespace many::test {
namespace {

using core::Comparison;
using core::Rival;

// Student 1908, as R's data set sleep: t.test(a, b, paired = TRUE, alternative = "greater") gives
// t = 4.0621277, df = 9, p = 0.001416445.
TEST(Comparison, PairedTestOfStudent) {
    const double d[10] = {1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4};
    std::vector<double> state(core::comparison_state_doubles());
    core::comparison_start(state.data(), 0);
    // Actual 0, the candidate exact, the rival off by d: differences of |e| are d.
    for (const double v : d) core::comparison_add(state.data(), 0, 0, v);
    Comparison c;
    core::comparison_finish(state.data(), &c.rival, &c.paired);
    EXPECT_EQ(c.paired.n, 10);
    EXPECT_NEAR(c.paired.mean_absolute, 1.58, 1e-14);
    EXPECT_NEAR(c.paired.sd_absolute, 1.2299954, 1e-7);
    EXPECT_NEAR(core::paired_p_value(10, c.paired.mean_absolute, c.paired.sd_absolute), 0.001416445,
                1e-8);
    EXPECT_NEAR(core::paired_p_value(10, -c.paired.mean_absolute, c.paired.sd_absolute),
                1 - 0.001416445, 1e-8);
    EXPECT_NEAR(c.rival.mae, 1.58, 1e-14);
    EXPECT_TRUE(std::isnan(c.rival.mape));
    EXPECT_TRUE(std::isnan(c.rival.r2));
}

TEST(Comparison, PValueEdges) {
    EXPECT_TRUE(std::isnan(core::paired_p_value(1, 1, 0)));
    EXPECT_TRUE(std::isnan(core::paired_p_value(0, 1, 1)));
    EXPECT_TRUE(std::isnan(core::paired_p_value(5, std::nan(""), 1)));
    EXPECT_EQ(core::paired_p_value(5, 1, 0), 0);
    EXPECT_EQ(core::paired_p_value(5, 0, 0), 0.5);
    EXPECT_EQ(core::paired_p_value(5, -1, 0), 1);
    EXPECT_EQ(core::paired_p_value(5, 0, 1), 0.5);
    EXPECT_NEAR(core::paired_p_value(2, 1, std::sqrt(2.0)), 0.25, 1e-12);  // Cauchy at 1
}

// By the definition, in other words: B = 2 for n = 12, since 0.4 * 12^(2/3) = 2.1.
TEST(Comparison, DifferencesInTime) {
    const std::vector<double> d = {3, 2, 3, 1, 0, 1, -1, 0, -2, -1, 1, 2};
    core::PairedDifferences p;
    core::paired_in_time(d, d, &p);
    double first = 0;
    double second = 0;
    for (int t = 0; t < 12; ++t) {
        first += d[std::size_t(t)] * std::cos(std::acos(-1.0) * (t + 0.5) / 12);
        second += d[std::size_t(t)] * std::cos(std::acos(-1.0) * (t + 0.5) / 6);
    }
    EXPECT_EQ(p.n, 12);
    EXPECT_EQ(p.df, 2);
    EXPECT_NEAR(p.mean_squared, 0.75, 1e-15);
    EXPECT_NEAR(p.sd_squared, std::sqrt((first * first + second * second) / 12), 1e-13);
    // Neighbours are alike: the mean is less certain than it were of independent ones, 1.6583.
    EXPECT_GT(p.sd_squared, 1.6583);
    const double t = 0.75 * std::sqrt(12.0) / p.sd_squared;
    EXPECT_NEAR(core::paired_p_value(p.n, p.mean_squared, p.sd_squared, p.df),
                0.5 - t / std::sqrt(2 + t * t) / 2, 1e-13);  // Student's t of two degrees
}

TEST(Comparison, DifferencesInTimeEdges) {
    core::PairedDifferences p;
    core::paired_in_time({}, {}, &p);
    EXPECT_EQ(p.n, 0);
    const std::vector<double> one = {1};
    core::paired_in_time(one, one, &p);
    EXPECT_TRUE(std::isnan(core::paired_p_value(p.n, p.mean_squared, p.sd_squared, p.df)));
    // Of three, two cosines are all there are: Student's test of the three.
    const std::vector<double> three = {1, 5, 1};
    core::paired_in_time(three, three, &p);
    EXPECT_EQ(p.df, 2);
    EXPECT_NEAR(p.sd_squared, std::sqrt(16.0 / 3), 1e-14);
    // Orthogonal to the first two cosines, by chance: the ordinary deviation stands in.
    std::vector<double> third(8);
    for (int t = 0; t < 8; ++t)
        third[std::size_t(t)] = std::cos(std::acos(-1.0) * 3 * (t + 0.5) / 8);
    core::paired_in_time(third, third, &p);
    EXPECT_NEAR(p.sd_squared, std::sqrt(4.0 / 7), 1e-14);
    const std::vector<double> equal(7, 0.1);
    core::paired_in_time(equal, equal, &p);
    EXPECT_EQ(p.sd_squared, 0);
    EXPECT_EQ(core::paired_p_value(p.n, p.mean_squared, p.sd_squared, p.df), 0);
}

// A rival without terms but a constant, as bytes.
std::vector<unsigned char> constant_model(int n_features, double value) {
    core::LinearFit fit;
    fit.p = n_features;
    fit.rank = n_features;
    fit.n_rows = 10;
    fit.df_residual = 5;
    fit.target_mean = fit.intercept = value;
    fit.coefficient.assign(std::size_t(n_features), 0.0);
    fit.mean.assign(std::size_t(n_features), 0.0);
    fit.std_error.assign(std::size_t(n_features), 0.0);
    fit.algorithm = core::Algorithm::ridge;
    core::ModelParts parts;
    parts.fit = &fit;
    parts.n_features = n_features;
    std::vector<unsigned char> bytes;
    core::encode_model(parts, bytes);
    return bytes;
}

Rival open_rival(const std::vector<unsigned char>& bytes, const int* columns = nullptr) {
    Rival rival;
    rival.view =
        LinearModelView::open(bytes.data(), bytes.size(), LinearModelView::Check::checksum);
    rival.columns = columns;
    return rival;
}

// The statistics form, with the holdout by hash.
GroupResult statistics_form(const TrainSpec& spec, const Matrix& rows, const Rival* rival) {
    GroupTrainer trainer(spec);
    const std::size_t d = std::size_t(spec.n_features) + 1;
    const core::MomentLayout layout(spec.n_features + 1);
    std::vector<double> moments(layout.doubles() * std::size_t(trainer.n_moments()));
    std::vector<double> state(trainer.holdout_doubles());
    std::vector<double> comparison(core::comparison_state_doubles());
    const auto held = [&](const std::vector<double>& row) {
        return core::in_holdout(core::row_hash(row.data(), d, spec.seed), spec.holdout.fraction);
    };
    for (const auto& row : rows)
        if (!held(row)) core::moments_add_rows(moments.data(), layout, row.data(), 1, d);
    EXPECT_EQ(trainer.prepare_holdout(moments.data(), {}, {}, state.data()), FitStatus::ok);
    trainer.start_comparison(comparison.data(), state.data());
    for (const auto& row : rows) {
        if (!held(row)) continue;
        trainer.add_holdout_rows(state.data(), moments.data(), row.data(), 1, d);
        if (rival != nullptr)
            trainer.add_comparison_rows(comparison.data(), state.data(), *rival, row.data(), 1, d);
    }
    GroupResult result;
    trainer.finish(moments.data(), state.data(), {}, {}, result,
                   rival != nullptr ? comparison.data() : nullptr);
    return result;
}

TEST(Comparison, BothFormsAgreeWithPlainSums) {
    TrainSpec spec = spec_of(3);
    Matrix rows = group_rows(300, 3, 71);
    const std::vector<unsigned char> bytes = constant_model(2, 60);
    const int columns[2] = {2, 0};
    const Rival rival = open_rival(bytes, columns);
    const GroupResult sums = statistics_form(spec, rows, &rival);

    Matrix train, test;
    double train_mean = 0;
    for (const auto& row : rows) {
        const bool held = core::in_holdout(core::row_hash(row.data(), 4, 0), 0.2);
        (held ? test : train).push_back(row);
        if (!held) train_mean += row[3];
    }
    train_mean /= double(train.size());
    const core::LinearFit fit = fit_rows_of(train);
    long double by_square = 0, squares = 0, rival_square = 0, baseline_square = 0, baseline_abs = 0;
    for (const auto& row : test) {
        const long double own = fit.intercept + fit.coefficient[0] * (long double)row[0] +
                                fit.coefficient[1] * (long double)row[1] +
                                fit.coefficient[2] * (long double)row[2] - row[3];
        const long double other = 60.0L - row[3], base = train_mean - (long double)row[3];
        const long double d = other * other - own * own;
        by_square += d;
        squares += d * d;
        rival_square += other * other;
        baseline_square += base * base;
        baseline_abs += std::fabs(base);
    }
    const long double n = test.size(), mean = by_square / n;
    const Comparison& c = sums.comparison;
    EXPECT_EQ(c.rival.n_rows, double(test.size()));
    EXPECT_EQ(c.paired.n, double(test.size()));
    EXPECT_NEAR(c.paired.mean_squared / double(mean), 1, 1e-10);
    EXPECT_NEAR(c.paired.sd_squared / double(std::sqrt((squares - n * mean * mean) / (n - 1))), 1,
                1e-10);
    EXPECT_NEAR(c.rival.rmse, double(std::sqrt(rival_square / n)), 1e-10);
    EXPECT_NEAR(c.baseline.rmse, double(std::sqrt(baseline_square / n)), 1e-10);
    EXPECT_NEAR(c.baseline.mae, double(baseline_abs / n), 1e-10);
    EXPECT_EQ(c.baseline.n_rows, double(test.size()));

    // Order-free, to the bit, and the same in the rows form.
    std::mt19937_64 g(72);
    for (int trial = 0; trial < 5; ++trial) {
        std::shuffle(rows.begin(), rows.end(), g);
        const GroupResult again = statistics_form(spec, rows, &rival);
        EXPECT_EQ(std::memcmp(&again.comparison, &c, sizeof c), 0);
        GroupTrainer trainer(spec);
        std::vector<double> flat;
        for (const auto& row : rows) flat.insert(flat.end(), row.begin(), row.end());
        GroupResult other;
        trainer.fit_rows(flat.data(), rows.size(), 4, no_levels, {}, {}, other, &rival);
        EXPECT_EQ(std::memcmp(&other.comparison, &c, sizeof c), 0);
        EXPECT_EQ(other.status, FitStatus::ok);
    }
    // Without a rival there is a baseline, and the same model.
    const GroupResult alone = statistics_form(spec, rows, nullptr);
    EXPECT_EQ(alone.model, sums.model);
    EXPECT_EQ(alone.comparison.rival.n_rows, 0);
    EXPECT_TRUE(std::isnan(alone.comparison.rival.rmse));
    EXPECT_EQ(alone.comparison.baseline.rmse, c.baseline.rmse);
}

TEST(Comparison, BaselineWithoutInterceptIsTheMean) {
    TrainSpec spec = spec_of(2);
    const Matrix rows = group_rows(200, 2, 73);
    GroupOptions options;
    options.linear.fit_intercept = false;
    const GroupResult result = rows_form(spec, rows, options);
    const GroupResult with = rows_form(spec, rows);
    EXPECT_NEAR(result.comparison.baseline.rmse, with.comparison.baseline.rmse, 1e-10);
    EXPECT_NEAR(result.comparison.baseline.bias, with.comparison.baseline.bias, 1e-10);
}

TEST(Comparison, NothingHeldOut) {
    TrainSpec spec = spec_of(1);
    spec.holdout.kind = HoldoutSpec::Kind::none;
    const std::vector<unsigned char> bytes = constant_model(1, 0);
    const Rival rival = open_rival(bytes);
    std::vector<double> flat;
    for (const auto& row : group_rows(40, 1, 74)) flat.insert(flat.end(), row.begin(), row.end());
    GroupTrainer trainer(spec);
    GroupResult result;
    trainer.fit_rows(flat.data(), 40, 2, no_levels, {}, {}, result, &rival);
    EXPECT_EQ(result.status, FitStatus::ok);
    EXPECT_EQ(result.comparison.baseline.n_rows, 0);
    EXPECT_EQ(result.comparison.rival.n_rows, 0);
    EXPECT_EQ(result.comparison.paired.n, 0);
}

// Levels and NULLs: rows that the rival cannot score are left out of the comparison alone.
TEST(Comparison, RowsTheRivalCannotScore) {
    TrainSpec spec = spec_of(2);
    spec.categorical[1] = true;
    spec.null_policy = NullPolicy::impute_mean;
    spec.holdout.exact = true;
    const auto lookup = [](int, std::uint64_t key) -> std::string_view {
        return key == 1 ? "red" : key == 2 ? "green" : "blue";
    };
    const auto make = [](std::size_t n, std::uint64_t n_levels, bool with_null) {
        std::mt19937_64 g(75);
        std::normal_distribution<double> normal;
        std::vector<double> flat;
        for (std::size_t i = 0; i < n; ++i) {
            const std::uint64_t level = 1 + g() % n_levels;
            const double x = normal(g);
            flat.push_back(with_null && i % 10 == 0 ? core::null_value() : x);
            flat.push_back(std::bit_cast<double>(level));
            flat.push_back(x + double(level) + 0.1 * normal(g));
        }
        return flat;
    };
    GroupResult first, second;
    std::vector<double> old_rows = make(200, 2, false), new_rows = make(400, 3, true);
    TrainSpec plain = spec;
    plain.null_policy = NullPolicy::skip_row;
    GroupTrainer(plain).fit_rows(old_rows.data(), 200, 3, lookup, {}, {}, first);
    ASSERT_EQ(first.status, FitStatus::ok);
    const Rival rival = open_rival(first.model);
    GroupTrainer(spec).fit_rows(new_rows.data(), 400, 3, lookup, {}, {}, second, &rival);
    ASSERT_EQ(second.status, FitStatus::ok);
    const core::SplitMetrics own = view(second).holdout();
    EXPECT_EQ(own.n_rows, 80);
    EXPECT_GT(second.comparison.rival.n_rows, 30);
    EXPECT_LT(second.comparison.rival.n_rows, 70);  // a third has the level blue, a tenth a NULL
    EXPECT_LT(second.comparison.rival.rmse, 0.2);
    EXPECT_EQ(second.comparison.baseline.n_rows, 80);
}

}  // namespace
}  // namespace many::test
