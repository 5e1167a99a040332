// A process's fitter: the core's GroupTrainer behind the wall, with limits and interrupts.
//
// The C++ objects live on the heap, owned by a memory context (its reset destroys them); what comes
// out is plain data that stays valid until the next call.
#pragma once

#include "engine/key_image.h"
#include "engine/levels.h"
#include "engine/results.h"

namespace many::engine {

struct FitSession;

struct GroupFitInput {
    const Override* override;  // of options, or nullptr
    const core::Rival* rival;  // what is in production, or nullptr
    double* comparison;        // statistics exchange: its state, core::comparison_state_doubles()
};

struct GroupOutcome {
    ResultKind kind;
    int sqlstate;
    const char* message;  // nullptr when trained
    const char* hint;
    const void* model;
    uint32 model_bytes;
    int64 n_rows;
    int64 n_skipped;  // rows left out for a NULL, found while fitting
    double seconds;   // of all fits of the group
    int64
        compared_with;  // of a comparison that was carried forward; 0: with the incumbent, or none
    int n_numbers;      // of the comparison (core/selection/rival.h)
    double numbers[core::kComparisonNumbers];
};

FitSession* make_fit_session(RunSpec* spec, MemoryContext context);

Size session_holdout_doubles(const FitSession* session);
void session_prepare_holdout(FitSession* session, const double* moments, double* state,
                             GroupFitInput input);
void session_add_holdout(FitSession* session, double* state, double* moments, const double* rows,
                         uint32 n, Size stride);
// Beside session_add_holdout, for a group that has a rival.
void session_add_comparison(FitSession* session, const double* state, const double* rows, uint32 n,
                            Size stride, GroupFitInput input);
void session_finish(FitSession* session, const double* moments, const double* state, int64 n_rows,
                    GroupFitInput input, GroupOutcome* outcome);
// From the moments of the training split and of the held-out rows.
void session_finish_split(FitSession* session, const double* train, const double* held,
                          int64 n_rows, GroupFitInput input, GroupOutcome* outcome);
void session_fit_rows(FitSession* session, double* rows, Size n, Size stride,
                      const LevelDictionary* levels, GroupFitInput input, GroupOutcome* outcome);
// A stored forecaster moved forward by those rows of its group that lie behind its end; false: it
// allows none, or is damaged. rows: all of the group.
bool session_update_rows(FitSession* session, const char* model, Size bytes, const double* rows,
                         Size n, Size stride, GroupFitInput input, GroupOutcome* outcome);

}  // namespace many::engine
