// Models as bytes: round trip, damage, scoring, prediction intervals.
#include "core/codec/linear_model.h"

#include <gtest/gtest.h>

#include <cstring>

#include "core/error.h"
#include "unit/exact.h"

namespace many::test {
namespace {

using core::FeatureValue;
using core::LinearModelView;
using core::Score;
using core::ScoreCode;
using Check = LinearModelView::Check;

Matrix some_rows() {
    std::mt19937_64 g(51);
    std::normal_distribution<double> normal;
    Matrix rows;
    for (int i = 0; i < 60; ++i) {
        const double a = normal(g), b = 1000 + normal(g);
        rows.push_back({a, b, 3 * a - b + normal(g)});
    }
    return rows;
}

std::vector<unsigned char> numeric_model(const core::LinearFit& fit) {
    core::ModelParts parts;
    parts.fit = &fit;
    parts.n_features = fit.p;
    parts.train = {60, 1, 2, 3, 4, 5, 6};
    parts.holdout = {12, 7, 8, 9, 10, 11, 12};
    std::vector<unsigned char> bytes;
    core::encode_model(parts, bytes);
    return bytes;
}

// Features: a number, a colour (levels blue, green, red), a number; imputed by mean.
std::vector<unsigned char> categorical_model(core::LinearFit& fit,
                                             std::vector<core::FeatureLevels>& levels) {
    Matrix rows;
    std::mt19937_64 g(52);
    std::normal_distribution<double> normal;
    for (int i = 0; i < 90; ++i) {
        const double x = normal(g), z = normal(g);
        const double green = i % 3 == 1, red = i % 3 == 2;
        rows.push_back({x, green, red, z, 1 + x + 10 * green + 20 * red - z + 0.1 * normal(g)});
    }
    fit = fit_rows_of(rows);
    levels.assign(3, {});
    levels[1].levels = {"blue", "green", "red"};
    core::ModelParts parts;
    parts.fit = &fit;
    parts.n_features = 3;
    parts.levels = &levels;
    parts.imputed = true;
    parts.feature_means = {0.5, 2, -0.25};  // of the colour: the index of red
    std::vector<unsigned char> bytes;
    core::encode_model(parts, bytes);
    return bytes;
}

TEST(Codec, RoundTrip) {
    const core::LinearFit fit = fit_rows_of(some_rows());
    const auto bytes = numeric_model(fit);
    const auto v = LinearModelView::open(bytes.data(), bytes.size(), Check::checksum);
    EXPECT_EQ(v.algorithm(), core::Algorithm::linear_regression);
    EXPECT_TRUE(v.has_intercept());
    EXPECT_TRUE(v.has_interval());
    EXPECT_FALSE(v.imputed());
    EXPECT_FALSE(v.has_levels());
    EXPECT_EQ(v.n_features(), 2);
    EXPECT_EQ(v.n_terms(), 2);
    EXPECT_EQ(v.rank(), 2);
    EXPECT_EQ(v.interval_t(), 0);
    EXPECT_EQ(v.n_rows(), 60);
    EXPECT_EQ(v.df_residual(), 57);
    EXPECT_EQ(v.rss(), fit.rss);
    EXPECT_EQ(v.tss(), fit.tss);
    EXPECT_EQ(v.r2(), fit.r2);
    EXPECT_EQ(v.sigma(), fit.sigma);
    EXPECT_EQ(v.lambda(), 0);
    EXPECT_EQ(v.alpha(), 0);
    EXPECT_EQ(v.condition_number(), fit.condition_number);
    EXPECT_EQ(v.intercept(), fit.intercept);
    EXPECT_EQ(v.intercept_std_error(), fit.intercept_std_error);
    EXPECT_EQ(v.target_mean(), fit.target_mean);
    EXPECT_EQ(v.train().mae, 2);
    EXPECT_EQ(v.holdout().bias, 12);
    EXPECT_EQ(v.cv().n_rows, 0);
    for (int j = 0; j < 2; ++j) {
        EXPECT_EQ(v.coefficient(j), fit.coefficient[std::size_t(j)]);
        EXPECT_EQ(v.std_error(j), fit.std_error[std::size_t(j)]);
        EXPECT_EQ(v.mean(j), fit.mean[std::size_t(j)]);
        EXPECT_EQ(v.term(j).feature, j);
        EXPECT_TRUE(v.term(j).level.empty());
    }
}

TEST(Codec, ChecksumSeesEveryByteAndBit) {
    core::LinearFit fit;
    std::vector<core::FeatureLevels> levels;
    for (auto bytes : {numeric_model(fit_rows_of(some_rows())), categorical_model(fit, levels)}) {
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            if (i >= 24 && i < 32) continue;  // the cache slot of the interval
            for (const unsigned char flip : {0x01, 0x80, 0xff}) {
                bytes[i] = static_cast<unsigned char>(bytes[i] ^ flip);
                EXPECT_THROW(LinearModelView::open(bytes.data(), bytes.size(), Check::checksum),
                             core::Error)
                    << i;
                bytes[i] = static_cast<unsigned char>(bytes[i] ^ flip);
            }
        }
        LinearModelView::set_interval_level(bytes.data(), bytes.size(), 0.9);
        EXPECT_NO_THROW(LinearModelView::open(bytes.data(), bytes.size(), Check::checksum));
    }
}

TEST(Codec, TruncatedAndExtendedBytesAreRefused) {
    core::LinearFit fit;
    std::vector<core::FeatureLevels> levels;
    for (auto bytes : {numeric_model(fit_rows_of(some_rows())), categorical_model(fit, levels)}) {
        LinearModelView view;
        for (std::size_t n = 0; n < bytes.size(); ++n) {
            const std::vector<unsigned char> part(bytes.begin(), bytes.begin() + std::ptrdiff_t(n));
            EXPECT_FALSE(LinearModelView::try_open(part.data(), n, &view));
            EXPECT_THROW(LinearModelView::open(part.data(), n, Check::structure), core::Error);
        }
        bytes.push_back(0);
        EXPECT_FALSE(LinearModelView::try_open(bytes.data(), bytes.size(), &view));
    }
}

// Every access to a view that opened stays inside its (exactly sized) heap block: for ASan.
void use(const LinearModelView& v) {
    double sum = v.interval_t() + v.train().rmse + v.holdout().rmse + v.cv().rmse + v.sigma();
    for (int j = 0; j < v.n_terms(); ++j) {
        sum += v.coefficient(j) + v.mean(j) + v.std_error(j);
        sum += v.term(j).feature + double(v.term(j).level.size());
    }
    for (int k = 0; k < v.n_features(); ++k) sum += double(v.reference_level(k).size());
    std::vector<double> means, spreads;
    v.term_moments(means, spreads);
    std::vector<FeatureValue> values(std::size_t(v.n_features()));
    for (std::size_t k = 0; k < values.size(); ++k) {
        values[k].number = double(k);
        values[k].text = "red";
        values[k].text_length = 3;
        values[k].is_null = k % 3 == 1;
    }
    sum += v.score(values.data()).prediction;
    if (!v.has_levels()) {
        const std::vector<double> x(std::size_t(v.n_features()), 1.5);
        sum += v.score_numeric(x.data()).prediction;
    }
    volatile double sink = sum;
    (void)sink;
}

TEST(Codec, DamagedBytesNeverCrash) {
    core::LinearFit fit;
    std::vector<core::FeatureLevels> levels;
    const std::vector<std::vector<unsigned char>> seeds = {numeric_model(fit_rows_of(some_rows())),
                                                           categorical_model(fit, levels)};
    std::mt19937_64 g(53);
    int opened = 0;
    for (int trial = 0; trial < 100000; ++trial) {
        std::vector<unsigned char> bytes = seeds[std::size_t(trial % 2)];
        if (trial % 10 == 9) {  // garbage of any length, sometimes with a good head
            bytes.assign(g() % 700, 0);
            for (auto& b : bytes) b = static_cast<unsigned char>(g());
            if (bytes.size() > 24 && g() % 2 == 0) std::memcpy(bytes.data(), seeds[0].data(), 24);
        } else {
            for (std::uint64_t n = 1 + g() % 4; n > 0; --n) {
                // Mostly the head and the levels at the end, where the structure is.
                const std::size_t at = g() % 3 == 0   ? g() % 24
                                       : g() % 2 == 0 ? bytes.size() - 1 - g() % 40
                                                      : g() % bytes.size();
                bytes[at] = static_cast<unsigned char>(g());
            }
        }
        const std::uint32_t length = static_cast<std::uint32_t>(bytes.size());
        if (trial % 3 == 0 && length >= 12) std::memcpy(bytes.data() + 8, &length, 4);
        LinearModelView view;
        if (LinearModelView::try_open(bytes.data(), bytes.size(), &view)) {
            use(view);
            ++opened;
        }
    }
    EXPECT_GT(opened, 1000);
}

TEST(Codec, ScoresNumbers) {
    const Matrix rows = some_rows();
    const core::LinearFit fit = fit_rows_of(rows);
    auto bytes = numeric_model(fit);
    auto v = LinearModelView::open(bytes.data(), bytes.size(), Check::structure);
    const double x[2] = {0.3, 1001};
    const double expected = fit.intercept + fit.coefficient[0] * x[0] + fit.coefficient[1] * x[1];
    Score s = v.score_numeric(x);
    EXPECT_EQ(s.code, ScoreCode::ok);
    EXPECT_NEAR(s.prediction, expected, 1e-9);
    EXPECT_TRUE(std::isnan(s.lower));
    LinearModelView::set_interval_level(bytes.data(), bytes.size(), 0.95);
    s = v.score_numeric(x);
    // Leverage by the definition, at 150 digits: z' (Z'Z)^-1 z = se^2 of a prediction / sigma^2;
    // refit with x as the origin, so that the intercept is the prediction.
    Matrix moved = rows;
    for (auto& row : moved) row[0] -= x[0], row[1] -= x[1];
    const ExactFit exact = exact_least_squares(moved, true);
    const double half = core::t_quantile(0.95, 57) *
                        double(sqrt(Exact(exact.sigma * exact.sigma + exact.se[0] * exact.se[0])));
    EXPECT_NEAR(s.upper - s.prediction, half, 1e-10);
    EXPECT_NEAR(s.prediction - s.lower, half, 1e-10);
    FeatureValue values[2];
    values[0].number = x[0];
    values[1].number = x[1];
    const Score t = v.score(values);
    EXPECT_EQ(t.prediction, s.prediction);
    EXPECT_EQ(t.upper, s.upper);
}

TEST(Codec, ScoreCodes) {
    const core::LinearFit fit = fit_rows_of(some_rows());
    const auto bytes = numeric_model(fit);
    const auto v = LinearModelView::open(bytes.data(), bytes.size(), Check::structure);
    FeatureValue values[2];
    values[1].is_null = true;
    Score s = v.score(values);
    EXPECT_EQ(s.code, ScoreCode::null_feature);
    EXPECT_EQ(s.feature, 1);
    EXPECT_TRUE(std::isnan(s.prediction));
    const double bad[2] = {0, std::numeric_limits<double>::infinity()};
    s = v.score_numeric(bad);
    EXPECT_EQ(s.code, ScoreCode::not_finite);
    EXPECT_EQ(s.feature, 1);
    const double huge[2] = {1.7e308, -1.7e308};
    EXPECT_EQ(v.score_numeric(huge).code, ScoreCode::overflow);
}

TEST(Codec, DroppedTermsCountNothing) {
    Matrix rows = some_rows();
    for (auto& row : rows) row.insert(row.begin() + 1, row[0]);
    const core::LinearFit fit = fit_rows_of(rows);
    auto bytes = numeric_model(fit);
    LinearModelView::set_interval_level(bytes.data(), bytes.size(), 0.95);
    const auto v = LinearModelView::open(bytes.data(), bytes.size(), Check::structure);
    EXPECT_TRUE(std::isnan(v.coefficient(1)));
    const double x[3] = {0.3, 77, 1001};
    const Score s = v.score_numeric(x);
    EXPECT_NEAR(s.prediction, fit.intercept + fit.coefficient[0] * 0.3 + fit.coefficient[2] * 1001,
                1e-9);
    EXPECT_GT(s.upper, s.prediction);
    const double bad[3] = {0.3, std::nan(""), 1001};
    EXPECT_EQ(v.score_numeric(bad).code, ScoreCode::not_finite);
}

TEST(Codec, ScoresLevels) {
    core::LinearFit fit;
    std::vector<core::FeatureLevels> levels;
    const auto bytes = categorical_model(fit, levels);
    const auto v = LinearModelView::open(bytes.data(), bytes.size(), Check::checksum);
    EXPECT_EQ(v.term(0).feature, 0);
    EXPECT_EQ(v.term(1).level, "green");
    EXPECT_EQ(v.term(2).level, "red");
    EXPECT_EQ(v.term(2).feature, 1);
    EXPECT_EQ(v.term(3).feature, 2);
    FeatureValue values[3];
    const auto colour = [&](const char* text) {
        values[1].text = text;
        values[1].text_length = static_cast<std::uint32_t>(std::strlen(text));
        return v.score(values);
    };
    const double blue = colour("blue").prediction;
    EXPECT_NEAR(blue, fit.intercept, 1e-12);
    EXPECT_NEAR(colour("green").prediction - blue, fit.coefficient[1], 1e-12);
    EXPECT_NEAR(colour("red").prediction - blue, fit.coefficient[2], 1e-12);
    const Score unseen = colour("mauve");
    EXPECT_EQ(unseen.code, ScoreCode::unseen_level);
    EXPECT_EQ(unseen.feature, 1);
    values[1].is_null = true;  // the most frequent level: red
    Score s = v.score(values);
    EXPECT_EQ(s.code, ScoreCode::imputed);
    EXPECT_EQ(s.feature, 1);
    EXPECT_NEAR(s.prediction - blue, fit.coefficient[2], 1e-12);
    values[0].is_null = true;
    s = v.score(values);
    EXPECT_EQ(s.feature, 0);
    EXPECT_NEAR(s.prediction - blue, fit.coefficient[2] + 0.5 * fit.coefficient[0], 1e-12);
    EXPECT_THROW((void)v.score_numeric(nullptr), core::Bug);
}

TEST(Codec, Crc32c) {
    EXPECT_EQ(core::crc32c("123456789", 9), 0xe3069283U);  // the check value of the polynomial
    const std::vector<unsigned char> zeros(32, 0);         // RFC 3720, B.4
    EXPECT_EQ(core::crc32c(zeros.data(), 32), 0x8a9136aaU);
    const char text[] = "a longer text, to be cut at every place";
    const std::uint32_t whole = core::crc32c(text, sizeof text);
    for (std::size_t cut = 0; cut <= sizeof text; ++cut) {
        EXPECT_EQ(core::crc32c(text + cut, sizeof text - cut, core::crc32c(text, cut)), whole);
    }
}

// Means and standard deviations of the terms by their definition, whatever the model stores.
TEST(Codec, TermMoments) {
    std::mt19937_64 g(57);
    std::normal_distribution<double> normal;
    Matrix rows, collinear;
    for (int i = 0; i < 200; ++i) {
        const double a = 50 + normal(g), b = 0.6 * a + 1e-3 * normal(g), c = i % 4 == 0;
        rows.push_back({a, b, c, 7, a - b + 5 * c + normal(g)});
    }
    core::LinearOptions through_zero, ridge;
    through_zero.fit_intercept = false;
    ridge.algorithm = core::Algorithm::ridge;
    ridge.lambda = 0.1;
    for (const std::size_t p : {std::size_t{3}, std::size_t{4}}) {  // the fourth is constant
        Matrix data = rows;
        if (p == 3)
            for (auto& row : data) row.erase(row.begin() + 3);
        for (const core::LinearOptions& options : {core::LinearOptions(), through_zero, ridge}) {
            const core::LinearFit fit = fit_rows_of(data, options);
            const auto bytes = numeric_model(fit);
            const bool derived =
                p == 3 && options.fit_intercept && options.algorithm != core::Algorithm::ridge;
            core::LinearFit bare = fit;
            bare.location.clear();
            EXPECT_EQ(bytes.size() - numeric_model(bare).size(), derived ? 0 : 16 * p);
            const auto v = LinearModelView::open(bytes.data(), bytes.size(), Check::checksum);
            std::vector<double> means, spreads;
            v.term_moments(means, spreads);
            ASSERT_EQ(means.size(), p);
            ASSERT_EQ(spreads.size(), p);
            for (std::size_t j = 0; j < p; ++j) {
                long double sum = 0, square = 0;
                for (const auto& row : data) sum += row[j];
                const long double mean = sum / data.size();
                for (const auto& row : data) square += (row[j] - mean) * (row[j] - mean);
                EXPECT_NEAR(means[j], double(mean), 1e-12 * std::fabs(double(mean)));
                const double spread = double(std::sqrt(square / data.size()));
                EXPECT_NEAR(spreads[j], spread, 1e-8 * spread + 1e-12);
            }
        }
    }
    // A penalised model without them says so.
    core::LinearFit old = fit_rows_of(rows, ridge);
    old.spread.clear();
    const auto bytes = numeric_model(old);
    const auto v = LinearModelView::open(bytes.data(), bytes.size(), Check::checksum);
    std::vector<double> means, spreads;
    v.term_moments(means, spreads);
    EXPECT_EQ(means[0], old.mean[0]);
    EXPECT_TRUE(std::isnan(spreads[0]));
}

TEST(Codec, ReferenceLevels) {
    core::LinearFit fit;
    std::vector<core::FeatureLevels> levels;
    const auto bytes = categorical_model(fit, levels);
    const auto v = LinearModelView::open(bytes.data(), bytes.size(), Check::checksum);
    EXPECT_EQ(v.reference_level(1), "blue");
    EXPECT_TRUE(v.reference_level(0).empty());
    EXPECT_TRUE(v.reference_level(2).empty());
    EXPECT_TRUE(v.reference_level(3).empty());
}

}  // namespace
}  // namespace many::test
