// Helpers of the unit tests: files, moments of rows. Exact arithmetic is in exact.h, which takes long to compile.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/learners/linear.h"
#include "core/numeric/moments.h"

namespace many::test {

using Matrix = std::vector<std::vector<double>>;  // rows of (x_1 .. x_p, y)

inline std::string data_dir() {
    return MANY_TEST_DATA_DIR;
}

// Reference data that is not shipped; empty when it is not there.
std::string shared_dir();

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

// A CSV file, through gzip when its name ends in .gz.
Csv read_csv(const std::string& path);

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

}  // namespace many::test
