// Encoding, checking and scoring of linear models; the layout is in the header.
#include "core/codec/linear_model.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "core/learners/prediction.h"

namespace many::core {
namespace {

static_assert(std::endian::native == std::endian::little, "models are stored little-endian");

constexpr unsigned char kMagic[4] = {'M', 'M', 'L', 'M'};
constexpr std::uint16_t kVersion = 1;
enum Flag : unsigned char {
    kIntercept = 1,
    kInverse = 2,
    kImputed = 4,
    kLevels = 8,
    kMoments = 16
};
enum Scalar {
    kIntervalT,
    kRows,
    kDf,
    kRss,
    kTss,
    kR2,
    kSigma,
    kLambda,
    kAlpha,
    kCondition,
    kInterceptAt,
    kInterceptError,
    kTargetMean,
    kScalars
};
constexpr std::size_t kHead = 24;
constexpr std::size_t kMetrics = 7;
constexpr std::size_t kTerms = kHead + 8 * (kScalars + 3 * kMetrics);  // the coefficients
constexpr std::size_t kMaxBytes = std::size_t{1} << 30;                // a bytea
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr int kStackTerms = 256;
// Standard deviations from an inverse factor of a larger condition number are not worth having.
constexpr double kMomentsCondition = 1e6;

template <class T>
T load(const unsigned char* at) noexcept {
    T v;
    std::memcpy(&v, at, sizeof v);
    return v;
}

template <class T>
void store(unsigned char* at, T v) noexcept {
    std::memcpy(at, &v, sizeof v);
}

// Of all bytes, with the fields for the checksum and the interval as 0.
std::uint32_t checksum(const unsigned char* bytes, std::size_t length) noexcept {
    static constexpr unsigned char kZeros[8] = {};
    std::uint32_t crc = crc32c(bytes, 12);
    crc = crc32c(kZeros, 4, crc);
    crc = crc32c(bytes + 16, 8, crc);
    crc = crc32c(kZeros, 8, crc);
    return crc32c(bytes + 32, length - 32, crc);
}

// Bytes up to the level section.
std::size_t fixed_bytes(unsigned flags, std::size_t n_features, std::size_t n_terms) noexcept {
    std::size_t doubles = 3 * n_terms;
    if ((flags & kInverse) != 0) doubles += n_terms * (n_terms + 1) / 2;
    if ((flags & kMoments) != 0) doubles += 2 * n_terms;
    if ((flags & kImputed) != 0) doubles += n_features;
    return kTerms + 8 * doubles;
}

// Walks the level section, one feature at a time; stays inside [at, end).
struct LevelWalk {
    const unsigned char* at = nullptr;
    const unsigned char* end = nullptr;
    bool categorical = false;
    int n_levels = 0;

    // The head of the next feature; false when the bytes end.
    bool feature() noexcept {
        if (end - at < 3) return false;
        categorical = at[0] != 0;
        n_levels = load<std::uint16_t>(at + 1);
        if (at[0] > 1) return false;
        at += 3;
        return true;
    }
    bool level(std::string_view* out) noexcept {
        if (end - at < 2) return false;
        const std::size_t n = load<std::uint16_t>(at);
        if (static_cast<std::size_t>(end - at) < 2 + n) return false;
        *out = {reinterpret_cast<const char*>(at) + 2, n};
        at += 2 + n;
        return true;
    }
};

// Whether the level section is whole, ends with the bytes and gives n_terms terms.
bool levels_are_sound(LevelWalk walk, int n_features, int n_terms) noexcept {
    std::int64_t terms = 0;
    for (int k = 0; k < n_features; ++k) {
        if (!walk.feature() || (!walk.categorical && walk.n_levels != 0)) return false;
        terms += walk.categorical ? std::max(0, walk.n_levels - 1) : 1;
        std::string_view previous, level;
        for (int l = 0; l < walk.n_levels; ++l, previous = level) {
            if (!walk.level(&level) || (l > 0 && !(previous < level))) return false;
        }
    }
    return walk.at == walk.end && terms == n_terms;
}

const char* structural_problem(const unsigned char* b, std::size_t length) noexcept {
    if (length < kTerms || std::memcmp(b, kMagic, 4) != 0) return "not a stored linear model";
    if (load<std::uint16_t>(b + 4) != kVersion) return "unknown format version of a stored model";
    if (b[6] < 1 || b[6] > 4 || b[7] > 31) return "stored model has an unknown algorithm or flag";
    if (load<std::uint32_t>(b + 8) != length) return "stored model is truncated or extended";
    const std::size_t n_features = load<std::uint16_t>(b + 16);
    const std::size_t n_terms = load<std::uint16_t>(b + 18);
    if (load<std::uint32_t>(b + 20) > n_terms) return "stored model has an impossible rank";
    const std::size_t fixed = fixed_bytes(b[7], n_features, n_terms);
    const bool sound = (b[7] & kLevels) == 0
                           ? n_features == n_terms && fixed == length
                           : fixed <= length && levels_are_sound({b + fixed, b + length},
                                                                 int(n_features), int(n_terms));
    return sound ? nullptr : "stored model has inconsistent lengths";
}

void store_metrics(unsigned char* at, const SplitMetrics& m) noexcept {
    const double values[kMetrics] = {m.n_rows, m.rmse, m.mae, m.mape, m.smape, m.r2, m.bias};
    std::memcpy(at, values, sizeof values);
}

std::size_t level_bytes(const std::vector<FeatureLevels>& levels) {
    std::size_t total = 0;
    for (const FeatureLevels& f : levels) {
        total += 3;
        if (f.levels.size() > 0xffff) {
            throw Error(ErrorKind::unsupported, "a feature has more than 65535 levels");
        }
        for (const std::string& text : f.levels) {
            if (text.size() > 0xffff) {
                throw Error(ErrorKind::unsupported, "a level is longer than 65535 bytes");
            }
            total += 2 + text.size();
        }
    }
    return total;
}

void store_levels(unsigned char* at, const std::vector<FeatureLevels>& levels) noexcept {
    for (const FeatureLevels& f : levels) {
        *at = f.levels.empty() ? 0 : 1;
        store(at + 1, static_cast<std::uint16_t>(f.levels.size()));
        at += 3;
        for (const std::string& text : f.levels) {
            store(at, static_cast<std::uint16_t>(text.size()));
            std::memcpy(at + 2, text.data(), text.size());
            at += 2 + text.size();
        }
    }
}

}  // namespace

void encode_model(const ModelParts& parts, std::vector<unsigned char>& bytes) {
    if (parts.fit == nullptr) throw Bug("encode_model without a fit");
    const LinearFit& fit = *parts.fit;
    const std::size_t p = static_cast<std::size_t>(fit.p);
    const std::size_t n_features = static_cast<std::size_t>(parts.n_features);
    if (p > 0xffff || n_features > 0xffff) {
        throw Error(ErrorKind::unsupported, "a model has more than 65535 terms");
    }
    const bool inverse = fit.inverse_factor.size() == p * (p + 1) / 2 &&
                         fit.algorithm == Algorithm::linear_regression;
    unsigned flags = 0;
    if (fit.has_intercept) flags |= kIntercept;
    if (inverse) flags |= kInverse;
    if (parts.imputed) flags |= kImputed;
    if (parts.levels != nullptr) flags |= kLevels;
    const bool derivable = inverse && fit.has_intercept && fit.rank == fit.p &&
                           fit.condition_number < kMomentsCondition;
    if (!derivable && fit.location.size() == p && fit.spread.size() == p) flags |= kMoments;
    if (fit.coefficient.size() != p || fit.mean.size() != p || fit.std_error.size() != p ||
        (parts.imputed && parts.feature_means.size() != n_features) ||
        (parts.levels == nullptr ? p != n_features : parts.levels->size() != n_features)) {
        throw Bug("encode_model: the parts do not fit together");
    }
    const std::size_t fixed = fixed_bytes(flags, n_features, p);
    const std::size_t total = fixed + (parts.levels != nullptr ? level_bytes(*parts.levels) : 0);
    if (total >= kMaxBytes) throw Error(ErrorKind::unsupported, "a model is larger than 1 GB");

    bytes.assign(total, 0);
    unsigned char* b = bytes.data();
    std::memcpy(b, kMagic, 4);
    store(b + 4, kVersion);
    b[6] = static_cast<unsigned char>(fit.algorithm);
    b[7] = static_cast<unsigned char>(flags);
    store(b + 8, static_cast<std::uint32_t>(total));
    store(b + 16, static_cast<std::uint16_t>(n_features));
    store(b + 18, static_cast<std::uint16_t>(p));
    store(b + 20, static_cast<std::uint32_t>(fit.rank));
    const double scalars[kScalars] = {0.0,
                                      fit.n_rows,
                                      fit.df_residual,
                                      fit.rss,
                                      fit.tss,
                                      fit.r2,
                                      fit.sigma,
                                      fit.lambda,
                                      fit.alpha,
                                      fit.condition_number,
                                      fit.intercept,
                                      fit.intercept_std_error,
                                      fit.target_mean};
    std::memcpy(b + kHead, scalars, sizeof scalars);
    unsigned char* metrics = b + kHead + sizeof scalars;
    store_metrics(metrics, parts.train);
    store_metrics(metrics + 8 * kMetrics, parts.holdout);
    store_metrics(metrics + 16 * kMetrics, fit.cv);
    unsigned char* at = b + kTerms;
    const auto append = [&at](const std::vector<double>& values) {
        if (!values.empty()) std::memcpy(at, values.data(), 8 * values.size());
        at += 8 * values.size();
    };
    append(fit.coefficient);
    append(fit.mean);
    append(fit.std_error);
    if (inverse) append(fit.inverse_factor);
    if ((flags & kMoments) != 0) {
        append(fit.location);
        append(fit.spread);
    }
    if (parts.imputed) append(parts.feature_means);
    if (parts.levels != nullptr) store_levels(b + fixed, *parts.levels);
    store(b + 12, checksum(b, total));
}

LinearModelView LinearModelView::open(const void* bytes, std::size_t length, Check check) {
    const auto* b = static_cast<const unsigned char*>(bytes);
    if (const char* problem = structural_problem(b, length)) {
        throw Error(ErrorKind::invalid_data, problem);
    }
    if (check == Check::checksum && load<std::uint32_t>(b + 12) != checksum(b, length)) {
        throw Error(ErrorKind::invalid_data, "stored model fails its checksum");
    }
    LinearModelView view;
    view.bytes_ = b;
    view.length_ = length;
    return view;
}

bool LinearModelView::try_open(const void* bytes, std::size_t length,
                               LinearModelView* out) noexcept {
    const auto* b = static_cast<const unsigned char*>(bytes);
    if (structural_problem(b, length) != nullptr) return false;
    out->bytes_ = b;
    out->length_ = length;
    return true;
}

Algorithm LinearModelView::algorithm() const noexcept {
    return static_cast<Algorithm>(bytes_[6]);
}
bool LinearModelView::has_intercept() const noexcept {
    return (bytes_[7] & kIntercept) != 0;
}
bool LinearModelView::has_interval() const noexcept {
    return (bytes_[7] & kInverse) != 0 && df_residual() > 0;
}
bool LinearModelView::imputed() const noexcept {
    return (bytes_[7] & kImputed) != 0;
}
bool LinearModelView::has_levels() const noexcept {
    return (bytes_[7] & kLevels) != 0;
}
int LinearModelView::n_features() const noexcept {
    return load<std::uint16_t>(bytes_ + 16);
}
int LinearModelView::n_terms() const noexcept {
    return load<std::uint16_t>(bytes_ + 18);
}
int LinearModelView::rank() const noexcept {
    return int(load<std::uint32_t>(bytes_ + 20));
}

#define MANY_SCALAR(name, index)                           \
    double LinearModelView::name() const noexcept {        \
        return load<double>(bytes_ + kHead + 8 * (index)); \
    }
MANY_SCALAR(interval_t, kIntervalT)
MANY_SCALAR(n_rows, kRows)
MANY_SCALAR(df_residual, kDf)
MANY_SCALAR(rss, kRss)
MANY_SCALAR(tss, kTss)
MANY_SCALAR(r2, kR2)
MANY_SCALAR(sigma, kSigma)
MANY_SCALAR(lambda, kLambda)
MANY_SCALAR(alpha, kAlpha)
MANY_SCALAR(condition_number, kCondition)
MANY_SCALAR(intercept, kInterceptAt)
MANY_SCALAR(intercept_std_error, kInterceptError)
MANY_SCALAR(target_mean, kTargetMean)
#undef MANY_SCALAR

namespace {

SplitMetrics load_metrics(const unsigned char* bytes, std::size_t index) noexcept {
    double v[kMetrics];
    std::memcpy(v, bytes + kHead + 8 * (kScalars + index * kMetrics), sizeof v);
    return {v[0], v[1], v[2], v[3], v[4], v[5], v[6]};
}

}  // namespace

SplitMetrics LinearModelView::train() const noexcept {
    return load_metrics(bytes_, 0);
}
SplitMetrics LinearModelView::holdout() const noexcept {
    return load_metrics(bytes_, 1);
}
SplitMetrics LinearModelView::cv() const noexcept {
    return load_metrics(bytes_, 2);
}

double LinearModelView::coefficient(int term) const noexcept {
    return load<double>(bytes_ + kTerms + 8 * std::size_t(term));
}
double LinearModelView::mean(int term) const noexcept {
    return load<double>(bytes_ + kTerms + 8 * std::size_t(n_terms() + term));
}
double LinearModelView::std_error(int term) const noexcept {
    return load<double>(bytes_ + kTerms + 8 * std::size_t(2 * n_terms() + term));
}

void LinearModelView::term_moments(std::vector<double>& means, std::vector<double>& spreads) const {
    const std::size_t p = std::size_t(n_terms());
    const unsigned flags = bytes_[7];
    means.assign(p, kNaN);
    spreads.assign(p, kNaN);
    const unsigned char* at = bytes_ + kTerms + 24 * p;
    const std::size_t triangle = p * (p + 1) / 2;
    if ((flags & kMoments) != 0) {
        if ((flags & kInverse) != 0) at += 8 * triangle;
        for (std::size_t j = 0; j < p; ++j) means[j] = load_double(at + 8 * j);
        for (std::size_t j = 0; j < p; ++j) spreads[j] = load_double(at + 8 * (p + j));
        return;
    }
    if ((flags & kIntercept) == 0) return;
    for (std::size_t j = 0; j < p; ++j) means[j] = mean(int(j));
    if ((flags & kInverse) == 0) return;
    // L = W^-1 row by row: row j of L W = I, from the diagonal to the left.
    std::vector<double> row(p);
    const auto w = [at](std::size_t i, std::size_t j) {
        return load_double(at + 8 * (i * (i + 1) / 2 + j));
    };
    for (std::size_t j = 0; j < p; ++j) {
        double sum = 0;
        for (std::size_t k = j + 1; k-- > 0;) {
            double r = k == j ? 1.0 : 0.0;
            for (std::size_t i = k + 1; i <= j; ++i) r -= row[i] * w(i, k);
            row[k] = r / w(k, k);
            sum += row[k] * row[k];
        }
        spreads[j] = std::sqrt(sum / n_rows());
        if (!std::isfinite(spreads[j])) spreads[j] = kNaN;  // a dropped term
    }
}

LinearModelView::Term LinearModelView::term(int index) const noexcept {
    if (!has_levels()) return {index, {}};
    const std::size_t fixed =
        fixed_bytes(bytes_[7], std::size_t(n_features()), std::size_t(n_terms()));
    LevelWalk walk{bytes_ + fixed, bytes_ + length_};
    int first = 0;
    for (int k = 0; k < n_features() && walk.feature(); ++k) {
        if (!walk.categorical) {
            if (first++ == index) return {k, {}};
            continue;
        }
        std::string_view level;
        for (int l = 0; l < walk.n_levels && walk.level(&level); ++l) {
            if (l > 0 && first++ == index) return {k, level};
        }
    }
    return {0, {}};
}

std::string_view LinearModelView::reference_level(int feature) const noexcept {
    if (!has_levels()) return {};
    const std::size_t fixed =
        fixed_bytes(bytes_[7], std::size_t(n_features()), std::size_t(n_terms()));
    LevelWalk walk{bytes_ + fixed, bytes_ + length_};
    for (int k = 0; k <= feature && walk.feature(); ++k) {
        std::string_view level;
        for (int l = 0; l < walk.n_levels && walk.level(&level); ++l) {
            if (k == feature) return level;
        }
    }
    return {};
}

// x: n_terms finite or not; what is not finite shows in the prediction.
Score LinearModelView::score_terms(const double* x) const {
    const int p = n_terms();
    const unsigned char* coefficient = bytes_ + kTerms;
    const unsigned char* mean = coefficient + 8 * std::size_t(p);
    Score s;
    // Dropped terms are NaN; only least squares drops, and then the rank is smaller.
    s.prediction = rank() == p ? predict_centred(target_mean(), coefficient, mean, x, p)
                               : predict_centred_dropped(target_mean(), coefficient, mean, x, p);
    s.lower = s.upper = kNaN;
    if (!std::isfinite(s.prediction)) {
        s.code = ScoreCode::overflow;
        s.prediction = kNaN;
        return s;
    }
    const double t = interval_t();
    if (t == 0 || !has_interval()) return s;
    double local[kStackTerms];
    std::vector<double> heap;
    double* d = local;
    if (p > kStackTerms) {
        heap.resize(std::size_t(p));
        d = heap.data();
    }
    for (int j = 0; j < p; ++j) d[j] = x[j] - load_double(mean + 8 * std::size_t(j));
    double leverage = has_intercept() ? 1.0 / n_rows() : 0.0;
    const unsigned char* w = mean + 16 * std::size_t(p);
    for (int i = 0; i < p; ++i) {
        double even = 0, odd = 0;
        int j = 0;
        for (; j + 1 <= i; j += 2, w += 16) {
            even += load_double(w) * d[j];
            odd += load_double(w + 8) * d[j + 1];
        }
        if (j <= i) {
            even += load_double(w) * d[j];
            w += 8;
        }
        leverage += (even + odd) * (even + odd);
    }
    const double half = t * sigma() * std::sqrt(1 + leverage);
    s.lower = s.prediction - half;
    s.upper = s.prediction + half;
    return s;
}

Score LinearModelView::score_numeric(const double* x) const {
    if (has_levels()) throw Bug("score_numeric of a model with categorical features");
    Score s = score_terms(x);
    if (s.code == ScoreCode::overflow) {
        for (int k = 0; k < n_features(); ++k) {
            if (std::isfinite(x[k])) continue;
            s.code = ScoreCode::not_finite;
            s.feature = static_cast<std::uint16_t>(k);
            break;
        }
    }
    return s;
}

Score LinearModelView::score(const FeatureValue* values) const {
    const int n = n_features();
    const int p = n_terms();
    double local[kStackTerms];
    std::vector<double> heap;
    double* x = local;
    if (p > kStackTerms) {
        heap.resize(std::size_t(p));
        x = heap.data();
    }
    std::fill_n(x, p, 0.0);
    const std::size_t fixed = fixed_bytes(bytes_[7], std::size_t(n), std::size_t(p));
    const unsigned char* feature_means = bytes_ + fixed - 8 * std::size_t(n);  // if imputed()
    LevelWalk walk{bytes_ + fixed, bytes_ + length_};
    const bool levels = has_levels();
    int imputed_feature = -1;
    const auto fail = [](ScoreCode code, int feature) {
        return Score{kNaN, kNaN, kNaN, code, static_cast<std::uint16_t>(feature)};
    };
    int term = 0;
    for (int k = 0; k < n; ++k) {
        if (levels && !walk.feature()) return fail(ScoreCode::overflow, k);
        const FeatureValue& v = values[k];
        const bool null = v.is_null;
        if (null && !imputed()) return fail(ScoreCode::null_feature, k);
        if (null && imputed_feature < 0) imputed_feature = k;
        const double substitute = null ? load_double(feature_means + 8 * std::size_t(k)) : 0.0;
        if (!levels || !walk.categorical) {
            x[term] = null ? substitute : v.number;
            if (!std::isfinite(x[term])) return fail(ScoreCode::not_finite, k);
            ++term;
            continue;
        }
        const std::string_view text(v.text != nullptr ? v.text : "",
                                    v.text != nullptr ? v.text_length : 0);
        bool found = false;
        std::string_view level;
        for (int l = 0; l < walk.n_levels && walk.level(&level); ++l) {
            const bool match = null ? substitute == l : level == text;
            found = found || match;
            if (l > 0) x[term++] = match ? 1.0 : 0.0;
        }
        if (!found) return fail(ScoreCode::unseen_level, k);
    }
    Score s = score_terms(x);
    if (s.code == ScoreCode::ok && imputed_feature >= 0) {
        s.code = ScoreCode::imputed;
        s.feature = static_cast<std::uint16_t>(imputed_feature);
    }
    return s;
}

LinearModelView::FeatureWalk::FeatureWalk(const LinearModelView& view) noexcept
    : n_features_(view.n_features()) {
    const unsigned char* fixed = view.bytes_ + fixed_bytes(view.bytes_[7], std::size_t(n_features_),
                                                           std::size_t(view.n_terms()));
    if (view.imputed()) means_ = fixed - 8 * std::size_t(n_features_);
    if (view.has_levels()) levels_ = fixed;
    end_ = view.bytes_ + view.length_;
}

bool LinearModelView::FeatureWalk::next() noexcept {
    std::string_view skipped;
    while (levels_left_ > 0)
        if (!next_level(&skipped)) return false;
    if (++feature_ >= n_features_) return false;
    first_term_ = next_term_;
    if (levels_ == nullptr) {
        ++next_term_;
        return true;
    }
    LevelWalk walk{levels_, end_};
    if (!walk.feature()) return false;
    levels_ = walk.at;
    categorical_ = walk.categorical;
    n_levels_ = levels_left_ = walk.n_levels;
    next_term_ += categorical_ ? std::max(0, n_levels_ - 1) : 1;
    return true;
}

bool LinearModelView::FeatureWalk::next_level(std::string_view* level) noexcept {
    LevelWalk walk{levels_, end_};
    if (levels_left_ == 0 || !walk.level(level)) return false;
    levels_ = walk.at;
    --levels_left_;
    return true;
}

double LinearModelView::FeatureWalk::imputed_value() const noexcept {
    return means_ == nullptr ? kNaN : load_double(means_ + 8 * std::size_t(feature_));
}

void LinearModelView::set_interval_level(void* bytes, std::size_t length, double level) {
    const LinearModelView view = open(bytes, length, Check::structure);
    const double t = view.has_interval() ? t_quantile(level, view.df_residual()) : 0.0;
    store(static_cast<unsigned char*>(bytes) + kHead, t == t ? t : 0.0);
}

}  // namespace many::core
