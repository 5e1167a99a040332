#include "core/learners/row_design.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "core/numeric/moments.h"
#include "core/numeric/wide.h"

namespace many::core {
namespace {

constexpr std::size_t kLongestLevel = 0xffff;  // what the codec stores

struct RunningSum {
    double s0 = 0, s1 = 0, s2 = 0;
    void add(double v) noexcept {
        double r, e;
        s0 = detail::sum2(s0, v, r);
        s1 = detail::sum2(s1, r, e);
        s2 += e;
    }
    [[nodiscard]] double mean(std::int64_t n) const noexcept {
        return (TripleDouble::of(s0, s1, s2) / TripleDouble(static_cast<double>(n))).value();
    }
};

}  // namespace

// Levels with their counts, and means of numeric features, into features_ and means_.
RowDesign::Problem RowDesign::count(const TrainSpec& spec, const double* rows, std::size_t stride,
                                    const std::uint32_t* index, std::size_t n) {
    const bool impute = spec.null_policy == NullPolicy::impute_mean;
    for (int k = 0; k < n_features_; ++k) {
        const std::size_t sk = static_cast<std::size_t>(k);
        Feature& f = features_[sk];
        problem_feature_ = k;
        if (!f.categorical && !impute) continue;
        RunningSum sum;
        std::int64_t present = 0;
        for (std::size_t r = 0; r < n; ++r) {
            const double v = rows[index[r] * stride + sk];
            if (is_null_value(v)) continue;
            ++present;
            if (!f.categorical) {
                sum.add(v);
                continue;
            }
            const std::uint64_t key = std::bit_cast<std::uint64_t>(v);
            auto at = std::lower_bound(f.levels.begin(), f.levels.end(), key,
                                       [](const Level& l, std::uint64_t x) { return l.key < x; });
            if (at == f.levels.end() || at->key != key) {
                if (static_cast<int>(f.levels.size()) >= spec.max_levels) {
                    return Problem::too_many_levels;
                }
                at = f.levels.insert(at, Level{key, 0, 0});
            }
            ++at->count;
        }
        if (present == 0) return Problem::always_null;
        if (!f.categorical) means_[sk] = sum.mean(present);
    }
    return Problem::none;
}

// Texts of the levels of one feature, sorted bytewise; keys with the same text are one level.
RowDesign::Problem RowDesign::name_levels(int feature, const LevelLookup& lookup) {
    Feature& f = features_[static_cast<std::size_t>(feature)];
    std::vector<std::string>& texts = levels_[static_cast<std::size_t>(feature)].levels;
    texts.clear();
    for (const Level& l : f.levels) texts.emplace_back(lookup(feature, l.key));
    std::sort(texts.begin(), texts.end());
    texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
    for (const std::string& text : texts) {
        if (text.size() > kLongestLevel) return Problem::level_too_long;
    }
    for (Level& l : f.levels) {
        const auto at = std::lower_bound(texts.begin(), texts.end(), lookup(feature, l.key));
        l.index = static_cast<int>(at - texts.begin());
    }
    return Problem::none;
}

double RowDesign::most_frequent(const Feature& feature) const {
    std::vector<std::int64_t> counts;
    for (const Level& l : feature.levels) {
        counts.resize(std::max(counts.size(), static_cast<std::size_t>(l.index) + 1));
        counts[static_cast<std::size_t>(l.index)] += l.count;
    }
    // max_element returns the first of equals: the smallest text.
    return static_cast<double>(std::max_element(counts.begin(), counts.end()) - counts.begin());
}

RowDesign::Problem RowDesign::learn(const TrainSpec& spec, const double* rows, std::size_t stride,
                                    const std::uint32_t* index, std::size_t n,
                                    const LevelLookup& lookup) {
    n_features_ = spec.n_features;
    const std::size_t features = static_cast<std::size_t>(n_features_);
    features_.resize(features);
    levels_.resize(features);
    means_.assign(features, 0.0);
    has_categorical_ = false;
    for (std::size_t k = 0; k < features; ++k) {
        features_[k].categorical = k < spec.categorical.size() && spec.categorical[k];
        features_[k].levels.clear();
        levels_[k].levels.clear();
        has_categorical_ = has_categorical_ || features_[k].categorical;
    }
    if (const Problem p = count(spec, rows, stride, index, n); p != Problem::none) return p;
    std::int64_t terms = 0;
    for (int k = 0; k < n_features_; ++k) {
        const std::size_t sk = static_cast<std::size_t>(k);
        Feature& f = features_[sk];
        problem_feature_ = k;
        f.first_term = static_cast<int>(terms);
        if (!f.categorical) {
            ++terms;
            continue;
        }
        if (const Problem p = name_levels(k, lookup); p != Problem::none) return p;
        means_[sk] = most_frequent(f);
        terms += static_cast<std::int64_t>(levels_[sk].levels.size()) - 1;
        if (terms + 1 > MomentLayout::kMaxColumns) return Problem::too_many_terms;
    }
    if (terms + 1 > MomentLayout::kMaxColumns) return Problem::too_many_terms;
    terms_ = static_cast<int>(terms);
    return Problem::none;
}

RowDesign::Problem RowDesign::learn_within(const RowDesign& whole, const TrainSpec& spec,
                                           const double* rows, std::size_t stride,
                                           const std::uint32_t* index, std::size_t n) {
    *this = whole;
    for (Feature& f : features_) f.levels.clear();
    if (const Problem p = count(spec, rows, stride, index, n); p != Problem::none) return p;
    for (std::size_t k = 0; k < features_.size(); ++k) {
        Feature& f = features_[k];
        if (!f.categorical) continue;
        const std::vector<Level>& named = whole.features_[k].levels;
        for (Level& l : f.levels) {
            const auto at =
                std::lower_bound(named.begin(), named.end(), l.key,
                                 [](const Level& a, std::uint64_t key) { return a.key < key; });
            l.index = at->index;
        }
        means_[k] = most_frequent(f);
    }
    return Problem::none;
}

bool RowDesign::expand(const double* row, double* out) const noexcept {
    for (std::size_t k = 0; k < features_.size(); ++k) {
        const Feature& f = features_[k];
        const double v = row[k];
        if (!f.categorical) {
            out[f.first_term] = is_null_value(v) ? means_[k] : v;
            continue;
        }
        int level = static_cast<int>(means_[k]);
        if (!is_null_value(v)) {
            const std::uint64_t key = std::bit_cast<std::uint64_t>(v);
            const auto at =
                std::lower_bound(f.levels.begin(), f.levels.end(), key,
                                 [](const Level& l, std::uint64_t x) { return l.key < x; });
            if (at == f.levels.end() || at->key != key) return false;
            level = at->index;
        }
        const int n_levels = static_cast<int>(levels_[k].levels.size());
        for (int l = 1; l < n_levels; ++l) out[f.first_term + l - 1] = l == level ? 1.0 : 0.0;
    }
    out[terms_] = row[features_.size()];
    return true;
}

}  // namespace many::core
