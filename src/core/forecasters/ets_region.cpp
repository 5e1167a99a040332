#include "core/forecasters/ets_region.h"

#include <cmath>
#include <vector>

namespace many::core {

namespace {

constexpr int kSmallDegree = 64;
constexpr double kRadius = 1 + 1e-10;  // that of R's forecast

}  // namespace

bool roots_inside_circle(double* a, int degree, double radius) noexcept {
    double power = 1;
    for (int i = 0; i <= degree; ++i) {
        a[i] *= power;
        power *= radius;
    }
    for (int k = degree; k > 0; --k) {
        const double ratio = a[0] / a[k];
        if (!(std::fabs(ratio) < 1)) return false;
        for (int i = 0, j = k; i < j; ++i, --j) {  // a[i] - ratio a[k - i], both ends of a pair
            const double low = a[i], high = a[j];
            a[i] = low - ratio * high;
            a[j] = high - ratio * low;
        }
        if (k % 2 == 0) a[k / 2] *= 1 - ratio;
        for (int i = 0; i < k; ++i) a[i] = a[i + 1];  // the constant has become 0
    }
    return true;
}

// With z the forward shift the polynomial is, for 0 < j < m - 1 (phi = 1 without damping),
//   z^(m+1) + (alpha + phi beta - phi) z^m + (alpha (1 - phi) + phi beta) z^(m-j)
//   + (alpha (1 - phi) + phi beta + gamma - 1) z + phi (1 - alpha - gamma).
// Without a trend (beta = 0, phi = 1) it is (z^m (z - 1 + alpha)) - ((1 - gamma) z - 1 + alpha + gamma),
// where the first part is never the smaller one on the unit circle (the difference of the squares is
// 2 gamma (2 - alpha - gamma)(1 - cos)): inside the bounds it is always admissible (Rouche).
bool is_admissible(const EtsForm& form, double alpha, double beta, double gamma, double phi,
                   int season_length) noexcept {
    if (!form.has_season() || !form.has_trend() || season_length < 2) return true;
    const int m = season_length;
    double small[kSmallDegree + 2];
    std::vector<double> large;
    double* a = small;
    if (m > kSmallDegree) {
        large.resize(static_cast<std::size_t>(m) + 2);
        a = large.data();
    }
    const double middle = alpha * (1 - phi) + phi * beta;
    for (int i = 2; i < m; ++i) a[i] = middle;
    a[0] = phi * (1 - alpha - gamma);
    a[m + 1] = 1;
    a[m] = alpha + phi * beta - phi;
    a[1] = middle + gamma - 1;
    return roots_inside_circle(a, m + 1, kRadius);
}

bool is_usable(const EtsForm& form, const EtsParameters& p, int season_length) noexcept {
    const bool level = p.alpha >= 0 && p.alpha <= 1;
    const bool trend = !form.has_trend() || (p.beta >= 0 && p.beta <= p.alpha);
    const bool season = !form.has_season() || (p.gamma >= 0 && p.gamma <= 1 - p.alpha + 1e-12);
    const bool damping = !form.damped() || (p.phi > 0 && p.phi <= 1);
    if (!(level && trend && season && damping)) return false;
    return is_admissible(form, p.alpha, form.has_trend() ? p.beta : 0, p.gamma,
                         form.damped() ? p.phi : 1, season_length);
}

}  // namespace many::core
