// Pipelines: what a scheduler runs for a model set in one call: train or refresh, promote, score,
// evaluate, retention, notify. Stored with the set; run_pipeline runs the steps in their order, in
// the caller's transaction and as the caller: either all of the night's work is there or none.
//
// Every step but the last is a function of the extension; the keys of its object are named arguments
// of it. The table kSteps is all there is to know about them. The step notify sends events of the
// others, and one of its own: it has no function.
#include "pg/server.h"

#include "pg/arguments.h"
#include "pg/learner_options.h"
#include "pg/settings.h"
#include "pg/source.h"
#include "registry/notify.h"
#include "registry/registry.h"

extern "C" {
#include "common/hashfn.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
}

namespace many::registry {

namespace {

constexpr uint32 kPipelineLockClass = 0x4d4d504c;  // "MMPL"
constexpr uint16 kPipelineLockSub = 0x4d4d;

struct Argument {
    const char* name;
    Oid type;  // TEXTOID, INT4OID, FLOAT8OID, JSONBOID, TEXTARRAYOID
};

constexpr int kMaxArguments = 10;

struct Step {
    const char* name;
    const char* function;  // called with model_set => $1; nullptr: notify
    Argument arguments[kMaxArguments];
};

constexpr Step kSteps[] = {
    {"train",
     "train_many_models",
     {{"source", TEXTOID}, {"options", JSONBOID}, {"tags", JSONBOID}, {"workers", INT4OID}}},
    {"refresh", "refresh_many_models", {{"groups", TEXTOID}, {"workers", INT4OID}}},
    {"promote", "promote_models", {{"rule", TEXTOID}, {"version", INT4OID}}},
    {"score",
     "score_many_models",
     {{"source", TEXTOID},
      {"into_table", TEXTOID},
      {"id_columns", TEXTARRAYOID},
      {"version", INT4OID},
      {"horizon", INT4OID},
      {"level", FLOAT8OID},
      {"options", JSONBOID},
      {"workers", INT4OID}}},
    {"evaluate",
     "evaluate_many_models",
     {{"source", TEXTOID},
      {"predictions", TEXTOID},
      {"id_columns", TEXTARRAYOID},
      {"target", TEXTOID},
      {"period", TEXTOID},
      {"options", JSONBOID}}},
    {"retention", "apply_retention", {}},
    {"notify", nullptr, {{"failed_fraction", FLOAT8OID}}},
};
constexpr int kNSteps = (int)lengthof(kSteps);
constexpr const char* kStepNames = "train, refresh, promote, score, evaluate, retention, notify";

const Step* find_step(const char* name) {
    for (const Step& step : kSteps)
        if (strcmp(step.name, name) == 0) return &step;
    pg::raise_unknown_option(psprintf("pipeline.%s", name), kStepNames);
}

const Argument* find_argument(const Step* step, const char* name) {
    StringInfoData valid;
    initStringInfo(&valid);
    for (const Argument& argument : step->arguments) {
        if (argument.name == nullptr) break;
        if (strcmp(argument.name, name) == 0) return &argument;
        appendStringInfo(&valid, "%s%s", valid.len > 0 ? ", " : "", argument.name);
    }
    pg::raise_unknown_option(psprintf("pipeline.%s.%s", step->name, name),
                             valid.len > 0 ? valid.data : "none");
}

Datum text_array_value(const char* key, const JsonbValue* value) {
    static const char* const valid = "an array of column names";
    if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
        pg::raise_option_value(key, value, valid);
    JsonbIterator* iterator = JsonbIteratorInit(value->val.binary.data);
    JsonbValue item;
    StringInfoData unused;
    initStringInfo(&unused);
    char** names = (char**)palloc(sizeof(char*) * (JsonContainerSize(value->val.binary.data) + 1));
    int n = 0;
    for (JsonbIteratorToken token = JsonbIteratorNext(&iterator, &item, true); token != WJB_DONE;
         token = JsonbIteratorNext(&iterator, &item, true))
        if (token == WJB_ELEM) names[n++] = pg::option_string(key, &item, valid);
    return PointerGetDatum(pg::strings_to_text_array(names, n));
}

// The value of a step's argument, checked.
Datum argument_value(const Step* step, const Argument* argument, const JsonbValue* value) {
    const char* key = psprintf("pipeline.%s.%s", step->name, argument->name);
    switch (argument->type) {
        case INT4OID:
            return Int32GetDatum(
                (int32)pg::option_int64(key, value, 0, PG_INT32_MAX, "a whole number"));
        case FLOAT8OID:
            return Float8GetDatum(pg::option_float8(key, value, 0, 1, "a number from 0 to 1"));
        case JSONBOID:
            if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
                pg::raise_option_value(key, value, "a JSON object");
            return JsonbPGetDatum(JsonbValueToJsonb((JsonbValue*)value));
        case TEXTARRAYOID:
            return text_array_value(key, value);
        default:
            return CStringGetTextDatum(pg::option_string(key, value, "a string"));
    }
}

// A step's call: SELECT to_jsonb(r) FROM many_models.f(model_set => $1, name => $2, ...) AS r.
struct Call {
    const Step* step;
    StringInfoData statement;
    int n;
    Oid types[kMaxArguments + 1];
    Datum values[kMaxArguments + 1];
};

void make_call(Call* call, const char* model_set, const Step* step, const JsonbValue* object) {
    pg::OptionScan scan;
    char* key;
    JsonbValue value;
    if (object->type != jbvBinary || !JsonContainerIsObject(object->val.binary.data))
        pg::raise_option_value(psprintf("pipeline.%s", step->name), object,
                               "a JSON object, {} for the defaults");
    call->step = step;
    call->n = 1;
    call->types[0] = TEXTOID;
    call->values[0] = CStringGetTextDatum(model_set);
    initStringInfo(&call->statement);
    appendStringInfo(&call->statement,
                     "SELECT pg_catalog.to_jsonb(r) FROM many_models.%s(model_set => $1",
                     step->function != nullptr ? step->function : step->name);
    pg::option_scan_begin(&scan, JsonbValueToJsonb((JsonbValue*)object), step->name);
    while (pg::option_scan_next(&scan, &key, &value)) {
        const Argument* argument = find_argument(step, key);
        if (value.type == jbvNull) continue;
        call->types[call->n] = argument->type;
        call->values[call->n] = argument_value(step, argument, &value);
        appendStringInfo(&call->statement, ", %s => $%d", argument->name, ++call->n);
    }
    appendStringInfoString(&call->statement, ") AS r");
}

// The calls of a pipeline in the order of kSteps; returns their number. Raises what is wrong.
int parse_pipeline(const char* model_set, Jsonb* pipeline, Call* calls) {
    pg::OptionScan scan;
    char* key;
    JsonbValue value;
    bool given[kNSteps] = {false};
    Call parsed[kNSteps];
    int n = 0;
    pg::option_scan_begin(&scan, pipeline, "pipeline");
    while (pg::option_scan_next(&scan, &key, &value)) {
        const Step* step = find_step(key);
        if (value.type == jbvNull) continue;
        make_call(&parsed[step - kSteps], model_set, step, &value);
        given[step - kSteps] = true;
    }
    if (given[0] && given[1])
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("a pipeline has \"train\" or \"refresh\", not both")));
    for (int i = 0; i < kNSteps; i++)
        if (given[i]) calls[n++] = parsed[i];
    if (n == 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("the pipeline has no step"), errhint("Steps: %s.", kStepNames)));
    return n;
}

ModelSet* require_set(const char* name) {
    ModelSet* set = find_model_set(name, false);
    if (set == nullptr)
        ereport(ERROR,
                (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("model set \"%s\" does not exist", name),
                 errhint("Train it once with many_models.train_many_models.")));
    require_set_owner(set);
    return set;
}

void write_registry(const char* statement, int n, Oid* types, Datum* values, const char* nulls) {
    RegistryRights rights;
    enter_registry(&rights);
    const int code = SPI_execute_with_args(statement, n, types, values, nulls, false, 0);
    if (code != SPI_OK_INSERT && code != SPI_OK_UPDATE && code != SPI_OK_DELETE)
        elog(ERROR, "could not write the registry: %d", code);
    leave_registry(&rights);
}

// The stored pipeline, and the search_path by which its names are meant.
Jsonb* read_pipeline(const char* model_set, char** search_path) {
    RegistryRights rights;
    Oid types[1] = {TEXTOID};
    Datum values[1] = {CStringGetTextDatum(model_set)};
    bool is_null = false;
    enter_registry(&rights);
    const int code = SPI_execute_with_args(
        "SELECT pipeline, search_path FROM many_models.pipelines WHERE model_set = $1", 1, types,
        values, nullptr, true, 1);
    if (code != SPI_OK_SELECT) elog(ERROR, "could not read the registry: %d", code);
    if (SPI_processed == 0)
        ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("model set \"%s\" has no pipeline", model_set),
                        errhint("Store one with many_models.set_pipeline.")));
    Jsonb* pipeline = DatumGetJsonbPCopy(
        SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
    *search_path = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
    leave_registry(&rights);
    return pipeline;
}

// One pipeline of a set at a time; until the end of the transaction.
void lock_pipeline(const char* model_set) {
    LOCKTAG tag;
    const uint32 hash =
        DatumGetUInt32(hash_any((const unsigned char*)model_set, (int)strlen(model_set)));
    SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, kPipelineLockClass, hash, kPipelineLockSub);
    if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_IN_USE),
                 errmsg("the pipeline of model set \"%s\" is running already", model_set),
                 errhint("A pipeline runs once at a time; see pg_stat_activity. This call did "
                         "nothing.")));
}

struct StepReport {
    const char* name;
    Datum detail;  // jsonb array of what the step's function returned
    TimestampTz started;
    TimestampTz finished;
};

// Rows of results that a step keeps in its report.
constexpr uint64 kReportedRows = 100;

void run_step(const Call* call, StepReport* report, MemoryContext context) {
    report->name = call->step->name;
    report->started = GetCurrentTimestamp();
    const int code = SPI_execute_with_args(call->statement.data, call->n, (Oid*)call->types,
                                           (Datum*)call->values, nullptr, false, 0);
    if (code != SPI_OK_SELECT) elog(ERROR, "step \"%s\" failed: %d", call->step->name, code);
    JsonbParseState* state = nullptr;
    (void)pushJsonbValue(&state, WJB_BEGIN_ARRAY, nullptr);
    for (uint64 i = 0; i < SPI_processed && i < kReportedRows; i++) {
        bool is_null = false;
        const Datum row = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null);
        JsonbValue value;
        if (is_null) continue;
        JsonbToJsonbValue(DatumGetJsonbP(row), &value);
        (void)pushJsonbValue(&state, WJB_ELEM, &value);
    }
    JsonbValue* array = pushJsonbValue(&state, WJB_END_ARRAY, nullptr);
    MemoryContext old = MemoryContextSwitchTo(context);
    report->detail = JsonbPGetDatum(JsonbValueToJsonb(array));
    MemoryContextSwitchTo(old);
    report->finished = GetCurrentTimestamp();
}

bool is_notify(const Call* call) {
    return call->step->function == nullptr;
}

// Events of the pipeline's steps are sent whatever the session's setting is, until the caller's level
// of settings is left.
void turn_events_on(const Call* call) {
    pg::set_local("many_models.notify", "on");
    if (call->n > 1)  // its one argument
        pg::set_local("many_models.notify_failed_fraction",
                      psprintf("%.17g", DatumGetFloat8(call->values[1])));
}

double seconds_between(TimestampTz from, TimestampTz to) {
    return (double)(to - from) / 1e6;
}

// The event of the pipeline's end, with the n steps that ran; it is the step's report too.
void notify_pipeline(const char* model_set, const StepReport* reports, int n, StepReport* report,
                     MemoryContext context) {
    StringInfoData fields;
    initStringInfo(&fields);
    report->name = "notify";
    report->started = GetCurrentTimestamp();
    appendStringInfo(&fields, "\"seconds\": %.3f, \"steps\": [",
                     n > 0 ? seconds_between(reports[0].started, report->started) : 0.0);
    for (int i = 0; i < n; i++)
        appendStringInfo(&fields, "%s{\"step\": \"%s\", \"seconds\": %.3f}", i > 0 ? ", " : "",
                         reports[i].name, seconds_between(reports[i].started, reports[i].finished));
    appendStringInfoChar(&fields, ']');
    notify_event("pipeline_finished", model_set, fields.data);
    MemoryContext old = MemoryContextSwitchTo(context);
    report->detail =
        DirectFunctionCall1(jsonb_in, CStringGetDatum(psprintf("[{%s}]", fields.data)));
    MemoryContextSwitchTo(old);
    report->finished = GetCurrentTimestamp();
}

void describe_step_in_errors(void* argument) {
    const auto* call = *(const Call**)argument;
    if (call != nullptr) errcontext("step \"%s\" of the pipeline", call->step->name);
}

Datum interval_between(TimestampTz from, TimestampTz to) {
    auto* interval = (Interval*)palloc0(sizeof(Interval));
    interval->time = to - from;
    return IntervalPGetDatum(interval);
}

}  // namespace

}  // namespace many::registry

extern "C" {

PG_FUNCTION_INFO_V1(many_set_pipeline);
PG_FUNCTION_INFO_V1(many_run_pipeline);
PG_FUNCTION_INFO_V1(many_set_schedule);

// set_pipeline(model_set, pipeline): NULL forgets it.
Datum many_set_pipeline(PG_FUNCTION_ARGS) {
    namespace registry = many::registry;
    PreventCommandDuringRecovery("set_pipeline()");
    PreventCommandIfReadOnly("set_pipeline()");
    char* name = many::pg::required_text_argument(fcinfo, 0, "model_set");
    registry::hold_extension();
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    (void)registry::require_set(name);
    Oid types[4] = {TEXTOID, JSONBOID, TEXTOID, OIDOID};
    Datum values[4] = {CStringGetTextDatum(name), (Datum)0,
                       CStringGetTextDatum(GetConfigOption("search_path", false, false)),
                       ObjectIdGetDatum(GetUserId())};
    if (PG_ARGISNULL(1)) {
        registry::write_registry("DELETE FROM many_models.pipelines WHERE model_set = $1", 1, types,
                                 values, nullptr);
    } else {
        registry::Call calls[registry::kNSteps];
        (void)registry::parse_pipeline(name, PG_GETARG_JSONB_P(1), calls);
        values[1] = PG_GETARG_DATUM(1);
        registry::write_registry(
            "INSERT INTO many_models.pipelines (model_set, pipeline, search_path, stored_by) "
            "VALUES ($1, $2, $3, $4) ON CONFLICT (model_set) DO UPDATE SET "
            "pipeline = excluded.pipeline, search_path = excluded.search_path, "
            "stored_by = excluded.stored_by, stored_at = pg_catalog.now()",
            4, types, values, nullptr);
    }
    SPI_finish();
    PG_RETURN_VOID();
}

// set_schedule(model_set, schedule, job_id): what schedule() and unschedule() note.
Datum many_set_schedule(PG_FUNCTION_ARGS) {
    namespace registry = many::registry;
    PreventCommandIfReadOnly("schedule()");
    char* name = many::pg::required_text_argument(fcinfo, 0, "model_set");
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    (void)registry::require_set(name);
    Oid types[3] = {TEXTOID, TEXTOID, INT8OID};
    Datum values[3] = {CStringGetTextDatum(name), PG_ARGISNULL(1) ? (Datum)0 : PG_GETARG_DATUM(1),
                       PG_ARGISNULL(2) ? (Datum)0 : PG_GETARG_DATUM(2)};
    const char nulls[4] = {' ', PG_ARGISNULL(1) ? 'n' : ' ', PG_ARGISNULL(2) ? 'n' : ' ', '\0'};
    registry::write_registry(
        "UPDATE many_models.pipelines SET schedule = $2, job_id = $3 WHERE model_set = $1", 3,
        types, values, nulls);
    const bool found = SPI_processed == 1;
    SPI_finish();
    PG_RETURN_BOOL(found);
}

// run_pipeline(model_set) -> (step, detail, elapsed), one row per step.
Datum many_run_pipeline(PG_FUNCTION_ARGS) {
    namespace registry = many::registry;
    PreventCommandDuringRecovery("run_pipeline()");
    PreventCommandIfReadOnly("run_pipeline()");
    char* name = many::pg::required_text_argument(fcinfo, 0, "model_set");
    InitMaterializedSRF(fcinfo, 0);
    auto* result = (ReturnSetInfo*)fcinfo->resultinfo;
    registry::StepReport reports[registry::kNSteps];
    registry::Call calls[registry::kNSteps];
    const registry::Call* current = nullptr;
    char* search_path = nullptr;
    MemoryContext caller = CurrentMemoryContext;
    registry::hold_extension();
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    (void)registry::require_set(name);
    registry::lock_pipeline(name);
    Jsonb* pipeline = registry::read_pipeline(name, &search_path);
    const int n = registry::parse_pipeline(name, pipeline, calls);
    const int guc_level = NewGUCNestLevel();
    many::pg::set_local("search_path", search_path);
    ErrorContextCallback context;
    context.callback = registry::describe_step_in_errors;
    context.arg = (void*)&current;
    context.previous = error_context_stack;
    error_context_stack = &context;
    if (registry::is_notify(&calls[n - 1])) registry::turn_events_on(&calls[n - 1]);
    for (int i = 0; i < n; i++) {
        current = &calls[i];
        if (registry::is_notify(&calls[i]))
            registry::notify_pipeline(name, reports, i, &reports[i], caller);
        else
            registry::run_step(&calls[i], &reports[i], caller);
    }
    error_context_stack = context.previous;
    AtEOXact_GUC(true, guc_level);
    Oid types[4] = {TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, OIDOID};
    Datum values[4] = {CStringGetTextDatum(name), TimestampTzGetDatum(reports[0].started),
                       TimestampTzGetDatum(reports[n - 1].finished), ObjectIdGetDatum(GetUserId())};
    registry::write_registry(
        "UPDATE many_models.pipelines SET last_started_at = $2, last_finished_at = $3, "
        "last_run_by = $4, runs = runs + 1 WHERE model_set = $1",
        4, types, values, nullptr);
    SPI_finish();
    for (int i = 0; i < n; i++) {
        const bool nulls[3] = {false, false, false};
        Datum row[3] = {CStringGetTextDatum(reports[i].name), reports[i].detail,
                        registry::interval_between(reports[i].started, reports[i].finished)};
        tuplestore_putvalues(result->setResult, result->setDesc, row, (bool*)nulls);
    }
    return (Datum)0;
}
}
