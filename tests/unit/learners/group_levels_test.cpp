// Categorical features in group training: expansion, limits, unseen levels, NULLs.
#include <bit>

#include "unit/learners/group_support.h"

namespace many::test {
namespace {

// Feature 0 a number, feature 1 a colour with keys 900 + index.
const char* const kColours[] = {"red", "blue", "green", "amber"};
double colour(int i) {
    return std::bit_cast<double>(std::uint64_t(900 + i));
}

TEST(GroupTrainer, CategoricalFeatures) {
    static const core::LevelLookup lookup = [](int, std::uint64_t key) -> std::string_view {
        return kColours[key - 900];
    };
    std::mt19937_64 g(74);
    std::normal_distribution<double> normal;
    Matrix rows, expanded;  // one-hot in the order amber (reference), blue, green, red
    for (int i = 0; i < 80; ++i) {
        const int c = i % 4;
        const double x = normal(g), y = 3 + x + 5 * c + normal(g);
        rows.push_back({x, colour(c), y});
        expanded.push_back({x, double(c == 1), double(c == 2), double(c == 0), y});
    }
    TrainSpec spec = spec_of(2);
    spec.categorical[1] = true;
    spec.holdout.kind = HoldoutSpec::Kind::none;
    const GroupResult r = rows_form(spec, rows, {}, lookup);
    const core::LinearFit fit = fit_rows_of(expanded);
    ASSERT_EQ(view(r).n_terms(), 4);
    for (int j = 0; j < 4; ++j) {
        EXPECT_EQ(view(r).coefficient(j), fit.coefficient[std::size_t(j)]);
    }
    EXPECT_EQ(view(r).term(1).level, "blue");
    EXPECT_EQ(view(r).term(3).level, "red");
    expect_metrics(view(r).train(), naive(expanded, expanded));

    spec.max_levels = 3;
    const GroupResult many = rows_form(spec, rows, {}, lookup);
    EXPECT_EQ(many.status, FitStatus::too_many_levels);
    EXPECT_EQ(many.message, "feature {1} has more than 3 levels");
    EXPECT_FALSE(many.hint.empty());
}

TEST(GroupTrainer, UnseenLevelsAreNotJudged) {
    static const core::LevelLookup lookup = [](int, std::uint64_t key) -> std::string_view {
        return kColours[key - 900];
    };
    std::mt19937_64 g(75);
    std::normal_distribution<double> normal;
    Matrix rows;
    for (int i = 0; i < 60; ++i) {
        const int c = i >= 55 ? 3 : i % 2;  // amber only in the last five, all held out
        rows.push_back(
            {normal(g), colour(c), normal(g) + c, std::bit_cast<double>(std::int64_t(i))});
    }
    TrainSpec spec = spec_of(2);
    spec.categorical[1] = true;
    spec.has_time = true;
    spec.cv_folds = 5;
    const GroupResult r = rows_form(spec, rows, {}, lookup);
    EXPECT_EQ(view(r).holdout().n_rows, 7);  // of 12
    EXPECT_EQ(view(r).cv().n_rows, 45);      // of 50
    EXPECT_EQ(view(r).n_rows(), 60);

    spec.null_policy = NullPolicy::impute_mean;  // a NULL colour is the most frequent one
    rows[2][1] = core::null_value();             // was red: now blue leads by one
    const GroupResult imputed = rows_form(spec, rows, {}, lookup);
    core::FeatureValue values[2];
    values[1].is_null = true;
    const core::Score unknown = view(imputed).score(values);
    values[1].is_null = false;
    values[1].text = "blue";
    values[1].text_length = 4;
    EXPECT_EQ(unknown.code, core::ScoreCode::imputed);
    EXPECT_EQ(unknown.prediction, view(imputed).score(values).prediction);
}

}  // namespace
}  // namespace many::test
