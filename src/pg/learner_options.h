// Options of the linear learners, as users write them in jsonb: shared by train_many_models and fit.
//
// Usage: init, set_learner_algorithm, then for every pair of the object set_learner_option (false:
// not one of these keys), then finish_learner_options, which checks the options against each other
// and fills in what depends on the algorithm. Everything is plain data; callers' mistakes are
// raised as 22023 with the key, the value and the valid range.
#pragma once

#include "core/learners/group_trainer.h"
#include "pg/server.h"

namespace many::pg {

struct LearnerOptions {
    core::Algorithm algorithm = core::Algorithm::linear_regression;
    bool fit_intercept = true;
    bool standardize = true;
    bool lambda_auto = false;
    bool lambda_set = false;  // given by the user, as a number or "auto"
    bool alpha_set = false;
    bool cv_folds_set = false;
    double lambda = 0;
    double alpha = 0;
    int cv_folds = 0;     // 0: no cross-validation
    int64 min_rows = -1;  // -1: parameters + 2
    int64 seed = 0;
};

inline constexpr int kMaxCvFolds = 100;
inline constexpr int kDefaultCvFolds = 5;  // for "lambda": "auto"

// The keys set_learner_option knows, for hints: `"fit_intercept", "standardize", ...`.
extern const char* const kLearnerOptionKeys;

// 22023, with the list of algorithms as hint, when there is no such algorithm.
// others: the names of algorithms that are known elsewhere, for the hint, or nullptr.
void set_learner_algorithm(LearnerOptions* options, const char* name, const char* others = nullptr);

// Sets the option `key` from a jsonb value (null: the default). False when `key` is not an option
// of the learners; raises 22023 when the value is not valid for it.
bool set_learner_option(LearnerOptions* options, const char* key, const JsonbValue* value);

// Cross-checks and defaults: ridge has alpha 0, lasso 1, elastic_net 0.5 unless given; penalised
// learners choose lambda by cross-validation ("auto") unless it is given, and "auto" implies
// cv_folds = 5 unless given. May be called on a copy that options of a group were added to.
void finish_learner_options(LearnerOptions* options);

core::GroupOptions to_group_options(const LearnerOptions& options);

const char* algorithm_name(core::Algorithm algorithm);
bool algorithm_from_name(const char* name, core::Algorithm* algorithm);

// --- Reading options from jsonb, for other options too ----------------------------------------

// 22023: invalid value for option "key": value; `valid` completes "Valid is ...".
[[noreturn]] void raise_option_value(const char* key, const JsonbValue* value, const char* valid);
// 22023: unknown option "key", with the valid keys as hint.
[[noreturn]] void raise_unknown_option(const char* key, const char* valid_keys);

// Each raises as raise_option_value when the value is of another type or outside the range.
double option_float8(const char* key, const JsonbValue* value, double low, double high,
                     const char* valid);
int64 option_int64(const char* key, const JsonbValue* value, int64 low, int64 high,
                   const char* valid);
bool option_bool(const char* key, const JsonbValue* value);
char* option_string(const char* key, const JsonbValue* value, const char* valid);  // palloc'd

// Walks over the pairs of a jsonb object. 22023 when `options` is not an object. `what` is the
// argument's name for the message. key is palloc'd; value points into `options`.
struct OptionScan {
    JsonbIterator* iterator;
};
void option_scan_begin(OptionScan* scan, Jsonb* options, const char* what);
bool option_scan_next(OptionScan* scan, char** key, JsonbValue* value);

// The value as JSON text, for messages; palloc'd.
char* jsonb_value_text(const JsonbValue* value);

}  // namespace many::pg
