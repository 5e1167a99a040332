// Grouped fits against references computed elsewhere: R and exact arithmetic (least squares), and a
// polished solver (penalised). Files and tolerances: README.md of the shared data; skipped when
// that is not there.
#include <gtest/gtest.h>

#include <functional>

#include "core/learners/linear.h"
#include "unit/support.h"

namespace many::test {
namespace {

struct Model {
    const char* id;
    const char* file;
    std::vector<std::string> keys;
    const char* target;
    std::vector<std::string> features;  // "log:name", "year-1950" or a column
};

std::vector<Model> models() {
    std::vector<std::string> oj;
    for (int i = 1; i <= 11; ++i) oj.push_back("log:price" + std::to_string(i));
    oj.insert(oj.end(), {"deal", "feat"});
    return {
        {"gapminder_year", "gapminder.csv", {"country"}, "life_exp", {"year-1950"}},
        {"gapminder_multi",
         "gapminder.csv",
         {"country"},
         "life_exp",
         {"year-1950", "log:gdp_percap", "log:pop"}},
        {"sleepstudy", "sleepstudy.csv", {"subject"}, "reaction", {"days"}},
        {"grunfeld", "grunfeld.csv", {"firm"}, "invest", {"value", "capital"}},
        {"oj_full", "oj.csv.gz", {"store", "brand"}, "logmove", oj},
        {"hflights_carrier",
         "hflights.csv.gz",
         {"carrier"},
         "arr_delay",
         {"dep_delay", "taxi_out", "air_time", "distance"}},
        {"hflights_dest",
         "hflights.csv.gz",
         {"dest"},
         "arr_delay",
         {"dep_delay", "taxi_out", "air_time"}},
        {"bike_hour",
         "bike_sharing.csv.gz",
         {"hour"},
         "users",
         {"temp", "hum", "windspeed", "workingday"}},
    };
}

using Key = std::pair<std::string, std::string>;

std::map<Key, Matrix> groups_of(const Model& model) {
    const Csv csv = read_csv(shared_dir() + "/grouped/" + model.file);
    std::vector<std::function<double(const std::vector<std::string>&)>> columns;
    for (const std::string& f : model.features) {
        if (f.starts_with("log:")) {
            const std::size_t c = csv.column(f.substr(4));
            columns.emplace_back([c](const auto& row) { return std::log(number(row[c])); });
        } else if (f == "year-1950") {
            const std::size_t c = csv.column("year");
            columns.emplace_back([c](const auto& row) { return number(row[c]) - 1950; });
        } else {
            const std::size_t c = csv.column(f);
            columns.emplace_back([c](const auto& row) { return number(row[c]); });
        }
    }
    const std::size_t target = csv.column(model.target);
    std::map<Key, Matrix> groups;
    for (const auto& row : csv.rows) {
        std::vector<double> values;
        bool complete = true;
        for (const auto& column : columns) values.push_back(column(row));
        values.push_back(number(row[target]));
        for (const double v : values) complete = complete && !std::isnan(v);
        if (!complete) continue;
        const Key key{row[csv.column(model.keys[0])],
                      model.keys.size() > 1 ? row[csv.column(model.keys[1])] : ""};
        groups[key].push_back(values);
    }
    return groups;
}

class Reference : public testing::TestWithParam<Model> {
  protected:
    void SetUp() override {
        if (shared_dir().empty()) {
            GTEST_SKIP() << "no reference data: set MANY_SHARED_DATA to its directory";
        }
    }
};

void expect_close(double got, double expected, double tolerance, const std::string& what) {
    EXPECT_LE(std::fabs(got - expected), tolerance * std::fabs(expected))
        << what << ": " << got << " instead of " << expected;
}

TEST_P(Reference, LeastSquares) {
    const Model& model = GetParam();
    const auto groups = groups_of(model);
    std::map<Key, std::map<int, std::vector<std::string>>> coefficients;
    const Csv coef = read_csv(shared_dir() + "/grouped/ref_lm_coef.csv.gz");
    for (const auto& row : coef.rows) {
        if (row[0] == model.id) coefficients[{row[1], row[2]}][std::stoi(row[3])] = row;
    }
    const Csv fits = read_csv(shared_dir() + "/grouped/ref_lm_fit.csv.gz");
    const auto column = [&](const char* name) { return fits.column(name); };
    int checked = 0;
    for (const auto& row : fits.rows) {
        if (row[0] != model.id) continue;
        const Key key{row[1], row[2]};
        const std::string where = std::string(model.id) + " " + row[1] + " " + row[2];
        const core::LinearFit fit = fit_rows_of(groups.at(key));
        ++checked;
        ASSERT_EQ(fit.n_rows, number(row[column("n")])) << where;
        EXPECT_EQ(fit.rank + 1, std::stoi(row[column("rank")])) << where;
        EXPECT_EQ(fit.df_residual, number(row[column("df_residual")])) << where;
        const bool full = row[column("rank")] == row[column("p")];
        const double kappa = number(row[column("kappa")]);
        const double tolerance = kappa < 1e6 || !full ? 1e-8 : 1e-14 * kappa;
        for (const auto& [term, values] : coefficients[key]) {
            const double b = term == 0 ? fit.intercept : fit.coefficient[std::size_t(term) - 1];
            const double se =
                term == 0 ? fit.intercept_std_error : fit.std_error[std::size_t(term) - 1];
            const double r = number(values[5]);
            EXPECT_EQ(std::isnan(b), std::isnan(r)) << where << ' ' << values[4];
            if (std::isnan(r)) continue;
            if (!values[9].empty()) {  // the exact solution of the same doubles
                expect_close(b, number(values[9]), 1e-12, where + " exact " + values[4]);
                expect_close(se, number(values[10]), 1e-12, where + " exact error " + values[4]);
            } else if (full) {
                expect_close(b, r, tolerance, where + ' ' + values[4]);
            }
        }
        if (fit.df_residual > 0 && full) {
            const auto s = core::fit_statistics(fit.n_rows, fit.df_residual, fit.rss, fit.r2, true);
            expect_close(fit.sigma, number(row[column("sigma")]), 1e-8, where + " sigma");
            expect_close(s.r2, number(row[column("r_squared")]), 1e-8, where + " r2");
            expect_close(s.adj_r2, number(row[column("adj_r_squared")]), 1e-7, where + " adj r2");
            expect_close(s.log_likelihood, number(row[column("loglik")]), 1e-8, where + " loglik");
            expect_close(s.aic, number(row[column("aic")]), 1e-8, where + " aic");
            expect_close(s.bic, number(row[column("bic")]), 1e-8, where + " bic");
        }
    }
    EXPECT_GT(checked, 0);
}

TEST_P(Reference, Penalised) {
    const Model& model = GetParam();
    std::map<std::string, std::map<int, double>> coefficients;
    const auto name = [](const std::vector<std::string>& r) {
        return r[1] + '|' + r[2] + '|' + r[3] + '|' + r[4] + '|' + r[5] + '|' + r[6];
    };
    for (const auto& r : read_csv(shared_dir() + "/grouped/ref_penalised_coef.csv.gz").rows) {
        if (r[0] == "gaussian" && r[1] == model.id) {
            coefficients[name(r)][std::stoi(r[7])] = number(r[9]);
        }
    }
    if (coefficients.empty()) return;  // not a model of that table
    const auto groups = groups_of(model);
    for (const auto& r : read_csv(shared_dir() + "/grouped/ref_penalised_fit.csv.gz").rows) {
        if (r[0] != "gaussian" || r[1] != model.id) continue;
        const std::string where = name(r);
        const Matrix& rows = groups.at({r[2], r[3]});
        core::LinearOptions options;
        options.alpha = number(r[4]);
        options.standardize = r[5] == "1";
        options.lambda = number(r[6]);
        options.algorithm = options.alpha == 0   ? core::Algorithm::ridge
                            : options.alpha == 1 ? core::Algorithm::lasso
                                                 : core::Algorithm::elastic_net;
        const core::LinearFit fit = fit_rows_of(rows, options);
        ASSERT_EQ(fit.n_rows, number(r[8])) << where;
        int active = 0;
        double penalty = 0;
        for (std::size_t j = 0; j < fit.coefficient.size(); ++j) {
            const double expected = coefficients[where][int(j) + 1];
            EXPECT_NEAR(fit.coefficient[j], expected, 1e-6 * std::fabs(expected) + 1e-8) << where;
            EXPECT_EQ(fit.coefficient[j] == 0, expected == 0) << where << " term " << j + 1;
            active += fit.coefficient[j] != 0;
            double mean = 0, square = 0;
            for (const auto& row : rows) mean += row[j] / fit.n_rows;
            for (const auto& row : rows) square += (row[j] - mean) * (row[j] - mean) / fit.n_rows;
            const double s2 = options.standardize ? square : 1;
            const double b = fit.coefficient[j];
            penalty +=
                options.alpha * std::sqrt(s2) * std::fabs(b) + (1 - options.alpha) / 2 * s2 * b * b;
        }
        const double intercept = coefficients[where][0];
        EXPECT_NEAR(fit.intercept, intercept, 1e-6 * std::fabs(intercept) + 1e-8) << where;
        EXPECT_EQ(active, std::stoi(r[9])) << where;
        const double objective = fit.rss / (2 * fit.n_rows) + options.lambda * penalty;
        EXPECT_NEAR(objective / number(r[10]), 1, 1e-9) << where;
        if (options.alpha > 0) {
            const std::vector<double> m = moments_of(rows);
            options.algorithm = core::Algorithm::lasso;
            EXPECT_NEAR(core::lambda_max(m.data(), int(rows[0].size()) - 1, options) / number(r[7]),
                        1, 1e-9)
                << where;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Grouped, Reference, testing::ValuesIn(models()),
                         [](const auto& param) { return std::string(param.param.id); });

}  // namespace
}  // namespace many::test
