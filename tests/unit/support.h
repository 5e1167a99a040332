// Helpers of the unit tests: files, moments of rows, exact least squares at 150 digits.
#pragma once

#include <boost/multiprecision/cpp_bin_float.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/learners/linear.h"
#include "core/numeric/moments.h"

namespace many::test {

using Exact = boost::multiprecision::number<boost::multiprecision::cpp_bin_float<150>>;
using Matrix = std::vector<std::vector<double>>;  // rows of (x_1 .. x_p, y)

inline std::string data_dir() {
    return MANY_TEST_DATA_DIR;
}

// Reference data that is not shipped; empty when it is not there.
inline std::string shared_dir() {
    const char* from_env = std::getenv("MANY_SHARED_DATA");
    const std::string dir = from_env != nullptr ? from_env : MANY_SHARED_DATA_DIR;
    return std::ifstream(dir + "/data/README.md").good() ? dir + "/data"
           : std::ifstream(dir + "/README.md").good()    ? dir
                                                         : std::string();
}

struct Csv {
    std::vector<std::string> header;
    std::vector<std::vector<std::string>> rows;
    [[nodiscard]] std::size_t column(const std::string& name) const {
        for (std::size_t i = 0; i < header.size(); ++i) {
            if (header[i] == name) return i;
        }
        throw std::runtime_error("no column " + name);
    }
};

inline std::vector<std::string> split_line(const std::string& line) {
    std::vector<std::string> cells;
    std::string cell;
    bool quoted = false;
    for (const char c : line) {
        if (c == '"') {
            quoted = !quoted;
        } else if (c == ',' && !quoted) {
            cells.push_back(cell);
            cell.clear();
        } else if (c != '\r') {
            cell += c;
        }
    }
    cells.push_back(cell);
    return cells;
}

// A CSV file, through gzip when its name ends in .gz.
inline Csv read_csv(const std::string& path) {
    std::string text;
    if (path.ends_with(".gz")) {
        FILE* pipe = popen(("gzip -dc '" + path + "'").c_str(), "r");
        if (pipe == nullptr) throw std::runtime_error("cannot run gzip");
        char buffer[65536];
        for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
            text.append(buffer, n);
        }
        if (pclose(pipe) != 0) throw std::runtime_error("cannot read " + path);
    } else {
        std::ifstream in(path);
        if (!in) throw std::runtime_error("cannot read " + path);
        std::stringstream all;
        all << in.rdbuf();
        text = all.str();
    }
    Csv csv;
    std::istringstream lines(text);
    std::string line;
    std::getline(lines, line);
    csv.header = split_line(line);
    while (std::getline(lines, line)) {
        if (!line.empty()) csv.rows.push_back(split_line(line));
    }
    return csv;
}

inline double number(const std::string& text) {
    return text.empty() || text == "NA" ? std::nan("") : std::strtod(text.c_str(), nullptr);
}

inline std::vector<double> moments_of(const Matrix& rows) {
    const core::MomentLayout layout(static_cast<int>(rows.at(0).size()));
    std::vector<double> m(layout.doubles(), 0.0);
    for (const auto& row : rows) {
        core::moments_add_rows(m.data(), layout, row.data(), 1, row.size());
    }
    return m;
}

inline core::LinearFit fit_rows_of(const Matrix& rows, const core::LinearOptions& options = {},
                                   core::FitStatus* status = nullptr) {
    core::LinearSolver solver;
    core::LinearFit fit;
    const std::vector<double> m = moments_of(rows);
    const auto s =
        solver.fit(m.data(), static_cast<int>(rows[0].size()) - 1, options, nullptr, 0, {}, fit);
    if (status != nullptr) {
        *status = s;
    } else if (s != core::FitStatus::ok) {
        throw std::runtime_error("fit failed: " + std::to_string(static_cast<int>(s)));
    }
    return fit;
}

struct ExactFit {
    std::vector<Exact> b, se;  // intercept first where there is one
    Exact rss, tss, sigma, r2;
};

// Least squares of the doubles as they are, by normal equations at 150 digits.
inline ExactFit exact_least_squares(const Matrix& rows, bool intercept) {
    const std::size_t n = rows.size(), p = rows[0].size() - 1, k = p + (intercept ? 1 : 0);
    const auto x = [&](std::size_t r, std::size_t j) -> Exact {
        return intercept ? (j == 0 ? Exact(1) : Exact(rows[r][j - 1])) : Exact(rows[r][j]);
    };
    std::vector<std::vector<Exact>> a(k, std::vector<Exact>(2 * k + 1, Exact(0)));
    Exact sum = 0, square = 0;
    for (std::size_t r = 0; r < n; ++r) {
        const Exact y = rows[r][p];
        sum += y;
        square += y * y;
        for (std::size_t i = 0; i < k; ++i) {
            const Exact xi = x(r, i);
            for (std::size_t j = 0; j < k; ++j) a[i][j] += xi * x(r, j);
            a[i][2 * k] += xi * y;
        }
    }
    for (std::size_t i = 0; i < k; ++i) a[i][k + i] = 1;
    for (std::size_t i = 0; i < k; ++i) {  // Gauss-Jordan; positive definite, so no pivoting
        const Exact pivot = a[i][i];
        for (Exact& v : a[i]) v /= pivot;
        for (std::size_t r = 0; r < k; ++r) {
            if (r == i) continue;
            const Exact factor = a[r][i];
            for (std::size_t c = 0; c <= 2 * k; ++c) a[r][c] -= factor * a[i][c];
        }
    }
    ExactFit fit;
    for (std::size_t i = 0; i < k; ++i) fit.b.push_back(a[i][2 * k]);
    fit.rss = 0;
    for (std::size_t r = 0; r < n; ++r) {
        Exact e = rows[r][p];
        for (std::size_t j = 0; j < k; ++j) e -= fit.b[j] * x(r, j);
        fit.rss += e * e;
    }
    fit.tss = intercept ? Exact(square - sum * sum / Exact(n)) : square;
    fit.r2 = 1 - fit.rss / fit.tss;
    fit.sigma = sqrt(Exact(fit.rss / Exact(n - k)));
    for (std::size_t i = 0; i < k; ++i) fit.se.push_back(fit.sigma * sqrt(a[i][k + i]));
    return fit;
}

// Log relative error: digits of x that agree with c, at most 15; digits after the point for c = 0.
inline double lre(double x, const Exact& c) {
    const Exact error = abs(Exact(x) - c);
    if (error == 0) return 15;
    const Exact relative = abs(c) < Exact("1e-100") ? error : Exact(error / abs(c));
    return std::fmin(15, -static_cast<double>(log10(relative)));
}

}  // namespace many::test
