#include "pg/server.h"

#include "engine/fit_session.h"

#include <time.h>

#include <memory>
#include <vector>

#include "engine/backtest.h"
#include "engine/collect.h"
#include "engine/group_table.h"
#include "pg/forecast_options.h"
#include "wall/wall.h"

namespace many::engine {

struct FitSession {
    RunSpec* spec;
    core::GroupTrainer* trainer;        // or
    core::ForecastTrainer* forecaster;  // of forecasting algorithms
    core::TimeZoneMap zone;
    std::vector<core::BacktestPoint>* points;  // of a backtest
    core::ForecastModel* stored;               // of a refresh that moves models forward ...
    std::vector<double>* behind;               // ... the rows behind its end
    core::GroupResult* result;
    core::GroupOptions options;  // of the group being fitted
    double limit_seconds;
    char message[1200];
    char hint[600];
};

namespace {

int64 clock_us() {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void destroy_session(void* argument) {
    auto* session = (FitSession*)argument;
    delete session->trainer;
    delete session->forecaster;
    delete session->points;
    delete session->stored;
    delete session->behind;
    delete session->result;
}

core::TrainSpec train_spec(RunSpec* spec) {
    core::TrainSpec train;
    train.n_features = spec->n_features;
    train.categorical.resize((size_t)spec->n_features);
    for (int i = 0; i < spec->n_features; i++)
        train.categorical[(size_t)i] = spec->features()[i].kind == pg::FeatureKind::level;
    train.has_time = spec->has_time;
    train.holdout = spec->holdout;
    train.cv_folds = spec->cv_folds;
    train.null_policy = spec->null_policy;
    train.seed = (uint64)spec->seed;
    train.max_levels = spec->max_levels;
    return train;
}

// spent: seconds of the group's fits before.
core::StopSignal start_group(FitSession* session, GroupFitInput input, double spent) {
    core::StopSignal stop;
    session->options = input.override != nullptr ? input.override->options : session->spec->options;
    session->limit_seconds = input.override != nullptr ? input.override->seconds_per_group
                                                       : session->spec->seconds_per_group;
    stop.flag = (const volatile int*)&InterruptPending;
    stop.deadline_us = session->limit_seconds > 0
                           ? clock_us() + (int64)((session->limit_seconds - spent) * 1e6)
                           : 0;
    return stop;
}

const core::ForecastSpec* forecast_spec(const FitSession* session, GroupFitInput input) {
    return input.override != nullptr ? &input.override->forecast : &session->spec->forecast;
}

// The points take the place of the model's bytes.
void backtest_rows(FitSession* session, GroupFitInput input, double* rows, Size n, Size stride,
                   const core::StopSignal& stop) {
    core::GroupResult& result = *session->result;
    BacktestHead head = {};
    session->points->clear();
    session->forecaster->backtest_rows(*forecast_spec(session, input), session->zone, rows, n,
                                       stride, stop, result, head.grid, *session->points);
    if (result.status != core::FitStatus::ok) return;
    head.n = (uint32)session->points->size();
    const Size bytes = sizeof(core::BacktestPoint) * session->points->size();
    result.model.resize(sizeof head + bytes);
    memcpy(result.model.data(), &head, sizeof head);
    if (bytes > 0) memcpy(result.model.data() + sizeof head, session->points->data(), bytes);
}

int sqlstate_of(core::FitStatus status) {
    switch (status) {
        case core::FitStatus::not_finite:
        case core::FitStatus::not_finite_input:
            return ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE;
        case core::FitStatus::null_value:
            return ERRCODE_NULL_VALUE_NOT_ALLOWED;
        case core::FitStatus::too_many_levels:
            return ERRCODE_PROGRAM_LIMIT_EXCEEDED;
        case core::FitStatus::timed_out:
            return ERRCODE_QUERY_CANCELED;
        case core::FitStatus::cancelled:
            return ERRCODE_QUERY_CANCELED;
        default:
            return ERRCODE_DATA_EXCEPTION;
    }
}

// Puts names of columns where the core wrote {k} and {target}, times where it wrote {time:N}.
void name_columns(RunSpec* spec, const char* text, char* out, size_t size) {
    size_t used = 0;
    while (*text != '\0' && used + 1 < size) {
        int index = 0;
        int consumed = 0;
        long long time = 0;
        const char* name = nullptr;
        if (strncmp(text, "{target}", 8) == 0) {
            name = NameStr(spec->target);
            consumed = 8;
        } else if (sscanf(text, "{%d}%n", &index, &consumed) == 1 && consumed > 0 && index >= 0 &&
                   index < spec->n_features) {
            name = NameStr(spec->features()[index].name);
        } else if (sscanf(text, "{time:%lld}%n", &time, &consumed) == 1 && consumed > 0) {
            const int n = pg_snprintf(out + used, size - used, "%s", time_text(spec, time));
            used = used + (size_t)n < size ? used + (size_t)n : size - 1;
            text += consumed;
            continue;
        }
        if (name == nullptr) {
            out[used++] = *text++;
            continue;
        }
        const int n = pg_snprintf(out + used, size - used, "\"%s\"", name);
        used += n > 0 ? (size_t)n : 0;
        if (used >= size) used = size - 1;
        text += consumed;
    }
    out[used] = '\0';
}

// After the core has filled session->result.
void settle(FitSession* session, int64 n_rows, GroupFitInput input, GroupOutcome* outcome) {
    const core::GroupResult& result = *session->result;
    memset(outcome, 0, sizeof *outcome);
    outcome->n_rows = result.rows_used > 0 ? result.rows_used : n_rows;
    outcome->n_skipped = result.rows_skipped;
    if (result.status == core::FitStatus::ok) {
        outcome->kind = ResultKind::trained;
        outcome->model = result.model.data();
        outcome->model_bytes = (uint32)result.model.size();
        // A forecaster in production that knows the held-out rows is not compared at all.
        const bool compared = input.rival != nullptr &&
                              (!session->spec->forecasts || result.comparison.rival.n_rows > 0);
        outcome->n_numbers =
            core::comparison_numbers(result.comparison, compared, outcome->numbers);
        return;
    }
    outcome->kind = result.status == core::FitStatus::too_few_rows ||
                            result.status == core::FitStatus::constant_target
                        ? ResultKind::skipped
                        : ResultKind::failed;
    outcome->sqlstate = sqlstate_of(result.status);
    if (result.status == core::FitStatus::timed_out) {
        pg_snprintf(session->message, sizeof session->message,
                    "took longer than seconds_per_group = %g", session->limit_seconds);
        pg_snprintf(session->hint, sizeof session->hint,
                    "Raise seconds_per_group, for this group alone by group_options.");
    } else {
        name_columns(session->spec, result.message.c_str(), session->message,
                     sizeof session->message);
        name_columns(session->spec, result.hint.c_str(), session->hint, sizeof session->hint);
    }
    outcome->message = session->message;
    outcome->hint = session->hint[0] != '\0' ? session->hint : nullptr;
}

// Runs `step` until it was not interrupted; interrupts are served outside of the core. The group's
// time limit goes on over interruptions. Returns the seconds of the group's fits, `spent` included.
template <class Step>
double run_step(FitSession* session, GroupFitInput input, double spent, Step step) {
    const int64 start = clock_us();
    core::StopSignal stop = start_group(session, input, spent);
    for (;;) {
        wall::WallError error;
        core::FitStatus status = core::FitStatus::ok;
        if (!wall::across_wall(&error, [&] { status = step(stop); }))
            wall::raise_wall_error(&error);
        if (status != core::FitStatus::cancelled) return spent + (double)(clock_us() - start) / 1e6;
        CHECK_FOR_INTERRUPTS();
    }
}

// Rows whose time is NULL, as the core knows them; the sink has left them without a target too.
void mark_missing_times(const FitSession* session, double* rows, Size n, Size stride) {
    const Size target_at = (Size)session->spec->n_features;
    for (Size i = 0; i < n; i++) {
        double* row = rows + i * stride;
        int64 time;
        memcpy(&time, &row[target_at + 1], sizeof time);
        if (time == kNoTime && core::is_null_value(row[target_at]))
            row[target_at + 1] = core::null_value();
    }
}

// Rows behind the end of the stored model.
void find_rows_behind(FitSession* session, const core::TimeZoneMap& zone, const double* rows,
                      Size n, Size stride) {
    const core::ForecastModel& model = *session->stored;
    const int64 end = core::time_at(model.grid, model.n - 1, zone);
    const Size time_at = (Size)session->spec->n_features + 1;
    session->behind->clear();
    for (Size i = 0; i < n; i++) {
        const double* row = rows + i * stride;
        int64 time;
        memcpy(&time, &row[time_at], sizeof time);
        if (time > end) session->behind->insert(session->behind->end(), row, row + stride);
    }
}

}  // namespace

FitSession* make_fit_session(RunSpec* spec, MemoryContext context) {
    auto* session = (FitSession*)MemoryContextAllocZero(context, sizeof(FitSession));
    auto* callback =
        (MemoryContextCallback*)MemoryContextAllocZero(context, sizeof(MemoryContextCallback));
    session->spec = spec;
    if (spec->forecasts) session->zone = pg::time_zone_map(spec->forecast.zone);
    callback->func = destroy_session;
    callback->arg = session;
    MemoryContextRegisterResetCallback(context, callback);
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            if (spec->backtests) session->points = new std::vector<core::BacktestPoint>;
            if (spec->updates) {
                session->stored = new core::ForecastModel;
                session->behind = new std::vector<double>;
            }
            if (spec->forecasts)
                session->forecaster = new core::ForecastTrainer;
            else
                session->trainer = new core::GroupTrainer(train_spec(spec));
            session->result = new core::GroupResult;
        }))
        wall::raise_wall_error(&error);
    return session;
}

// The last is for the seconds that the fit of the training split took.
Size session_holdout_doubles(const FitSession* session) {
    return session->trainer == nullptr ? 0 : session->trainer->holdout_doubles() + 1;
}

void session_prepare_holdout(FitSession* session, const double* moments, double* state,
                             GroupFitInput input) {
    const double seconds = run_step(session, input, 0, [&](const core::StopSignal& stop) {
        const core::FitStatus status =
            session->trainer->prepare_holdout(moments, session->options, stop, state);
        // Out of time: the final fit will be too, and settles the group.
        return status == core::FitStatus::cancelled ? status : core::FitStatus::ok;
    });
    state[session->trainer->holdout_doubles()] = seconds;
    if (input.comparison != nullptr) session->trainer->start_comparison(input.comparison, state);
}

void session_add_comparison(FitSession* session, const double* state, const double* rows, uint32 n,
                            Size stride, GroupFitInput input) {
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            session->trainer->add_comparison_rows(input.comparison, state, *input.rival, rows, n,
                                                  stride);
        }))
        wall::raise_wall_error(&error);
}

void session_add_holdout(FitSession* session, double* state, double* moments, const double* rows,
                         uint32 n, Size stride) {
    session->trainer->add_holdout_rows(state, moments, rows, n, stride);  // noexcept
}

void session_finish(FitSession* session, const double* moments, const double* state, int64 n_rows,
                    GroupFitInput input, GroupOutcome* outcome) {
    const double spent = state != nullptr ? state[session->trainer->holdout_doubles()] : 0;
    const double seconds = run_step(session, input, spent, [&](const core::StopSignal& stop) {
        session->trainer->finish(moments, state, session->options, stop, *session->result,
                                 input.comparison);
        return session->result->status;
    });
    settle(session, n_rows, input, outcome);
    outcome->seconds = seconds;
}

void session_finish_split(FitSession* session, const double* train, const double* held,
                          int64 n_rows, GroupFitInput input, GroupOutcome* outcome) {
    const double seconds = run_step(session, input, 0, [&](const core::StopSignal& stop) {
        session->trainer->finish_split(train, held, session->options, stop, *session->result);
        return session->result->status;
    });
    input.rival = nullptr;  // sums tell nothing of another model's errors row by row
    settle(session, n_rows, input, outcome);
    outcome->seconds = seconds;
}

void session_fit_rows(FitSession* session, double* rows, Size n, Size stride,
                      const LevelDictionary* levels, GroupFitInput input, GroupOutcome* outcome) {
    if (session->forecaster != nullptr) mark_missing_times(session, rows, n, stride);
    const double seconds = run_step(session, input, 0, [&](const core::StopSignal& stop) {
        if (session->points != nullptr) {
            backtest_rows(session, input, rows, n, stride, stop);
            return session->result->status;
        }
        if (session->forecaster != nullptr) {
            session->forecaster->fit_rows(*forecast_spec(session, input), session->zone, rows, n,
                                          stride, stop, *session->result, input.rival);
            return session->result->status;
        }
        const auto lookup = [levels](int feature, std::uint64_t key) -> std::string_view {
            uint32 length = 0;
            const char* text = levels_text(levels, feature, key, &length);
            return text == nullptr ? std::string_view() : std::string_view(text, length);
        };
        session->trainer->fit_rows(rows, n, stride, lookup, session->options, stop,
                                   *session->result, input.rival);
        return session->result->status;
    });
    settle(session, (int64)n, input, outcome);
    outcome->seconds = seconds;
}

bool session_update_rows(FitSession* session, const char* model, Size bytes, const double* rows,
                         Size n, Size stride, GroupFitInput input, GroupOutcome* outcome) {
    const int64 start = clock_us();
    wall::WallError error;
    if (!wall::across_wall(&error,
                           [&] { core::decode_forecast_model(model, bytes, *session->stored); })) {
        if (error.kind == wall::WallKind::invalid_data) return false;
        wall::raise_wall_error(&error);
    }
    // On the model's own grid, whatever zone the session has by now.
    const char* name = session->stored->zone.c_str();
    const core::TimeZoneMap zone = pg::time_zone_map(name);
    if (name[0] != '\0' && zone.zone == nullptr) return false;
    bool moved = false;
    if (!wall::across_wall(&error, [&] {
            find_rows_behind(session, zone, rows, n, stride);
            moved = session->forecaster->append_rows(
                *forecast_spec(session, input), zone, *session->stored, session->behind->data(),
                session->behind->size() / stride, stride, *session->result);
        }))
        wall::raise_wall_error(&error);
    if (!moved) return false;
    settle(session, (int64)n, input, outcome);
    outcome->seconds = (double)(clock_us() - start) / 1e6;
    return true;
}

}  // namespace many::engine
