// Symbols: A: the dense matrix, reduced from its last row; u: Householder vector, h = u'u / 2;
// T: the tridiagonal matrix with diagonal alpha and squares beta2 beside it. Householder 1958;
// Golub & Van Loan, Matrix Computations, 4th ed., 8.3.1, 10.1; Laguerre's iteration: Parlett,
// "Laguerre's method applied to the matrix eigenvalue problem" (1964); its start: Samuelson 1968.
#include "core/numeric/condition.h"

#include <algorithm>
#include <cmath>

#include "core/numeric/lanes.h"

namespace many::core {
namespace {

constexpr std::size_t kSteps = 96;  // of Lanczos
constexpr int kIterations = 100;
constexpr double kAccuracy = 1e-10;
// Smallest eigenvalue against the largest that double precision separates from 0 to 8 digits.
constexpr double kReliable = 1e-7;
// Squares beside the diagonal that are below the rounding of a matrix of norm 1 or more.
constexpr double kNegligible = 1e-32;

alignas(64) constexpr double kOnes[2 * kRowPad] = {1, 1, 1, 1, 0, 0, 0, 0};
alignas(64) constexpr double kUnit[2 * kRowPad - 1] = {0, 0, 0, 1, 0, 0, 0};

// In four partial sums, whatever the width of T; n is a multiple of kRowPad.
template <class T>
MANY_INLINE double dot(const double* x, const double* y, std::size_t n) {
    constexpr std::size_t kSums = kRowPad / kLanes<T>;
    T sum[kSums] = {};
    for (std::size_t k = 0; k < n; k += kRowPad) {
        for (std::size_t s = 0; s < kSums; ++s) {
            const std::size_t at = k + s * kLanes<T>;
            sum[s] = sum[s] + load_lanes<T>(x + at) * load_lanes<T>(y + at);
        }
    }
    double parts[kRowPad];
    for (std::size_t s = 0; s < kSums; ++s) store_lanes(parts + s * kLanes<T>, sum[s]);
    return (parts[0] + parts[1]) + (parts[2] + parts[3]);
}

// v, the lanes c, c + 1, .. of a row, with 0 in place of the columns from n on.
template <class T>
MANY_INLINE T first_lanes(const T& v, std::size_t n, std::size_t c) {
    const std::size_t here = c < n ? std::min(n - c, kLanes<T>) : 0;
    return v * load_lanes<T>(kOnes + kRowPad - here);
}

// 1 in column n of a row, 0 in the others of the lanes c, c + 1, ..
template <class T>
MANY_INLINE T only_lane(std::size_t n, std::size_t c) {
    return n >= c && n < c + kLanes<T> ? load_lanes<T>(kUnit + kRowPad - 1 - (n - c)) : T{};
}

// T of the symmetric k x k matrix `a` (all of it; overwritten), whose largest entry is about 1.
// stride: a multiple of kRowPad, at least k. work: 2 strides.
template <class T>
MANY_INLINE void tridiagonalise(double* a, std::size_t k, std::size_t stride, double* work,
                                double* alpha, double* beta2) {
    double* u = work;
    double* q = work + stride;
    for (std::size_t s = k - 1; s >= 2; --s) {
        const double* row = a + s * stride;
        const std::size_t width = round_up_to_lanes(s);
        alpha[s] = row[s];
        for (std::size_t c = 0; c < width; c += kLanes<T>) {
            store_lanes(u + c, first_lanes(load_lanes<T>(row + c), s, c));
        }
        const double square = dot<T>(u, u, width);
        beta2[s - 1] = square;
        if (!(square > kNegligible)) {
            beta2[s - 1] = 0;
            continue;
        }
        // A u, of the row as it is: the reflection's own u differs in its last entry only.
        for (std::size_t c = 0; c < width; c += kLanes<T>) {
            T even{}, odd{};
            std::size_t j = 0;
            for (; j + 1 < s; j += 2) {
                const double* at = a + j * stride + c;
                even = even + load_lanes<T>(at) * row[j];
                odd = odd + load_lanes<T>(at + stride) * row[j + 1];
            }
            if (j < s) even = even + load_lanes<T>(a + j * stride + c) * row[j];
            store_lanes(q + c, T(even + odd));
        }
        const double last = row[s - 1];
        const double g = -std::copysign(std::sqrt(square), last);
        const double inverse_h = 1.0 / (square - last * g);
        const double* column = a + (s - 1) * stride;
        for (std::size_t c = 0; c < width; c += kLanes<T>) {
            const T v = load_lanes<T>(q + c) - load_lanes<T>(column + c) * g;
            store_lanes(q + c, T(v * inverse_h));
            store_lanes(u + c, T(load_lanes<T>(u + c) - only_lane<T>(s - 1, c) * g));
        }
        const double half = 0.5 * inverse_h * dot<T>(u, q, width);
        for (std::size_t c = 0; c < width; c += kLanes<T>) {
            store_lanes(q + c, T(load_lanes<T>(q + c) - load_lanes<T>(u + c) * half));
        }
        for (std::size_t j = 0; j < s; ++j) {
            double* at = a + j * stride;
            const double u_j = u[j], q_j = q[j];
            for (std::size_t c = 0; c < width; c += kLanes<T>) {
                const T change = load_lanes<T>(q + c) * u_j + load_lanes<T>(u + c) * q_j;
                store_lanes(at + c, T(load_lanes<T>(at + c) - change));
            }
        }
    }
    alpha[0] = a[0];
    if (k > 1) {
        alpha[1] = a[stride + 1];
        beta2[0] = a[stride] * a[stride];
    }
}

// One end of the spectrum of T.
struct End {
    double x = 0;     // approaches the eigenvalue from outside
    double sign = 1;  // 1: the largest, -1: the smallest
    double step = 0;
    bool done = false;
};

// Laguerre's iteration: cubic, and never past the eigenvalue.
void improve(const double* alpha, const double* beta2, std::size_t m, End* end) {
    const double x = end->x, degree = static_cast<double>(m);
    // The characteristic polynomial with two derivatives, by its three-term recurrence.
    double p0 = 1, p1 = x - alpha[0], d0 = 0, d1 = 1, h0 = 0, h1 = 0;  // h = p'' / 2
    for (std::size_t i = 1; i < m; ++i) {
        const double t = x - alpha[i];
        const double b = beta2[i - 1];
        const double p2 = t * p1 - b * p0;
        const double d2 = t * d1 + (p1 - b * d0);
        const double h2 = t * h1 + (d1 - b * h0);
        p0 = p1, d0 = d1, h0 = h1;
        p1 = p2, d1 = d2, h1 = h2;
        if (i % 16 == 0) {  // only ratios matter
            const double scale = std::fabs(p1) + std::fabs(d1) + std::fabs(h1);
            const double inverse = scale > 0 ? 1.0 / scale : 1.0;
            p0 *= inverse, d0 *= inverse, h0 *= inverse;
            p1 *= inverse, d1 *= inverse, h1 *= inverse;
        }
    }
    const double inverse = 1.0 / p1;
    const double g = end->sign * d1 * inverse;
    if (!(g > 0)) {  // arrived, up to rounding
        end->done = true;
        return;
    }
    const double h = g * g - 2 * h1 * inverse;
    const double root = std::sqrt(std::max(0.0, (degree - 1) * (degree * h - g * g)));
    const double before = end->step;
    end->step = degree / (g + root);
    end->x -= end->sign * end->step;
    // What is left is about the next step; that is predicted from the cubic convergence.
    const double limit = kAccuracy * std::fabs(end->x);
    const double shrink = before > 0 ? end->step / before : 1.0;
    end->done = !(end->step * std::min(1.0, shrink * shrink * shrink) > limit);
}

// Largest and, where asked, smallest eigenvalue of T, whose eigenvalues are not negative; the
// smallest is 0 when rounding leaves nothing of it.
void extremes(const double* alpha, const double* beta2, std::size_t m, double* largest,
              double* smallest) {
    const double degree = static_cast<double>(m);
    double sum = 0, square = 0;
    for (std::size_t i = 0; i < m; ++i) sum += alpha[i];
    const double mean = sum / degree;
    for (std::size_t i = 0; i < m; ++i) {
        square += (alpha[i] - mean) * (alpha[i] - mean) + (i + 1 < m ? 2 * beta2[i] : 0.0);
    }
    // Samuelson's bounds, and a hair more, so that no rounding puts the start inside.
    const double reach = std::sqrt((degree - 1) * square / degree) + 1e-14 * mean;
    End top{mean + reach, 1}, bottom{std::max(0.0, mean - reach), -1};
    bottom.done = smallest == nullptr;
    for (int i = 0; i < kIterations && !(top.done && bottom.done); ++i) {
        if (!top.done) improve(alpha, beta2, m, &top);
        if (!bottom.done) improve(alpha, beta2, m, &bottom);
    }
    *largest = top.x;
    if (smallest != nullptr) *smallest = bottom.x;
}

using ReduceFunction = void (*)(double*, std::size_t, std::size_t, double*, double*, double*);

void tridiagonalise_base(double* a, std::size_t k, std::size_t stride, double* work, double* alpha,
                         double* beta2) {
    tridiagonalise<double>(a, k, stride, work, alpha, beta2);
}
#if MANY_X86_DISPATCH
MANY_TARGET_FMA void tridiagonalise_fma(double* a, std::size_t k, std::size_t stride, double* work,
                                        double* alpha, double* beta2) {
    tridiagonalise<Lanes4>(a, k, stride, work, alpha, beta2);
}
const ReduceFunction kReduce =
    cpu_level() != CpuLevel::base ? tridiagonalise_fma : tridiagonalise_base;
#else
const ReduceFunction kReduce = tridiagonalise_base;
#endif

}  // namespace

void ConditionNumber::fill_design(const ScaledGram& g) {
    const std::size_t first = columns_.size();
    const double root_n = std::sqrt(g.n);
    design_.assign(k_ * stride_, 0.0);  // the padding stays 0
    inverse_norm_.resize(k_);
    cosine_.assign(k_, 0.0);
    for (std::size_t r = 0; r < first; ++r) {
        const std::size_t i = columns_[r];
        inverse_norm_[r] = 1.0 / g.norm[i];
        if (g.centred) cosine_[r] = root_n * g.mean[i].value() * inverse_norm_[r];
    }
    const double* c = g.c.data();
    const std::size_t m = static_cast<std::size_t>(g.p) + 1;
    std::size_t i = 0;  // c is the row of column i, from its diagonal on
    for (std::size_t r = 0; r < first; ++r) {
        for (; i < columns_[r]; ++i) c += round_up_to_lanes(m - i);
        double* row = design_.data() + r * stride_;
        for (std::size_t s = r; s < first; ++s) {
            const double product = c[columns_[s] - i] * (inverse_norm_[r] * inverse_norm_[s]);
            row[s] = design_[s * stride_ + r] = product + cosine_[r] * cosine_[s];
        }
    }
    if (!g.centred) return;
    double* row = design_.data() + first * stride_;
    for (std::size_t r = 0; r < first; ++r) row[r] = design_[r * stride_ + first] = cosine_[r];
    row[first] = 1;
}

// F of columns scaled by their norms, lower triangular: the intercept, then the features kept.
void ConditionNumber::fill_root(const ScaledGram& g, const Cholesky& solved) {
    const std::size_t first = g.centred ? 1 : 0;
    const double root_n = std::sqrt(g.n);
    root_.assign(k_ * stride_, 0.0);
    if (g.centred) root_[0] = 1;
    for (std::size_t r = 0; r < columns_.size(); ++r) {
        const double* factor = solved.factor_row(static_cast<int>(columns_[r]));
        double* row = root_.data() + (first + r) * stride_;
        if (g.centred) row[0] = -factor[0] * root_n;
        for (std::size_t s = 0; s <= r; ++s) {
            row[first + s] = factor[1 + columns_[s]] * g.norm[columns_[s]];
        }
    }
}

FitStatus ConditionNumber::compute(const ScaledGram& g, const Cholesky& solved,
                                   const StopSignal& stop, double* result) {
    columns_.clear();
    for (std::size_t j = 0; j < solved.kept.size(); ++j) {
        if (solved.kept[j] != 0) columns_.push_back(j);
    }
    k_ = columns_.size() + (g.centred ? 1 : 0);
    stride_ = round_up_to_lanes(k_);
    *result = 1;
    if (k_ <= 1) return FitStatus::ok;
    fill_design(g);
    if (k_ > static_cast<std::size_t>(kMaxDense)) {
        fill_root(g, solved);
        return by_lanczos(stop, result);
    }
    alpha_.resize(k_);
    beta2_.resize(k_);
    work_.resize(2 * stride_);
    double largest = 0, smallest = 0;
    kReduce(design_.data(), k_, stride_, work_.data(), alpha_.data(), beta2_.data());
    extremes(alpha_.data(), beta2_.data(), k_, &largest, &smallest);
    if (smallest > kReliable * largest) {
        *result = std::sqrt(std::max(1.0, largest / smallest));
        return FitStatus::ok;
    }
    fill_root(g, solved);
    *result = std::sqrt(std::max(1.0, largest * largest_of_inverse()));
    return FitStatus::ok;
}

// Of F F', which has the eigenvalues of F'F.
double ConditionNumber::largest_of_inverse() {
    double trace = 0;
    for (const double f : root_) trace += f * f;
    const double unit = 1.0 / std::sqrt(trace);
    for (double& f : root_) f *= unit;
    for (std::size_t r = 0; r < k_; ++r) {
        for (std::size_t s = 0; s <= r; ++s) {
            const double* x = root_.data() + r * stride_;
            const double* y = root_.data() + s * stride_;
            double sum = 0;
            for (std::size_t j = 0; j <= s; ++j) sum += x[j] * y[j];
            design_[r * stride_ + s] = design_[s * stride_ + r] = sum;
        }
    }
    double largest = 0;
    kReduce(design_.data(), k_, stride_, work_.data(), alpha_.data(), beta2_.data());
    extremes(alpha_.data(), beta2_.data(), k_, &largest, nullptr);
    return largest * trace;
}

// Lanczos 1950 from a fixed start, kSteps steps without reorthogonalisation: ghosts repeat
// eigenvalues, they do not move the largest. multiply(in, out): out = A in; false to stop (the
// result is then of no use).
template <class Multiply>
double ConditionNumber::largest_by_lanczos(const Multiply& multiply) {
    current_.resize(k_);
    previous_.assign(k_, 0.0);
    product_.resize(k_);
    alpha_.clear();
    beta2_.clear();
    // An equidistributed sequence: no eigenvector of practice is orthogonal to it.
    double norm2 = 0, fraction = 0;
    for (double& v : current_) {
        fraction += 0.6180339887498949;
        fraction -= std::floor(fraction);
        v = 0.5 + fraction;
        norm2 += v * v;
    }
    for (double& v : current_) v /= std::sqrt(norm2);
    double before = 0;
    while (alpha_.size() < std::min(k_, kSteps) && multiply(current_.data(), product_.data())) {
        double a = 0;
        for (std::size_t i = 0; i < k_; ++i) a += current_[i] * product_[i];
        norm2 = 0;
        for (std::size_t i = 0; i < k_; ++i) {
            const double r = product_[i] - a * current_[i] - before * previous_[i];
            product_[i] = r;
            norm2 += r * r;
        }
        const double b = std::sqrt(norm2);
        alpha_.push_back(a);
        beta2_.push_back(norm2);
        if (!(b > 1e-13 * (std::fabs(a) + before))) break;  // an invariant subspace
        before = b;
        for (std::size_t i = 0; i < k_; ++i) {
            previous_[i] = current_[i];
            current_[i] = product_[i] / b;
        }
    }
    double largest = 0;
    if (!alpha_.empty()) {
        extremes(alpha_.data(), beta2_.data(), alpha_.size(), &largest, nullptr);
    }
    return largest;
}

FitStatus ConditionNumber::by_lanczos(const StopSignal& stop, double* result) {
    FitStatus status = FitStatus::ok;
    const double top = largest_by_lanczos([&](const double* in, double* out) {
        for (std::size_t i = 0; i < k_; ++i) {
            const double* row = design_.data() + i * stride_;
            double sum = 0;
            for (std::size_t j = 0; j < k_; ++j) sum += row[j] * in[j];
            out[i] = sum;
        }
        status = stop.poll();
        return status == FitStatus::ok;
    });
    if (status != FitStatus::ok) return status;
    const double inverse_top = largest_by_lanczos([&](const double* in, double* out) {
        for (std::size_t i = 0; i < k_; ++i) out[i] = 0;
        for (std::size_t i = 0; i < k_; ++i) {
            const double* row = root_.data() + i * stride_;
            double sum = 0;
            for (std::size_t j = 0; j <= i; ++j) sum += row[j] * in[j];
            for (std::size_t j = 0; j <= i; ++j) out[j] += sum * row[j];
        }
        status = stop.poll();
        return status == FitStatus::ok;
    });
    *result = std::sqrt(std::max(1.0, top * inverse_top));
    return status;
}

}  // namespace many::core
