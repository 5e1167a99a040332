// Innovations of a stationary ARMA process: exact (Gaussian likelihood) and conditional.
//
// The state space form is Harvey's: w_t = a_t[0], a_t+1 = T a_t + R e_t+1, T the companion matrix
// with phi in its first column, R = (1, theta_1, ..), r = max(p, q + 1) states, their covariance at
// the start the stationary one. Since nothing in the model depends on t, the covariance of the
// prediction changes by a matrix of rank one in each step, -L L' / F, and variance F and gain K of
// the innovation follow from L alone (Chandrasekhar recursions: Morf, Sidhu & Kailath 1974; for
// ARMA models Pearlman 1980, Melard 1984): O(r) a step where the Kalman filter of Gardner, Harvey &
// Phillips (1980) takes O(r^2), with the same numbers. Of the covariance at the start only the first
// column is needed; it follows from the autocovariances, and these from the Durbin-Levinson
// recursion run backwards and forwards (O(p^2)).
//
// When L has died out (below kSteady of F) F and K are constant; when they have been for r steps and
// K is that of an invertible model, the recursion is the plain ARMA one over lags that are not 0.
//
// Symbols as above; w: the series, or a column of regressors, filtered alongside with the same
// gains; v: innovations; u = v / sqrt(F).
#pragma once

#include <cstddef>
#include <vector>

#include "core/forecasters/arma_polynomials.h"

namespace many::core {

class ArmaFilter {
  public:
    static constexpr double kSteady = 1e-7;  // squared in what is neglected

    // columns x n values, column-major: kept by reference.
    void set_series(const double* w, int n, int columns);
    // Allocates; all below does not.
    void set_order(const ArimaOrder& order);
    // ar (p), ma (q), seasonal ar (P), seasonal ma (Q), one after the other.
    void set_coefficients(const double* coefficients) noexcept;

    // Fills standardized() and log_determinant(). False if not stationary or not finite.
    // O(columns n r), less when the steady state is reached. to_the_end: keeps the states up to t = n
    // for last_states().
    [[nodiscard]] bool exact(bool to_the_end = false) noexcept;
    // Fills standardized() with e_t = w_t - sum phi w - sum theta e for t >= n_ar, e and what is
    // before set to 0; log_determinant() = 0. Box & Jenkins' conditional sum of squares.
    [[nodiscard]] bool conditional() noexcept;

    [[nodiscard]] const double* standardized(int column) const noexcept {
        return u_.data() + static_cast<std::size_t>(column) * static_cast<std::size_t>(n_);
    }
    [[nodiscard]] double log_determinant() const noexcept { return log_determinant_; }
    [[nodiscard]] int n() const noexcept { return n_; }
    [[nodiscard]] int columns() const noexcept { return columns_; }
    [[nodiscard]] int n_states() const noexcept { return r_; }
    [[nodiscard]] const LagPolynomial& minus_ar() const noexcept { return ar_; }  // 1 - phi_1 B ..
    [[nodiscard]] const LagPolynomial& ma() const noexcept { return ma_; }

    // After exact(): the state predicted for t = n of each column (r values each), and the
    // covariance of its error without the shock of that step, in units of the variance (r x r);
    // empty when it is 0 to rounding. Allocates.
    [[nodiscard]] std::vector<double> last_states();
    [[nodiscard]] std::vector<double> last_covariance();

  private:
    bool start() noexcept;            // autocovariances, F and K and L of the first step
    bool autocovariances() noexcept;  // gamma_[0 .. p + q] of the autoregression, then of w
    int transient() noexcept;         // steps until steady; returns how many were done
    int constant_gain(int from, int steps) noexcept;
    void plain(int from) noexcept;

    const double* w_ = nullptr;
    int n_ = 0, columns_ = 0;
    ArimaOrder order_;
    int r_ = 1;
    std::size_t stride_ = 4;  // r, padded; arrays of states have zeros behind
    LagPolynomial ar_, ma_;
    std::vector<double> negative_ar_, negative_sar_;
    std::vector<double> phi_, theta_;           // padded to stride
    std::vector<double> down_;                  // coefficients of all orders below p, triangular
    std::vector<double> gamma_, part_, first_;  // autocovariances; first column of the covariance
    std::vector<double> gain_, l_, state_;      // K F, L; columns x stride
    std::vector<double> u_;
    double f_ = 1, log_determinant_ = 0;
};

}  // namespace many::core
