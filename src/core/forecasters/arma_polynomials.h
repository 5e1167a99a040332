// Polynomials of ARMA models: stationarity, products of the seasonal and the other part, differences.
//
// Signs as in R: phi(B) = 1 - sum ar_i B^i, theta(B) = 1 + sum ma_j B^j, B the backward shift. The
// autoregressive coefficients are searched for as p numbers without bounds: their hyperbolic
// tangents are the partial autocorrelations of a stationary process, which the Durbin-Levinson
// recursion turns into coefficients (Barndorff-Nielsen & Schou 1973, Jones 1980).
#pragma once

#include <span>
#include <vector>

namespace many::core {

// Orders of a seasonal ARIMA model (p, d, q)(P, D, Q)_m in the usual letters.
struct ArimaOrder {
    int p = 0, d = 0, q = 0;
    int P = 0, D = 0, Q = 0;  // NOLINT(readability-identifier-naming)
    int m = 1;                // observations of a season

    // What the search and the filter (O(p^2) of memory) have room for.
    static constexpr int kMaxCoefficients = 60, kMaxLag = 1000;
    // No negative order, within those bounds, and no seasonal term without a season.
    [[nodiscard]] bool valid() const noexcept;
    [[nodiscard]] int n_arma() const noexcept { return p + q + P + Q; }
    [[nodiscard]] int n_ar() const noexcept { return p + P * m; }
    [[nodiscard]] int n_ma() const noexcept { return q + Q * m; }
    [[nodiscard]] int n_lost() const noexcept { return d + D * m; }  // by differencing
    friend bool operator==(const ArimaOrder&, const ArimaOrder&) = default;
};

// Partial autocorrelations tanh(x) -> coefficients. In place; O(p^2).
void stationary_from_free(double* x, int p) noexcept;
// The reverse. False, and x is spent, when the coefficients are not stationary.
[[nodiscard]] bool free_from_stationary(double* x, int p) noexcept;

// All roots of 1 - sum ar_i (radius z)^i lie outside the unit circle (radius 1: stationary).
[[nodiscard]] bool roots_outside(std::span<const double> ar, double radius);

// Moves the roots of 1 + sum ma_j z^j that lie inside the unit circle to their reciprocals, which
// changes the variance of the process but not its autocorrelations. In place.
void make_invertible(double* ma, int q);

// A polynomial 1 + sum c_k B^k, whole and as a list of the lags that can be other than 0.
struct LagPolynomial {
    int order = 0;
    std::vector<double> c;      // c[k - 1] belongs to B^k
    std::vector<int> lags;      // ascending
    std::vector<double> value;  // c at those lags

    // Room for (1 + order_1 terms)(1 + order_2 terms of B^m); the values by multiply().
    void resize(int order_1, int order_2, int m);
    // (1 + sum a_i B^i)(1 + sum b_j B^(jm)).
    void multiply(const double* a, const double* b) noexcept;

  private:
    int first_ = 0, second_ = 0, m_ = 1;
};

// (1 - B)^d (1 - B^m)^D = 1 - sum c_k B^k: c, d + D m of them.
[[nodiscard]] std::vector<double> difference_coefficients(const ArimaOrder& order);
// y differenced as by order: y.size() - order.n_lost() values, none if there are not as many.
[[nodiscard]] std::vector<double> difference(std::span<const double> y, const ArimaOrder& order);

}  // namespace many::core
