// NIST Statistical Reference Datasets, linear regression (public domain; tests/data/nist).
//
// Each value is compared with the certified one and with the exact solution for the same doubles:
// where a polynomial's columns do not fit a double (Filip, Pontius), the data themselves differ
// from NIST's, and only the second comparison judges the solver.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "unit/exact.h"

namespace many::test {
namespace {

struct NistSet {
    std::string name;
    bool intercept = true;
    Matrix rows;  // design columns rounded to double
    std::vector<Exact> b, se;
    Exact sigma, r2;
};

NistSet read_nist(const std::string& name) {
    std::ifstream in(data_dir() + "/nist/" + name + ".dat");
    if (!in) throw std::runtime_error("no data for " + name);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    NistSet set;
    set.name = name;
    int first = 0, last = 0;
    bool residual = false, certified = false;
    for (std::size_t i = 0; i < lines.size(); ++i) {
        if (i < 12) {
            const auto at = lines[i].find("Data  ");
            if (at != std::string::npos) {
                std::sscanf(lines[i].c_str() + at, "Data (lines %d to %d)", &first, &last);
            }
        }
        std::istringstream words(lines[i]);
        std::string a, b, c;
        words >> a >> b >> c;
        if (a == "Certified") certified = true;
        if (a == "Residual" && b.empty()) residual = true;
        if (certified && !residual && a.size() >= 2 && a[0] == 'B' && std::isdigit(a[1])) {
            if (set.b.empty()) set.intercept = a == "B0";
            set.b.emplace_back(b);
            set.se.emplace_back(c);
        }
        if (residual && a == "Standard" && b == "Deviation") set.sigma = Exact(c);
        if (a == "R-Squared") set.r2 = Exact(b);
    }
    const std::size_t terms = set.b.size() - (set.intercept ? 1 : 0);
    for (int i = first - 1; i < last; ++i) {
        std::istringstream words(lines.at(static_cast<std::size_t>(i)));
        std::vector<std::string> cells;
        for (std::string cell; words >> cell;) cells.push_back(cell);
        const double y = number(cells.at(0));
        std::vector<double> row;
        if (cells.size() == 2) {  // a polynomial: exact powers of the decimal, rounded
            const Exact x(cells[1]);
            Exact power = 1;
            for (std::size_t k = 0; k < terms; ++k) row.push_back(double(power *= x));
        } else {
            for (std::size_t k = 1; k < cells.size(); ++k) row.push_back(number(cells[k]));
        }
        row.push_back(y);
        set.rows.push_back(row);
    }
    return set;
}

struct Digits {
    double coefficient = 15, std_error = 15, sigma = 15, r2 = 15;
};

Digits digits(const core::LinearFit& fit, const std::vector<Exact>& b, const std::vector<Exact>& se,
              const Exact& sigma, const Exact& r2) {
    Digits d;
    const std::size_t first = fit.has_intercept ? 1 : 0;
    for (std::size_t i = 0; i < b.size(); ++i) {
        const double estimate = i < first ? fit.intercept : fit.coefficient[i - first];
        const double error = i < first ? fit.intercept_std_error : fit.std_error[i - first];
        d.coefficient = std::min(d.coefficient, lre(estimate, b[i]));
        d.std_error = std::min(d.std_error, lre(error, se[i]));
    }
    d.sigma = lre(fit.sigma, sigma);
    d.r2 = lre(fit.r2, r2);
    return d;
}

const char* const kSets[] = {"Norris",   "Pontius",  "NoInt1",   "NoInt2",   "Longley", "Wampler1",
                             "Wampler2", "Wampler3", "Wampler4", "Wampler5", "Filip"};

// Digits the rounding of the columns leaves of the certified values.
double attainable(const std::string& name) {
    return name == "Filip" ? 6.0 : 12.5;
}

class Nist : public testing::TestWithParam<const char*> {};

TEST_P(Nist, AllDigitsOfTheExactSolution) {
    const NistSet set = read_nist(GetParam());
    core::LinearOptions options;
    options.fit_intercept = set.intercept;
    const core::LinearFit fit = fit_rows_of(set.rows, options);
    const ExactFit exact = exact_least_squares(set.rows, set.intercept);
    const Digits d = digits(fit, exact.b, exact.se, exact.sigma, exact.r2);
    EXPECT_GE(d.coefficient, 14.9);
    EXPECT_GE(d.std_error, 14.9);
    EXPECT_GE(d.sigma, 14.9);
    EXPECT_GE(d.r2, 14.9);
    const Digits c = digits(fit, set.b, set.se, set.sigma, set.r2);
    EXPECT_GE(c.coefficient, attainable(set.name));
    EXPECT_GE(c.std_error, attainable(set.name));
    EXPECT_GE(c.sigma, attainable(set.name));
    EXPECT_GE(c.r2, attainable(set.name));
}

INSTANTIATE_TEST_SUITE_P(Strd, Nist, testing::ValuesIn(kSets),
                         [](const auto& param) { return std::string(param.param); });

// Prints the table of docs/numerics.md (run with MANY_PRINT_NIST=1).
TEST(NistTable, Print) {
    if (std::getenv("MANY_PRINT_NIST") == nullptr) GTEST_SKIP() << "set MANY_PRINT_NIST=1";
    std::map<std::string, std::vector<std::string>> of_r;
    if (!shared_dir().empty()) {
        for (const auto& row : read_csv(shared_dir() + "/published/nist_lre_of_R.csv").rows) {
            of_r[row[1]] = row;
        }
    }
    std::printf(
        "| dataset | coefficients, certified | coefficients, exact | std errors, certified |"
        " std errors, exact | residual sd | R2 | R: coefficients, certified | R: exact |"
        " R: std errors |\n|---|---|---|---|---|---|---|---|---|---|\n");
    for (const char* name : kSets) {
        const NistSet set = read_nist(name);
        core::LinearOptions options;
        options.fit_intercept = set.intercept;
        const core::LinearFit fit = fit_rows_of(set.rows, options);
        const ExactFit exact = exact_least_squares(set.rows, set.intercept);
        const Digits e = digits(fit, exact.b, exact.se, exact.sigma, exact.r2);
        const Digits c = digits(fit, set.b, set.se, set.sigma, set.r2);
        const auto r = of_r.count(name) != 0 ? of_r[name] : std::vector<std::string>(6, "-");
        std::printf("| %s | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f | %s | %s | %s |\n", name,
                    c.coefficient, e.coefficient, c.std_error, e.std_error, e.sigma, e.r2,
                    r[2].c_str(), r[3].c_str(), r[4].c_str());
    }
}

}  // namespace
}  // namespace many::test
