#include "core/forecasters/triangular_regression.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace many::core {

namespace {

// In four sums, in an order of its own: the same bits everywhere.
double dot(const double* a, const double* b, std::size_t n) noexcept {
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    std::size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        s0 += a[i] * b[i];
        s1 += a[i + 1] * b[i + 1];
        s2 += a[i + 2] * b[i + 2];
        s3 += a[i + 3] * b[i + 3];
    }
    for (; i < n; ++i) s0 += a[i] * b[i];
    return (s0 + s1) + (s2 + s3);
}

void subtract(double* a, double factor, const double* b, std::size_t n) noexcept {
    for (std::size_t i = 0; i < n; ++i) a[i] -= factor * b[i];
}

}  // namespace

TriangularFactor::TriangularFactor(std::size_t n_columns)
    : k_(n_columns), t_(n_columns * n_columns, 0.0), block_(n_columns * kBlock, 0.0) {}

bool TriangularFactor::commit() {
    if (++filled_ < kBlock) return false;
    fold();
    return true;
}

void TriangularFactor::finish() {
    if (filled_ > 0) fold();
}

// Column j of the triangle on the block has values in row j and in the block: so has its reflection.
void TriangularFactor::fold() {
    for (std::size_t j = 0; j < k_; ++j) {
        double* b = block_.data() + j * kBlock;
        double& diagonal = t_[j * k_ + j];
        const double squares = dot(b, b, filled_);
        if (squares == 0) continue;
        const double norm = std::sqrt(diagonal * diagonal + squares);
        const double reflected = diagonal > 0 ? -norm : norm;
        const double head = diagonal - reflected;
        const double scale = 2 / (head * head + squares);
        diagonal = reflected;
        for (std::size_t l = j + 1; l < k_; ++l) {
            double* c = block_.data() + l * kBlock;
            double& top = t_[l * k_ + j];
            const double w = scale * (head * top + dot(b, c, filled_));
            top -= w * head;
            subtract(c, w, b, filled_);
        }
    }
    filled_ = 0;
}

TriangularRegression::TriangularRegression(const TriangularFactor& factor)
    : factor_(factor), k_(factor.columns()) {
    const double* target = factor.column(k_ - 1);
    residual_.assign(target, target + k_);
}

double TriangularRegression::residual_sum() const noexcept {
    return dot(residual_.data(), residual_.data(), k_);
}

void TriangularRegression::add(std::size_t column) {
    const std::size_t rank = kept_.size(), place = added_++;
    q_.resize((rank + 1) * k_);
    r_.resize((rank + 1) * (rank + 2) / 2);
    double* v = q_.data() + rank * k_;
    double* r = r_.data() + rank * (rank + 1) / 2;
    std::copy_n(factor_.column(column), k_, v);
    std::fill_n(r, rank + 1, 0.0);
    const double whole = dot(v, v, k_);
    for (int pass = 0; pass < 2; ++pass) {
        for (std::size_t i = 0; i < rank; ++i) {
            const double* q = q_.data() + i * k_;
            const double share = dot(q, v, k_);
            r[i] += share;
            subtract(v, share, q, k_);
        }
    }
    const double left = dot(v, v, k_);
    if (!(left > kCollinear * kCollinear * whole)) return;
    r[rank] = std::sqrt(left);
    for (std::size_t i = 0; i < k_; ++i) v[i] /= r[rank];
    projected_.resize(rank + 1);
    projected_[rank] = dot(v, residual_.data(), k_);
    subtract(residual_.data(), projected_[rank], v, k_);
    kept_.push_back(place);
}

void TriangularRegression::solve(std::vector<double>& coefficients,
                                 std::vector<double>& factors) const {
    constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
    const std::size_t rank = kept_.size();
    const auto r = [&](std::size_t i, std::size_t j) { return r_[j * (j + 1) / 2 + i]; };
    coefficients.assign(added_, kNone);
    factors.assign(added_, kNone);
    std::vector<double> b(rank), row(rank);
    for (std::size_t i = rank; i-- > 0;) {
        b[i] = projected_[i];
        for (std::size_t j = i + 1; j < rank; ++j) b[i] -= r(i, j) * b[j];
        b[i] /= r(i, i);
        coefficients[kept_[i]] = b[i];
    }
    // (X'X)^-1 = R^-1 R^-T: the norms of the rows of R^-1, each from its diagonal to the right.
    for (std::size_t i = 0; i < rank; ++i) {
        double squares = 0;
        for (std::size_t j = i; j < rank; ++j) {
            row[j] = j == i ? 1 : 0;
            for (std::size_t l = i; l < j; ++l) row[j] -= row[l] * r(l, j);
            row[j] /= r(j, j);
            squares += row[j] * row[j];
        }
        factors[kept_[i]] = std::sqrt(squares);
    }
}

// w' (X'X)^-1 w = |u|^2, R'u = w.
double TriangularRegression::factor_of(const std::vector<double>& weights) const {
    const std::size_t rank = kept_.size();
    std::vector<double> u(rank);
    double squares = 0;
    for (std::size_t j = 0; j < rank; ++j) {
        const double* r = r_.data() + j * (j + 1) / 2;
        u[j] = weights[kept_[j]];
        for (std::size_t i = 0; i < j; ++i) u[j] -= r[i] * u[i];
        u[j] /= r[j];
        squares += u[j] * u[j];
    }
    return std::sqrt(squares);
}

}  // namespace many::core
