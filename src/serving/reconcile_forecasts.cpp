// reconcile_forecasts: arrays of forecasts of a hierarchy's nodes, made coherent; reconcile_std_errors:
// their standard errors. Nodes are numbered from 1 as the columns of the arrays; those in `aggregates`
// are aggregates, the others leaves, which come first in the core's order.
#include "core/forecasters/intervals.h"
#include "core/forecasters/reconcile.h"
#include "pg/server.h"
#include "pg/worker_cpu.h"
#include "serving/number_array.h"
#include "wall/wall.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace many;
using namespace many::serving;

namespace {

enum Argument { kForecasts, kAggregates, kMembers, kMethod, kErrors, kAverages, kNonnegative };

enum class Wanted { forecasts, nonnegative, std_errors };

struct Method {
    const char* name;
    core::ReconcileMethod method;
};
constexpr Method kMethods[] = {
    {"bottom_up", core::ReconcileMethod::bottom_up},
    {"top_down", core::ReconcileMethod::top_down},
    {"top_down_averages", core::ReconcileMethod::top_down_averages},
    {"ols", core::ReconcileMethod::ols},
    {"wls_structure", core::ReconcileMethod::wls_structure},
    {"wls_variance", core::ReconcileMethod::wls_variance},
    {"mint", core::ReconcileMethod::mint_shrink},
};

struct Request {
    Wanted wanted;
    core::ReconcileMethod method;
    const char* method_name;
    NumberArray forecasts, errors, averages;  // forecasts: of reconcile_std_errors, standard errors
    int n;                                    // nodes
    int n_pairs;                              // aggregate and member
    int32 *aggregates, *members;              // nodes, from 1
    core::ForecastStatus status;
};

int32* read_integers(FunctionCallInfo fcinfo, int argument, const char* name, int* n) {
    ArrayType* array = PG_GETARG_ARRAYTYPE_P(argument);
    if (ARR_NDIM(array) > 1)
        ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                        errmsg("%s must have at most 1 dimension(s)", name)));
    if (array_contains_nulls(array))
        ereport(ERROR,
                (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not contain NULL", name),
                 errhint("In a table's forecasts, an aggregate has no rows of its parts.")));
    *n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
    return reinterpret_cast<int32*>(ARR_DATA_PTR(array));
}

void read_method(FunctionCallInfo fcinfo, Request* request) {
    request->method_name = text_to_cstring(PG_GETARG_TEXT_PP(kMethod));
    for (const Method& method : kMethods) {
        if (strcmp(method.name, request->method_name) != 0) continue;
        request->method = method.method;
        return;
    }
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
             errmsg("unknown method of reconciliation: \"%s\"", request->method_name),
             errhint("Methods are bottom_up, top_down, top_down_averages, ols, wls_structure, "
                     "wls_variance and mint.")));
}

void check_nodes(const Request* request, const int32* nodes, const char* name) {
    for (int i = 0; i < request->n_pairs; ++i) {
        if (nodes[i] >= 1 && nodes[i] <= request->n) continue;
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("element %d of %s is %d, but there are %d nodes", i + 1, name,
                               nodes[i], request->n)));
    }
}

bool needs_errors(const Request& request) {
    return request.method == core::ReconcileMethod::wls_variance ||
           request.method == core::ReconcileMethod::mint_shrink;
}

bool is_top_down(const Request& request) {
    return request.method == core::ReconcileMethod::top_down ||
           request.method == core::ReconcileMethod::top_down_averages;
}

void check_history(const Request* request) {
    const bool reads_errors = needs_errors(*request) || request->wanted == Wanted::std_errors;
    if (needs_errors(*request) && request->errors.values == nullptr)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("method \"%s\" needs errors", request->method_name),
                        errhint("One-step errors, a row for each step, a column for each node.")));
    if (reads_errors && request->errors.size() > 0 && request->errors.columns != request->n)
        ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                        errmsg("errors has %d columns for %d nodes", request->errors.columns,
                               request->n)));
    const bool needs_averages = request->wanted != Wanted::std_errors &&
                                request->method == core::ReconcileMethod::top_down_averages;
    if (needs_averages && request->averages.size() != request->n)
        ereport(
            ERROR,
            (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
             errmsg("averages has %d elements for %d nodes", request->averages.size(), request->n),
             errhint("The average of each node's past; those of aggregates are not read.")));
}

void check_std_errors(const NumberArray& given) {
    for (int i = 0; i < given.size(); ++i) {
        if (!(given.values[i] < 0)) continue;
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("a standard error is negative: %g", given.values[i])));
    }
}

void read_request(FunctionCallInfo fcinfo, Wanted wanted, Request* request) {
    int n_members;
    read_method(fcinfo, request);
    request->wanted = wanted;
    request->errors = read_numbers(fcinfo, kErrors, "errors", 2);
    if (wanted == Wanted::std_errors) {
        request->forecasts = read_numbers(fcinfo, kForecasts, "std_errors", 2);
        check_std_errors(request->forecasts);
    } else {
        request->forecasts = read_numbers(fcinfo, kForecasts, "forecasts", 2);
        request->averages = read_numbers(fcinfo, kAverages, "averages", 1);
    }
    request->n = request->forecasts.columns;
    request->aggregates = read_integers(fcinfo, kAggregates, "aggregates", &request->n_pairs);
    request->members = read_integers(fcinfo, kMembers, "members", &n_members);
    if (request->n_pairs != n_members)
        ereport(ERROR,
                (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                 errmsg("%d aggregates and %d members given", request->n_pairs, n_members),
                 errhint("Both have one element for each pair of an aggregate and a leaf of it.")));
    check_nodes(request, request->aggregates, "aggregates");
    check_nodes(request, request->members, "members");
    check_history(request);
}

// --- Behind the wall: no server call ------------------------------------------------------------

// Places of the nodes in the core's order, and the hierarchy.
struct Nodes {
    core::Hierarchy hierarchy{0};
    std::vector<int> order;  // node (from 0) at each place
};

Nodes nodes_of(const Request& request) {
    const auto n = static_cast<std::size_t>(request.n);
    std::vector<std::vector<int>> members(n);
    for (int i = 0; i < request.n_pairs; ++i)
        members[static_cast<std::size_t>(request.aggregates[i] - 1)].push_back(request.members[i] -
                                                                               1);
    Nodes nodes;
    std::vector<int> place(n);
    for (const bool aggregate : {false, true}) {
        for (std::size_t i = 0; i < n; ++i) {
            if (members[i].empty() == aggregate) continue;
            place[i] = static_cast<int>(nodes.order.size());
            nodes.order.push_back(static_cast<int>(i));
        }
        if (!aggregate) nodes.hierarchy = core::Hierarchy(static_cast<int>(nodes.order.size()));
    }
    const int n_leaves = nodes.hierarchy.n_leaves();
    std::vector<int> leaves;
    for (std::size_t at = static_cast<std::size_t>(n_leaves); at < n; ++at) {
        leaves.clear();
        for (const int member : members[static_cast<std::size_t>(nodes.order[at])]) {
            const int leaf = place[static_cast<std::size_t>(member)];
            if (leaf >= n_leaves)
                throw core::Error(
                    core::ErrorKind::invalid_argument,
                    "node " + std::to_string(member + 1) +
                        " is an aggregate and cannot be a member: members are leaves");
            leaves.push_back(leaf);
        }
        nodes.hierarchy.add(leaves);
    }
    return nodes;
}

// Steps x nodes -> places x steps.
std::vector<double> by_place(const NumberArray& array, const std::vector<int>& order) {
    std::vector<double> out;
    if (array.values == nullptr || array.size() == 0) return out;
    const auto columns = static_cast<std::size_t>(array.columns);
    out.reserve(static_cast<std::size_t>(array.size()));
    for (const int node : order) {
        for (std::size_t row = 0; row < static_cast<std::size_t>(array.rows); ++row)
            out.push_back(array.values[row * columns + static_cast<std::size_t>(node)]);
    }
    return out;
}

core::ForecastStatus reconcile_step(const core::Reconciler& reconciler, Wanted wanted,
                                    std::span<double> step, const core::StopSignal& stop) {
    if (stop.poll() != core::FitStatus::ok) return core::ForecastStatus::stopped;
    switch (wanted) {
        case Wanted::nonnegative:
            return reconciler.reconcile_nonnegative(step, step, stop);
        case Wanted::std_errors:
            return reconciler.standard_errors(step, step, stop);
        default:
            return reconciler.reconcile(step, step);
    }
}

void reconcile(Request& request) {
    const Nodes nodes = nodes_of(request);
    const auto n = static_cast<std::size_t>(request.n);
    if (request.wanted == Wanted::std_errors && is_top_down(request)) {
        std::fill_n(request.forecasts.values, request.forecasts.size(), std::nan(""));
        return;
    }
    core::ReconcileHistory history;
    std::vector<double> errors, averages;
    if (request.method == core::ReconcileMethod::top_down_averages) {
        averages = by_place(request.averages, nodes.order);
        averages.resize(static_cast<std::size_t>(nodes.hierarchy.n_leaves()));
        history.averages = averages;
    } else if (needs_errors(request) || request.wanted == Wanted::std_errors) {
        errors = by_place(request.errors, nodes.order);
        history = {errors, request.errors.rows, {}};
    }
    core::Reconciler reconciler;
    core::StopSignal stop;
    stop.flag = &InterruptPending;
    request.status = reconciler.prepare(nodes.hierarchy, request.method, history, stop);
    // Too few steps that all nodes have tell nothing of correlations: none.
    if (request.wanted == Wanted::std_errors && request.status == core::ForecastStatus::ok &&
        history.n_steps > 0) {
        request.status = reconciler.correlate(history, stop);
        if (request.status == core::ForecastStatus::too_short)
            request.status = core::ForecastStatus::ok;
    }
    std::vector<double> step(n);
    for (int row = 0; row < request.forecasts.rows; ++row) {
        if (request.status != core::ForecastStatus::ok) return;
        double* values = request.forecasts.values + static_cast<std::size_t>(row) * n;
        for (std::size_t i = 0; i < n; ++i) step[i] = values[nodes.order[i]];
        request.status = reconcile_step(reconciler, request.wanted, step, stop);
        if (request.status == core::ForecastStatus::ok)
            for (std::size_t i = 0; i < n; ++i) values[nodes.order[i]] = step[i];
    }
}

void report(const Request* request) {
    switch (request->status) {
        case core::ForecastStatus::ok:
            return;
        case core::ForecastStatus::too_short:
            ereport(ERROR,
                    (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                     errmsg("too few errors for method \"%s\"", request->method_name),
                     errhint("wls_variance needs an error of each node, mint two steps that all "
                             "nodes have.")));
            break;
        case core::ForecastStatus::overflow:
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("a forecast, error or average is missing or not finite, or a "
                                   "result would not be"),
                            errhint("All nodes need a forecast; with bottom_up all leaves.")));
            break;
        case core::ForecastStatus::not_positive:
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("shares of negative averages cannot be nonnegative")));
            break;
        case core::ForecastStatus::not_converged:
            ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                            errmsg("no nonnegative forecasts were found"),
                            errhint("Methods bottom_up and top_down need no search.")));
            break;
        default:
            elog(ERROR, "unexpected status of reconciliation: %d",
                 static_cast<int>(request->status));
    }
}

// Stopped by an interrupt that was none of a cancel: once more, without harm to what is done already,
// since coherent forecasts stay what they are. Read anew, so that not even roundings differ.
void run(FunctionCallInfo fcinfo, Wanted wanted, Request* request) {
    do {
        CHECK_FOR_INTERRUPTS();
        *request = {};
        read_request(fcinfo, wanted, request);
        wall::WallError error;
        if (!wall::across_wall(&error, [&] { reconcile(*request); }))
            wall::raise_wall_error(&error);
    } while (request->status == core::ForecastStatus::stopped);
    report(request);
}

// In the shape given; what is not known as NULL.
Datum result_of(FunctionCallInfo fcinfo, const Request* request) {
    const int n = request->forecasts.size();
    if (n == 0) return PointerGetDatum(construct_empty_array(FLOAT8OID));
    auto* values = static_cast<Datum*>(palloc(sizeof(Datum) * static_cast<Size>(n)));
    auto* nulls = static_cast<bool*>(palloc(sizeof(bool) * static_cast<Size>(n)));
    for (int i = 0; i < n; ++i) {
        values[i] = Float8GetDatum(request->forecasts.values[i]);
        nulls[i] = std::isnan(request->forecasts.values[i]);
    }
    ArrayType* given = PG_GETARG_ARRAYTYPE_P(kForecasts);
    return PointerGetDatum(construct_md_array(values, nulls, ARR_NDIM(given), ARR_DIMS(given),
                                              ARR_LBOUND(given), FLOAT8OID, sizeof(float8),
                                              FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(many_reconcile_forecasts);

// reconcile_forecasts(forecasts, aggregates, members, method, errors, averages, nonnegative)
Datum many_reconcile_forecasts(PG_FUNCTION_ARGS) {
    pg::join_worker_cpu();
    for (int i = kForecasts; i <= kMethod; ++i)
        if (PG_ARGISNULL(i)) PG_RETURN_NULL();
    const bool nonnegative = !PG_ARGISNULL(kNonnegative) && PG_GETARG_BOOL(kNonnegative);
    Request request;
    run(fcinfo, nonnegative ? Wanted::nonnegative : Wanted::forecasts, &request);
    return result_of(fcinfo, &request);
}

PG_FUNCTION_INFO_V1(many_reconcile_std_errors);

// reconcile_std_errors(std_errors, aggregates, members, method, errors)
Datum many_reconcile_std_errors(PG_FUNCTION_ARGS) {
    pg::join_worker_cpu();
    for (int i = kForecasts; i <= kMethod; ++i)
        if (PG_ARGISNULL(i)) PG_RETURN_NULL();
    Request request;
    run(fcinfo, Wanted::std_errors, &request);
    return result_of(fcinfo, &request);
}

PG_FUNCTION_INFO_V1(many_interval_width);

// interval_width(level): of the central interval of the normal distribution, in standard deviations to
// either side
Datum many_interval_width(PG_FUNCTION_ARGS) {
    const double level = PG_GETARG_FLOAT8(0);
    if (!(level > 0 && level < 1))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("level must be between 0 and 1, not %g", level)));
    double width = 0;
    wall::WallError error;
    if (!wall::across_wall(&error, [&] { width = core::interval_half_width(1, level); }))
        wall::raise_wall_error(&error);
    PG_RETURN_FLOAT8(width);
}

}  // extern "C"
