// Training of one group in both forms: same bits, honest splits, honest messages.
#include "core/learners/group_trainer.h"

#include <algorithm>
#include <bit>

#include "core/error.h"
#include "core/selection/split.h"
#include "unit/exact.h"
#include "unit/learners/group_support.h"

namespace many::test {
namespace {

GroupResult statistics_form(const TrainSpec& spec, const Matrix& rows,
                            const GroupOptions& options = {}) {
    GroupTrainer trainer(spec);
    const core::MomentLayout layout(spec.n_features + 1);
    std::vector<double> moments(std::size_t(trainer.n_moments()) * layout.doubles(), 0.0);
    std::vector<double> state(trainer.holdout_doubles());
    Matrix held;
    for (const auto& row : rows) {
        const std::uint64_t h = core::row_hash(row.data(), row.size(), spec.seed);
        if (spec.holdout.kind == HoldoutSpec::Kind::fraction &&
            core::in_holdout(h, spec.holdout.fraction)) {
            held.push_back(row);
            continue;
        }
        const int fold = spec.cv_folds > 1 ? core::fold_of(h, spec.cv_folds) : 0;
        core::moments_add_rows(moments.data() + std::size_t(fold) * layout.doubles(), layout,
                               row.data(), 1, row.size());
    }
    GroupResult result;
    if (spec.holdout.kind == HoldoutSpec::Kind::none) {
        trainer.finish(moments.data(), nullptr, options, {}, result);
        return result;
    }
    EXPECT_EQ(trainer.prepare_holdout(moments.data(), options, {}, state.data()), FitStatus::ok);
    for (const auto& row : held) {
        trainer.add_holdout_rows(state.data(), moments.data(), row.data(), 1, row.size());
    }
    trainer.finish(moments.data(), state.data(), options, {}, result);
    return result;
}

// All bytes but the checksum and the in-sample mae, mape, smape of the rows form.
void expect_same_model(const GroupResult& a, const GroupResult& b) {
    ASSERT_EQ(a.status, FitStatus::ok) << a.message;
    ASSERT_EQ(b.status, FitStatus::ok) << b.message;
    ASSERT_EQ(a.model.size(), b.model.size());
    const std::size_t mae = 24 + 8 * (13 + 2);
    for (std::size_t i = 0; i < a.model.size(); ++i) {
        if ((i >= 12 && i < 16) || (i >= mae && i < mae + 24)) continue;
        ASSERT_EQ(a.model[i], b.model[i]) << "byte " << i;
    }
}

TEST(GroupTrainer, BothFormsGiveTheSameBits) {
    std::mt19937_64 g(61);
    for (const int p : {1, 3, 8}) {
        Matrix rows = group_rows(150, std::size_t(p), 62);
        for (const int folds : {0, 5}) {
            for (const bool holdout : {false, true}) {
                for (const bool search : {false, true}) {
                    TrainSpec spec = spec_of(p);
                    spec.cv_folds = folds;
                    spec.seed = 9;
                    if (!holdout) spec.holdout.kind = HoldoutSpec::Kind::none;
                    GroupOptions options;
                    if (search && folds > 1) {
                        options.linear.algorithm = core::Algorithm::lasso;
                        options.linear.lambda_auto = true;
                        options.linear.n_lambda = 20;
                    }
                    const GroupResult a = statistics_form(spec, rows, options);
                    std::shuffle(rows.begin(), rows.end(), g);
                    const GroupResult b = rows_form(spec, rows, options);
                    expect_same_model(a, b);
                    EXPECT_EQ(view(a).holdout().n_rows > 0, holdout);
                    EXPECT_EQ(view(a).cv().n_rows, folds > 1 ? 150 : 0);
                    EXPECT_TRUE(std::isnan(view(a).train().mae));
                    EXPECT_FALSE(std::isnan(view(b).train().mae));
                    std::shuffle(rows.begin(), rows.end(), g);
                    EXPECT_EQ(rows_form(spec, rows, options).model, b.model);
                }
            }
        }
    }
}

// Rows with a time; the last `held` in time follow another law.
Matrix timed_rows(std::size_t n, std::size_t held, std::uint64_t seed) {
    Matrix rows = group_rows(n, 2, seed);
    for (std::size_t r = 0; r < n; ++r) {
        if (r >= n - held) rows[r][2] += 1000;
        rows[r].push_back(std::bit_cast<double>(std::int64_t(r / 2) - 20));  // pairs of ties
    }
    return rows;
}

Matrix without_time(Matrix rows) {
    for (auto& row : rows) row.pop_back();
    return rows;
}

TEST(GroupTrainer, HoldoutByTimeDoesNotLeak) {
    const Matrix rows = timed_rows(60, 12, 63);
    TrainSpec spec = spec_of(2);
    spec.has_time = true;
    const Matrix plain = without_time(rows);
    const Matrix train(plain.begin(), plain.begin() + 48), test(plain.begin() + 48, plain.end());
    const core::SplitMetrics expected = naive(train, test);
    EXPECT_GT(expected.bias, -1010);
    EXPECT_LT(expected.bias, -990);
    std::mt19937_64 g(64);
    for (int kind = 0; kind < 3; ++kind) {
        spec.holdout = HoldoutSpec();
        if (kind == 1) {
            spec.holdout.kind = HoldoutSpec::Kind::rows;
            spec.holdout.rows = 12;
        } else if (kind == 2) {
            spec.holdout.kind = HoldoutSpec::Kind::since;
            spec.holdout.since = 48 / 2 - 20;
        }
        Matrix shuffled = rows;
        std::shuffle(shuffled.begin(), shuffled.end(), g);
        const GroupResult r = rows_form(spec, shuffled);
        expect_metrics(view(r).holdout(), expected);
        EXPECT_EQ(view(r).n_rows(), 60);
        expect_metrics(view(r).train(), naive(plain, plain));
    }
}

TEST(GroupTrainer, TiesInTimeAreBrokenByValues) {
    Matrix rows = timed_rows(41, 5, 65);
    for (auto& row : rows) row[3] = std::bit_cast<double>(std::int64_t{7});  // all at once
    TrainSpec spec = spec_of(2);
    spec.has_time = true;
    spec.cv_folds = 3;
    const GroupResult first = rows_form(spec, rows);
    std::mt19937_64 g(66);
    for (int trial = 0; trial < 10; ++trial) {
        std::shuffle(rows.begin(), rows.end(), g);
        EXPECT_EQ(rows_form(spec, rows).model, first.model);
    }
    EXPECT_EQ(view(first).holdout().n_rows, 9);  // ceil(0.2 * 41)
}

TEST(GroupTrainer, ExactHashHoldout) {
    Matrix rows = group_rows(30, 2, 67);
    TrainSpec spec = spec_of(2);
    spec.holdout.fraction = 0.1;
    spec.holdout.exact = true;
    EXPECT_EQ(view(rows_form(spec, rows)).holdout().n_rows, 3);
    spec.holdout.kind = HoldoutSpec::Kind::rows;
    spec.holdout.rows = 7;
    spec.seed = 5;
    std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
        return core::row_hash(a.data(), 3, 5) < core::row_hash(b.data(), 3, 5);
    });
    const Matrix test(rows.begin(), rows.begin() + 7), train(rows.begin() + 7, rows.end());
    std::mt19937_64 g(68);
    std::shuffle(rows.begin(), rows.end(), g);
    expect_metrics(view(rows_form(spec, rows)).holdout(), naive(train, test));
}

TEST(GroupTrainer, RollingOrigin) {
    const Matrix rows = timed_rows(50, 0, 69);
    const Matrix plain = without_time(rows);
    TrainSpec spec = spec_of(2);
    spec.has_time = true;
    spec.cv_folds = 4;
    const core::SplitMetrics cv = view(rows_form(spec, rows)).cv();
    double square = 0, error = 0;
    for (int fold = 1; fold <= 4; ++fold) {  // blocks of 10: trains on all before
        const Matrix train(plain.begin(), plain.begin() + 10 * fold);
        const Matrix test(plain.begin() + 10 * fold, plain.begin() + 10 * fold + 10);
        const core::SplitMetrics m = naive(train, test);
        square += m.rmse * m.rmse * 10;
        error += m.bias * 10;
    }
    EXPECT_EQ(cv.n_rows, 40);
    EXPECT_NEAR(cv.rmse, std::sqrt(square / 40), 1e-9);
    EXPECT_NEAR(cv.bias, error / 40, 1e-9);
}

TEST(GroupTrainer, MinRows) {
    const TrainSpec spec = spec_of(8);
    const Matrix rows = group_rows(5, 8, 70);
    for (const GroupResult& r : {rows_form(spec, rows), statistics_form(spec, rows)}) {
        EXPECT_EQ(r.status, FitStatus::too_few_rows);
        EXPECT_EQ(r.message, "has 5 usable rows, fewer than min_rows = 11");
        EXPECT_TRUE(r.model.empty());
    }
    GroupOptions options;
    options.min_rows = 5;
    // The training split is too small to judge a model by, but all rows are fitted.
    const GroupResult r = rows_form(spec, rows, options);
    EXPECT_EQ(view(r).holdout().n_rows, 0);
    EXPECT_EQ(view(r).n_rows(), 5);
    EXPECT_EQ(view(statistics_form(spec, rows, options)).holdout().n_rows, 0);
    EXPECT_EQ(rows_form(spec, {}).message, "has 0 usable rows, fewer than min_rows = 11");
    EXPECT_EQ(rows_form(spec, {rows[0]}).message, "has 1 usable row, fewer than min_rows = 11");
    options.min_rows = 1;
    for (const GroupResult& one :
         {rows_form(spec, {rows[0]}, options), statistics_form(spec, {rows[0]}, options)}) {
        EXPECT_EQ(one.status, FitStatus::constant_target);
        EXPECT_EQ(one.message, "target {target} cannot vary in 1 row");
    }
}

TEST(GroupTrainer, NotConverged) {
    // Two columns that differ by rounding errors: no set of signs settles it, the descent has to.
    Matrix rows = group_rows(40, 3, 78);
    for (auto& row : rows) row[2] = 1e8 + row[1];
    GroupOptions options;
    options.linear.algorithm = core::Algorithm::lasso;
    options.linear.lambda = 1e-12;
    options.linear.max_iterations = 1;
    for (const bool standardize : {true, false}) {
        options.linear.standardize = standardize;
        const GroupResult r = rows_form(spec_of(3), rows, options);
        EXPECT_EQ(r.status, FitStatus::not_converged);
        EXPECT_EQ(r.hint.find("max_iterations"), std::string::npos) << r.hint;
        EXPECT_EQ(r.hint.find("tolerance"), std::string::npos) << r.hint;
        EXPECT_EQ(r.hint.find("standardize") == std::string::npos, standardize) << r.hint;
    }
}

TEST(GroupTrainer, NullPolicies) {
    Matrix rows = group_rows(40, 2, 71);
    rows[3][1] = core::null_value();
    rows[7][1] = core::null_value();
    rows[9][2] = core::null_value();
    TrainSpec spec = spec_of(2);
    spec.holdout.kind = HoldoutSpec::Kind::none;

    GroupResult r = rows_form(spec, rows);
    EXPECT_EQ(r.rows_skipped, 3);
    EXPECT_EQ(r.rows_used, 37);
    EXPECT_EQ(view(r).n_rows(), 37);

    spec.null_policy = NullPolicy::error;
    r = rows_form(spec, rows);
    EXPECT_EQ(r.status, FitStatus::null_value);
    EXPECT_EQ(r.message, "feature {1} is NULL in 2 rows");
    EXPECT_FALSE(r.hint.empty());

    spec.null_policy = NullPolicy::impute_mean;
    r = rows_form(spec, rows);
    EXPECT_EQ(r.rows_skipped, 1);
    EXPECT_EQ(view(r).n_rows(), 39);
    EXPECT_TRUE(view(r).imputed());
    Exact sum = 0;
    Matrix filled;
    for (std::size_t i = 0; i < 40; ++i) {
        if (i == 9) continue;
        filled.push_back(rows[i]);
        if (i != 3 && i != 7) sum += Exact(rows[i][1]);
    }
    const double mean = double(Exact(sum / 37));
    filled[3][1] = filled[7][1] = mean;
    const core::LinearFit expected = fit_rows_of(filled);
    EXPECT_EQ(view(r).coefficient(1), expected.coefficient[1]);
    core::FeatureValue values[2];
    values[0].number = 1;
    values[1].is_null = true;
    const core::Score s = view(r).score(values);
    EXPECT_EQ(s.code, core::ScoreCode::imputed);
    values[1].is_null = false;
    values[1].number = mean;
    EXPECT_EQ(view(r).score(values).prediction, s.prediction);

    rows[9][2] = core::null_value();
    for (auto& row : rows) row[0] = core::null_value();
    r = rows_form(spec, rows);
    EXPECT_EQ(r.message, "feature {0} is NULL in every row");
}

TEST(GroupTrainer, ImputationDoesNotLeak) {
    // The held-out rows have far larger values: their mean must not reach the training split.
    Matrix rows = timed_rows(50, 10, 72);
    for (std::size_t r = 40; r < 50; ++r) rows[r][1] += 1e6;
    for (const std::size_t r : {4U, 17U, 30U, 45U}) rows[r][1] = core::null_value();
    TrainSpec spec = spec_of(2);
    spec.has_time = true;
    spec.null_policy = NullPolicy::impute_mean;
    spec.cv_folds = 4;
    const GroupResult result = rows_form(spec, rows);
    const auto filled = [&](std::size_t n_train, std::size_t n_all) {
        Exact sum = 0;
        int n = 0;
        for (std::size_t r = 0; r < n_train; ++r) {
            if (!core::is_null_value(rows[r][1])) sum += Exact(rows[r][1]), ++n;
        }
        Matrix out = without_time(rows);
        out.resize(n_all);
        for (auto& row : out) {
            if (core::is_null_value(row[1])) row[1] = double(Exact(sum / n));
        }
        return out;
    };
    const Matrix all = filled(40, 50);
    expect_metrics(view(result).holdout(),
                   naive({all.begin(), all.begin() + 40}, {all.begin() + 40, all.end()}));
    double square = 0;
    for (std::size_t fold = 1; fold <= 4; ++fold) {
        const Matrix part = filled(10 * fold, 10 * fold + 10);
        const auto cut = part.begin() + std::ptrdiff_t(10 * fold);
        const double rmse = naive({part.begin(), cut}, {cut, part.end()}).rmse;
        square += rmse * rmse * 10;
    }
    EXPECT_NEAR(view(result).cv().rmse / std::sqrt(square / 40), 1, 1e-9);
}

TEST(GroupTrainer, NotFiniteInput) {
    Matrix rows = group_rows(40, 2, 73);
    rows[5][0] = std::numeric_limits<double>::infinity();
    rows[6][0] = std::nan("");
    GroupResult r = rows_form(spec_of(2), rows);
    EXPECT_EQ(r.status, FitStatus::not_finite_input);
    EXPECT_EQ(r.message, "feature {0} is NaN or infinite in 2 rows");
    rows[5][0] = rows[6][0] = 1;
    rows[8][2] = -std::numeric_limits<double>::infinity();
    EXPECT_EQ(rows_form(spec_of(2), rows).message, "target {target} is NaN or infinite in 1 row");
    rows[8][2] = 1e200;
    EXPECT_EQ(rows_form(spec_of(2), rows).status, FitStatus::not_finite);
    for (auto& row : rows) row[2] = 0.1;
    EXPECT_EQ(rows_form(spec_of(2), rows).message,
              "target {target} has the same value in all 40 rows");
}

TEST(GroupTrainer, StopsAndBadSpecs) {
    const Matrix rows = group_rows(40, 2, 76);
    GroupTrainer trainer(spec_of(2));
    std::vector<double> flat;
    for (const auto& row : rows) flat.insert(flat.end(), row.begin(), row.end());
    volatile int flag = 1;
    GroupResult r;
    trainer.fit_rows(flat.data(), rows.size(), 3, no_levels, {}, {&flag, 0}, r);
    EXPECT_EQ(r.status, FitStatus::cancelled);
    trainer.fit_rows(flat.data(), rows.size(), 3, no_levels, {}, {nullptr, 1}, r);
    EXPECT_EQ(r.status, FitStatus::timed_out);
    trainer.fit_rows(flat.data(), rows.size(), 3, no_levels, {}, {}, r);  // usable again
    EXPECT_EQ(r.status, FitStatus::ok);
    TrainSpec bad = spec_of(2);
    bad.holdout.fraction = 1.5;
    EXPECT_THROW(GroupTrainer{bad}, core::Error);
    bad = spec_of(2);
    bad.holdout.kind = HoldoutSpec::Kind::since;
    EXPECT_THROW(GroupTrainer{bad}, core::Error);
}

TEST(GroupTrainer, NoFeatures) {  // the mean, nothing else
    const Matrix rows = {{1}, {2}, {4}, {5}};
    TrainSpec spec = spec_of(0);
    spec.holdout.kind = HoldoutSpec::Kind::none;
    for (const GroupResult& r : {rows_form(spec, rows), statistics_form(spec, rows)}) {
        EXPECT_EQ(view(r).intercept(), 3);
        EXPECT_EQ(view(r).condition_number(), 1);
        EXPECT_DOUBLE_EQ(view(r).intercept_std_error(), std::sqrt(10.0 / 3 / 4));
        EXPECT_EQ(view(r).score_numeric(nullptr).prediction, 3);
    }
}

TEST(GroupTrainer, NoInterceptMetrics) {
    const Matrix rows = group_rows(50, 2, 77);
    TrainSpec spec = spec_of(2);
    spec.holdout.kind = HoldoutSpec::Kind::none;
    GroupOptions options;
    options.linear.fit_intercept = false;
    const core::SplitMetrics m = view(rows_form(spec, rows, options)).train();
    const core::LinearFit fit = fit_rows_of(rows, options.linear);
    double error = 0, square = 0, mean = 0, spread = 0;
    for (const auto& r : rows) mean += r[2] / 50;
    for (const auto& r : rows) {
        const double e = fit.coefficient[0] * r[0] + fit.coefficient[1] * r[1] - r[2];
        error += e / 50;
        square += e * e;
        spread += (r[2] - mean) * (r[2] - mean);
    }
    EXPECT_NEAR(m.bias, error, 1e-9);
    EXPECT_NEAR(m.rmse, std::sqrt(square / 50), 1e-9);
    EXPECT_NEAR(m.r2, 1 - square / spread, 1e-9);
}

}  // namespace
}  // namespace many::test
