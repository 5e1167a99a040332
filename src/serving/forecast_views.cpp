// What the views of forecasters show of a model: one row of facts, its terms, its metrics by step.
#include "core/forecasters/forecast_model.h"
#include "pg/server.h"
#include "serving/forecast_value.h"
#include "wall/wall.h"

#include <cmath>
#include <string>
#include <vector>

extern "C" {
#include "catalog/pg_type.h"
}

using namespace many;
using namespace many::serving;

namespace {

// A row under way, in plain data: nothing with a destructor lives when it is stored.
struct Row {
    static constexpr int kMost = 20;
    Datum values[kMost];
    bool nulls[kMost];
    int n;
};

void add(Row* row, Datum value) {
    row->nulls[row->n] = false;
    row->values[row->n++] = value;
}
void add_number(Row* row, double value) {
    row->nulls[row->n] = std::isnan(value);
    row->values[row->n++] = Float8GetDatum(value);
}
void add_text(Row* row, const char* text) {
    row->nulls[row->n] = text[0] == '\0';
    row->values[row->n++] = CStringGetTextDatum(text);
}

ReturnSetInfo* begin_rows(FunctionCallInfo fcinfo) {
    InitMaterializedSRF(fcinfo, 0);
    return reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
}

void put(const ReturnSetInfo* result, const Row* row) {
    tuplestore_putvalues(result->setResult, result->setDesc, const_cast<Datum*>(row->values),
                         const_cast<bool*>(row->nulls));
}

// The decoded model of the first argument; nullptr when it is no forecaster's.
const core::ForecastModel* argument_model(FunctionCallInfo fcinfo) {
    const auto* bytes = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(0));
    if (!core::is_forecast_model(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes))) return nullptr;
    if (fcinfo->flinfo->fn_extra == nullptr)
        fcinfo->flinfo->fn_extra = make_forecast_handle(fcinfo->flinfo->fn_mcxt);
    return decode_forecast(static_cast<ForecastHandle*>(fcinfo->flinfo->fn_extra),
                           VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
}

// Copies a string that the core makes into the current context.
template <class Make>
char* core_text(Make make) {
    char buffer[400];
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            const std::string text = make();
            strlcpy(buffer, text.c_str(), sizeof buffer);
        }))
        wall::raise_wall_error(&error);
    return pstrdup(buffer);
}

const char* interval_name(core::IntervalMethod method) {
    static const char* const names[] = {"none", "analytic", "bootstrap", "conformal"};
    return names[static_cast<int>(method)];
}

const char* combination_name(core::Combination combination) {
    static const char* const names[] = {"", "median", "mean", "weighted", "trimmed"};
    return names[static_cast<int>(combination)];
}

char* labels(const core::ForecastModel* model) {
    return core_text([model] {
        std::string all;
        for (const core::MethodFit& member : model->members)
            all += (all.empty() ? "" : ", ") + core::fit_label(member);
        return all;
    });
}

Datum season_array(const core::ForecastModel* model) {
    const Size n = model->season_lengths.size();
    auto* elements = static_cast<Datum*>(palloc(sizeof(Datum) * (n + 1)));
    for (Size i = 0; i < n; ++i) elements[i] = Int32GetDatum(model->season_lengths[i]);
    return PointerGetDatum(
        construct_array(elements, static_cast<int>(n), INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

// The terms in the current context: counted, then copied into room made outside of the wall.
const core::FitTerm* copy_terms(const core::MethodFit& member, int* n) {
    core::FitTerm* copy = nullptr;
    int room = 0;
    for (int pass = 0; pass < 2; ++pass) {
        wall::WallError error;
        if (!wall::across_wall(&error, [&] {
                std::vector<core::FitTerm> list;
                core::list_terms(member, list);
                *n = static_cast<int>(list.size());
                for (int i = 0; i < *n && i < room; ++i) copy[i] = list[static_cast<Size>(i)];
            }))
            wall::raise_wall_error(&error);
        if (pass > 0) break;
        room = *n;
        copy = static_cast<core::FitTerm*>(palloc(sizeof(core::FitTerm) * (room + Size(1))));
    }
    return copy;
}

void put_metrics(const ReturnSetInfo* result, const char* split, int step,
                 const core::StepMetrics& m) {
    if (!(m.n > 0)) return;
    Row row = {};
    add_text(&row, split);
    add(&row, Int32GetDatum(step));
    row.nulls[1] = step == 0;
    add(&row, Int64GetDatum(static_cast<int64>(m.n)));
    for (const double value :
         {m.rmse, m.mae, m.mape, m.smape, m.mase, m.rmsse, m.owa, m.bias, m.coverage, m.winkler})
        add_number(&row, value);
    put(result, &row);
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(many_model_forecaster);
PG_FUNCTION_INFO_V1(many_model_forecast_terms);
PG_FUNCTION_INFO_V1(many_model_forecast_metrics);

// (method, label, combination, step, season_lengths, observations, filled, merged, trimmed,
// stepped_down, interval, time_zone)
Datum many_model_forecaster(PG_FUNCTION_ARGS) {
    const ReturnSetInfo* result = begin_rows(fcinfo);
    const core::ForecastModel* model = argument_model(fcinfo);
    if (model == nullptr) return Datum(0);
    Row row = {};
    const bool single = model->members.size() == 1;
    add_text(&row, single ? core::method_name(model->members.front().method) : "ensemble");
    add_text(&row, labels(model));
    add_text(&row, single ? "" : combination_name(model->combination));
    add_text(&row,
             core_text([model] { return core::step_name(model->grid.type, model->grid.step); }));
    add(&row, season_array(model));
    for (const std::int64_t count : {model->n, model->n_filled, model->n_merged, model->n_trimmed})
        add(&row, Int64GetDatum(count));
    add_text(&row, model->rung == 0 ? "" : model->rung == 1 ? "without season" : "naive");
    add_text(&row, interval_name(model->intervals));
    add_text(&row, model->zone.c_str());
    put(result, &row);
    return Datum(0);
}

// (member, method, weight, kind, term, estimate, std_error)
Datum many_model_forecast_terms(PG_FUNCTION_ARGS) {
    const ReturnSetInfo* result = begin_rows(fcinfo);
    const core::ForecastModel* model = argument_model(fcinfo);
    if (model == nullptr) return Datum(0);
    for (Size i = 0; i < model->members.size(); ++i) {
        const core::MethodFit& member = model->members[i];
        int n = 0;
        const core::FitTerm* terms = copy_terms(member, &n);
        for (int k = 0; k < n; ++k) {
            Row row = {};
            add(&row, Int32GetDatum(static_cast<int>(i) + 1));
            add_text(&row, core::method_name(member.method));
            add_number(&row, model->weights.empty() ? NAN : model->weights[i]);
            add_text(&row, terms[k].kind);
            add_text(&row, terms[k].index > 0 ? psprintf("%s%d", terms[k].name, terms[k].index)
                                              : terms[k].name);
            add_number(&row, terms[k].estimate);
            add_number(&row, terms[k].std_error);
            put(result, &row);
        }
    }
    return Datum(0);
}

// (split, horizon_step, n, rmse, mae, mape, smape, mase, rmsse, owa, bias, coverage, winkler)
Datum many_model_forecast_metrics(PG_FUNCTION_ARGS) {
    const ReturnSetInfo* result = begin_rows(fcinfo);
    const core::ForecastModel* model = argument_model(fcinfo);
    if (model == nullptr) return Datum(0);
    static const char* const splits[] = {"train", "holdout", "cv"};
    for (int s = 0; s < 3; ++s) put_metrics(result, splits[s], 0, model->total[s]);
    for (Size i = 0; i < model->holdout.size(); ++i)
        put_metrics(result, "holdout", static_cast<int>(i) + 1, model->holdout[i]);
    for (Size i = 0; i < model->cv.size(); ++i)
        put_metrics(result, "cv", static_cast<int>(i) + 1, model->cv[i]);
    return Datum(0);
}

}  // extern "C"
