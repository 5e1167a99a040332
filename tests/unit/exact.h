// Arithmetic at 150 digits, and least squares in it.
#pragma once

#include <boost/multiprecision/cpp_bin_float.hpp>
#include <vector>

#include "unit/support.h"

namespace many::test {

using Exact = boost::multiprecision::number<boost::multiprecision::cpp_bin_float<150>>;

struct ExactFit {
    std::vector<Exact> b, se;  // intercept first where there is one
    Exact rss, tss, sigma, r2;
};

// Least squares of the doubles as they are, by normal equations.
ExactFit exact_least_squares(const Matrix& rows, bool intercept);

// Log relative error: digits of x that agree with c, at most 15; digits after the point for c = 0.
double lre(double x, const Exact& c);

}  // namespace many::test
