#include "pg/server.h"

#include "engine/rescan.h"

#include "engine/collect.h"
#include "engine/exchange.h"
#include "engine/progress.h"
#include "engine/refresh.h"
#include "engine/results.h"
#include "engine/train.h"
#include "pg/settings.h"
#include "registry/key_text.h"

namespace many::engine {

namespace {

TupleDesc rescan_columns() {
    const Oid schema = get_namespace_oid("many_models", false);
    const Oid model = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("model"),
                                      ObjectIdGetDatum(schema));
    TupleDesc columns = CreateTemplateTupleDesc(5);
    TupleDescInitEntry(columns, 1, "key_hash", INT8OID, -1, 0);
    TupleDescInitEntry(columns, 2, "partition_key", JSONBOID, -1, 0);
    TupleDescInitEntry(columns, 3, "model", model, -1, 0);
    TupleDescInitEntry(columns, 4, "comparison", get_array_type(FLOAT8OID), -1, 0);
    TupleDescInitEntry(columns, 5, "compared_with", INT8OID, -1, 0);
    return columns;
}

TrainArguments arguments_of(const Rescan* rescan) {
    const registry::TrainingRun* run = rescan->run;
    TrainArguments a = {};
    a.model_set = pstrdup(run->model_set);
    a.source = pstrdup(run->source);
    a.n_keys = run->n_keys;
    a.partition_by = run->partition_by;
    a.target = pstrdup(run->target);
    a.n_features = run->n_features;
    a.features = run->features;
    a.algorithm = pstrdup(run->algorithm);
    a.time_column = run->time_column == nullptr ? nullptr : pstrdup(run->time_column);
    a.options = rescan->options;
    return a;
}

struct Reader {
    Rescan* rescan;
    const TrainPlan* plan;
    KeyCodec codec;
    registry::KeyColumn* columns;
    MemoryContext row_context;
};

void put_comparison(Reader* reader, const ResultHeader* header, const char* body) {
    Datum values[kMaxKeys];
    bool nulls[kMaxKeys];
    MemoryContext old = MemoryContextSwitchTo(reader->row_context);
    const int n = reader->plan->spec->n_keys;
    const char* model = body + header->key_length;
    const char* numbers = model + header->model_bytes + header->message_bytes + header->hint_bytes +
                          header->sums_bytes;
    auto* bytes = (struct varlena*)palloc(header->model_bytes + VARHDRSZ);
    SET_VARSIZE(bytes, header->model_bytes + VARHDRSZ);
    memcpy(VARDATA(bytes), model, header->model_bytes);
    key_decode(&reader->codec, body, values, nulls);
    Datum row[] = {
        Int64GetDatum(registry::key_hash(reader->columns, n, values, nulls)),
        JsonbPGetDatum(registry::key_to_jsonb(reader->columns, n, values, nulls)),
        PointerGetDatum(bytes),
        comparison_array(numbers, header->numbers),
        Int64GetDatum(header->compared_with),
    };
    bool row_nulls[lengthof(row)] = {};
    MemoryContextSwitchTo(old);
    tuplestore_putvalues(reader->rescan->rows, reader->rescan->columns, row, row_nulls);
    reader->rescan->n_rows++;
    MemoryContextReset(reader->row_context);
}

void take_result(void* argument, const ResultHeader* header, const char* body) {
    if (header->kind == ResultKind::trained && header->compared_with != 0)
        put_comparison((Reader*)argument, header, body);
}

void read_results(Rescan* rescan, const Run* run) {
    Reader reader = {};
    const TrainPlan* plan = run->plan;
    reader.rescan = rescan;
    reader.plan = plan;
    key_codec_init(&reader.codec, plan->spec);
    reader.columns = key_columns(plan);
    reader.row_context =
        AllocSetContextCreate(CurrentMemoryContext, "many_models rescan", ALLOCSET_DEFAULT_SIZES);
    rescan->columns = rescan_columns();
    rescan->rows = tuplestore_begin_heap(false, false, work_mem);
    read_fitted(run->segment, take_result, &reader);
    MemoryContextDelete(reader.row_context);
}

void describe_in_errors(void* argument) {
    const auto* run = ((const Rescan*)argument)->run;
    errcontext(
        "comparing version %d of model set \"%s\" with what is in production, by a rescan "
        "of its source",
        run->version, run->model_set);
}

}  // namespace

void rescan_comparisons(Rescan* rescan, int workers) {
    Run run = {};
    ErrorContextCallback context;
    context.callback = describe_in_errors;
    context.arg = rescan;
    context.previous = error_context_stack;
    error_context_stack = &context;
    TrainArguments arguments = arguments_of(rescan);
    run.plan = plan_training(&arguments, nullptr);
    run.plan->spec->budget_bytes = pg::memory_budget_bytes();
    run.plan->spec->append_only =
        false;  // of an append-only set the rows are needed, not their sums
    if (rescan->groups != (Datum)0) only_groups(&run, rescan->groups);
    create_segment(&run, arguments.model_set, rescan->run->run_id, workers);
    run.segment->only_compares = true;
    const dsm_handle handle = dsm_segment_handle(run.mapped);
    publish_run(handle);
    scan_source(&run, workers);
    (void)fit_to_files(run.mapped, workers);
    read_results(rescan, &run);
    set_phase(run.segment, Phase::finished);
    end_activity(run.segment);
    retract_run(handle);
    dsm_detach(run.mapped);
    error_context_stack = context.previous;
}

}  // namespace many::engine
