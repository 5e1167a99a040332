// Models that training makes pass the audit; models with impossible values, and damaged ones that
// still open, do not crash it.
#include "core/codec/model_audit.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#include "unit/support.h"

namespace many::test {
namespace {

using core::LinearFit;
using core::LinearModelView;
using Check = LinearModelView::Check;

Matrix some_rows(bool collinear) {
    std::mt19937_64 g(61);
    std::normal_distribution<double> normal;
    Matrix rows;
    for (int i = 0; i < 40; ++i) {
        const double a = normal(g), b = collinear ? 2 * a : normal(g);
        rows.push_back({a, b, 1 + 3 * a - b + normal(g)});
    }
    return rows;
}

std::vector<unsigned char> encoded(const LinearFit& fit, bool imputed = false,
                                   const std::vector<core::FeatureLevels>* levels = nullptr) {
    core::ModelParts parts;
    parts.fit = &fit;
    parts.levels = levels;
    parts.n_features = levels != nullptr ? int(levels->size()) : fit.p;
    parts.imputed = imputed;
    if (imputed) parts.feature_means.assign(std::size_t(parts.n_features), 1.0);
    std::vector<unsigned char> bytes;
    core::encode_model(parts, bytes);
    return bytes;
}

LinearModelView opened(const std::vector<unsigned char>& bytes) {
    return LinearModelView::open(bytes.data(), bytes.size(), Check::checksum);
}

// Two terms of one categorical feature, and none of a second, which has one level.
std::vector<core::FeatureLevels> some_levels() {
    std::vector<core::FeatureLevels> levels(2);
    levels[0].levels = {"blue", "green", "red"};
    levels[1].levels = {"same"};
    return levels;
}

TEST(ModelAudit, TrainedModelsPass) {
    const auto levels = some_levels();
    for (const bool collinear : {false, true}) {
        const LinearFit fit = fit_rows_of(some_rows(collinear));
        EXPECT_STREQ(core::model_defect(opened(encoded(fit))), nullptr);
        EXPECT_STREQ(core::model_defect(opened(encoded(fit, true))), nullptr);
    }
    const LinearFit fit = fit_rows_of(some_rows(false));
    core::ModelParts parts;
    parts.fit = &fit;
    parts.levels = &levels;
    parts.n_features = 2;
    parts.imputed = true;
    parts.feature_means = {2, 0};  // red, same
    std::vector<unsigned char> bytes;
    core::encode_model(parts, bytes);
    EXPECT_STREQ(core::model_defect(opened(bytes)), nullptr);
    parts.feature_means = {3, 0};
    core::encode_model(parts, bytes);
    EXPECT_STRNE(core::model_defect(opened(bytes)), nullptr);
    parts.feature_means = {0.5, 0};
    core::encode_model(parts, bytes);
    EXPECT_STRNE(core::model_defect(opened(bytes)), nullptr);
}

TEST(ModelAudit, ImpossibleValuesAreDefects) {
    const double nan = std::nan(""), infinity = HUGE_VAL;
    const LinearFit good = fit_rows_of(some_rows(false));
    const std::vector<std::pair<const char*, std::function<void(LinearFit&)>>> changes = {
        {"rows", [&](LinearFit& f) { f.n_rows = 0; }},
        {"rows", [&](LinearFit& f) { f.n_rows = 10.5; }},
        {"rows", [&](LinearFit& f) { f.n_rows = nan; }},
        {"degrees", [&](LinearFit& f) { f.df_residual = -1; }},
        {"degrees", [&](LinearFit& f) { f.df_residual = 41; }},
        {"squares", [&](LinearFit& f) { f.rss = -1; }},
        {"squares", [&](LinearFit& f) { f.tss = infinity; }},
        {"squares", [&](LinearFit& f) { f.sigma = -infinity; }},
        {"penalty", [&](LinearFit& f) { f.lambda = -1; }},
        {"penalty", [&](LinearFit& f) { f.lambda = infinity; }},
        {"penalty", [&](LinearFit& f) { f.alpha = nan; }},
        {"intercept", [&](LinearFit& f) { f.intercept = nan; }},
        {"intercept", [&](LinearFit& f) { f.target_mean = infinity; }},
        {"coefficient", [&](LinearFit& f) { f.coefficient[0] = infinity; }},
        {"rank", [&](LinearFit& f) { f.coefficient[1] = nan; }},
        {"rank", [&](LinearFit& f) { f.rank = 1; }},
        {"mean", [&](LinearFit& f) { f.mean[1] = nan; }},
    };
    for (const auto& [word, change] : changes) {
        LinearFit fit = good;
        change(fit);
        const auto bytes = encoded(fit);
        const char* defect = core::model_defect(opened(bytes));
        ASSERT_NE(defect, nullptr) << word;
        EXPECT_NE(std::string(defect).find(word), std::string::npos) << defect;
    }
    LinearFit undefined = good;  // what training may leave undefined
    undefined.sigma = nan;
    undefined.condition_number = nan;
    undefined.std_error.assign(2, nan);
    undefined.intercept_std_error = nan;
    EXPECT_STREQ(core::model_defect(opened(encoded(undefined))), nullptr);
    auto bytes = encoded(good);
    LinearModelView::set_interval_level(bytes.data(), bytes.size(), 0.95);
    EXPECT_STRNE(core::model_defect(opened(bytes)), nullptr);
    const std::vector<core::FeatureLevels> none(2);
    bytes = encoded(good, false, &none);
    EXPECT_STREQ(core::model_defect(opened(bytes)), nullptr);
}

TEST(ModelAudit, WalksFeaturesAndLevels) {
    std::vector<core::FeatureLevels> levels(4);
    levels[1].levels = {"blue", "green", "red"};
    levels[2].levels = {"same"};
    Matrix rows;
    std::mt19937_64 g(62);
    std::normal_distribution<double> normal;
    for (int i = 0; i < 60; ++i)
        rows.push_back({normal(g), double(i % 3 == 1), double(i % 3 == 2), normal(g), normal(g)});
    const LinearFit fit = fit_rows_of(rows);
    const auto bytes = encoded(fit, true, &levels);
    const LinearModelView view = opened(bytes);
    for (const bool with_levels : {true, false}) {
        LinearModelView::FeatureWalk walk(view);
        const int first[] = {0, 1, 3, 3};
        for (std::size_t k = 0; k < 4; ++k) {
            ASSERT_TRUE(walk.next());
            EXPECT_EQ(walk.categorical(), !levels[k].levels.empty());
            EXPECT_EQ(walk.n_levels(), int(levels[k].levels.size()));
            EXPECT_EQ(walk.first_term(), first[k]);
            EXPECT_EQ(walk.imputed_value(), 1.0);
            std::string_view level;
            if (!with_levels && k == 1) {  // some of them only
                EXPECT_TRUE(walk.next_level(&level));
                continue;
            }
            for (const std::string& expected : levels[k].levels) {
                ASSERT_TRUE(walk.next_level(&level));
                EXPECT_EQ(level, expected);
            }
            EXPECT_FALSE(walk.next_level(&level));
        }
        EXPECT_FALSE(walk.next());
    }
}

TEST(ModelAudit, DamagedBytesNeverCrash) {
    const auto levels = some_levels();
    const LinearFit fit = fit_rows_of(some_rows(false));
    const std::vector<std::vector<unsigned char>> seeds = {encoded(fit),
                                                           encoded(fit, true, &levels)};
    std::mt19937_64 g(63);
    int opened = 0, defects = 0;
    for (int trial = 0; trial < 50000; ++trial) {
        std::vector<unsigned char> bytes = seeds[std::size_t(trial % 2)];
        for (std::uint64_t n = 1 + g() % 4; n > 0; --n) {
            const std::size_t at = g() % 3 == 0   ? g() % 24
                                   : g() % 2 == 0 ? bytes.size() - 1 - g() % 40
                                                  : g() % bytes.size();
            bytes[at] = static_cast<unsigned char>(g());
        }
        LinearModelView view;
        if (!LinearModelView::try_open(bytes.data(), bytes.size(), &view)) continue;
        ++opened;
        if (core::model_defect(view) != nullptr) ++defects;
    }
    EXPECT_GT(opened, 1000);
    EXPECT_GT(defects, 100);
}

}  // namespace
}  // namespace many::test
