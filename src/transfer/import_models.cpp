// import_models: an export becomes the next version of a model set.
//
//   query over the staged rows, in the order of their lines, as the caller
//     -> line 1: header checked, set claimed (its row locked), partitions made
//     -> models and failures, each checked: CRC, key, the model's own checksum, structure, values
//     -> last line: counts and digest
//     -> partitions attached, run recorded, keys distinct
//
// Everything happens in the caller's transaction: any error, and nothing was imported. One row is in
// memory at a time, and a batch of those to be written.
#include "core/codec/linear_model.h"
#include "core/codec/model_audit.h"
#include "core/forecasters/forecast_model.h"
#include "engine/collect.h"
#include "engine/run_segment.h"
#include "engine/set_view.h"
#include "pg/forecast_options.h"
#include "pg/server.h"
#include "pg/settings.h"
#include "pg/source.h"
#include "registry/key_text.h"
#include "registry/registry.h"
#include "transfer/export_format.h"
#include "transfer/import_header.h"
#include "transfer/import_record.h"
#include "transfer/row_batches.h"
#include "transfer/version_store.h"
#include "wall/wall.h"

extern "C" {
#include "mb/pg_wchar.h"
#include "tcop/utility.h"
}

namespace many::transfer {

namespace {

constexpr int kMaxMessage = 64 * 1024;
constexpr int kMaxTime = 64;

struct Import {
    ImportRun run;
    const char* as_set;           // rename, or nullptr
    const char* training_source;  // or nullptr
    int64 line;                   // being read
    int64 last_line;              // of the export; 0: not known yet
    Digest* digest;
    VersionStore* store;
    MemoryContext context;
};

// --- Lines ----------------------------------------------------------------------------------------

// The rows come in the order of their lines: anything but the next one is missing or there twice.
void require_next_line(const Import* im, int64 line) {
    if (line == im->line) return;
    if (line < 1)
        ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
                        errmsg("the source has a line " INT64_FORMAT, line),
                        errdetail("The lines of an export are numbered from 1.")));
    if (line == im->line - 1)
        ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
                        errmsg("line " INT64_FORMAT " of the export is there twice", line),
                        errhint("The source must hold one export, once.")));
    ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
                    errmsg("line " INT64_FORMAT " of the export is missing", im->line),
                    errhint("The source must hold all lines of the export; copy it again.")));
}

[[noreturn]] void raise_model(const char* problem) {
    ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                    errmsg("the model is not one that training makes: %s", problem),
                    errdetail("The line is intact: it was written so.")));
    pg_unreachable();
}

// What the codec cannot know: whether the model fits the header and its texts this database.
void require_fitting_model(const ImportHeader* h, const core::LinearModelView& model) {
    if (model.n_features() != h->n_features) raise_model("it has another number of features");
    if (model.algorithm() != h->algorithm_code) raise_model("it has another algorithm");
    core::LinearModelView::FeatureWalk walk(model);
    for (int k = 0; k < h->n_features && walk.next(); ++k) {
        if (walk.categorical() != h->categorical[k]) raise_model("its features have other types");
        std::string_view level;
        while (walk.next_level(&level))
            if (!pg_verifymbstr(level.data(), static_cast<int>(level.size()), true))
                raise_model("a level is no text of this encoding");
    }
}

// Decoding a forecaster checks its values too.
void require_sound_forecaster(const ImportHeader* h, const struct varlena* value) {
    bool is_forecaster = false;
    bool fits = false;
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            const Size length = VARSIZE(value) - VARHDRSZ;
            is_forecaster = core::is_forecast_model(VARDATA(value), length);
            if (!is_forecaster) return;
            core::ForecastModel model;
            core::decode_forecast_model(VARDATA(value), length, model);
            fits = model.asked == h->method && model.n_features == h->n_features &&
                   model.grid.type == pg::time_type_of(h->time_type);
        }))
        wall::raise_wall_error(&error);
    if (!is_forecaster) raise_model("it has another algorithm");
    if (!fits) raise_model("it has another algorithm, other features or times");
}

void require_sound_model(const ImportHeader* h, const struct varlena* value) {
    if (h->forecasts) {
        require_sound_forecaster(h, value);
        return;
    }
    core::LinearModelView model;
    const char* defect = nullptr;
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            model = core::LinearModelView::open(VARDATA(value), VARSIZE(value) - VARHDRSZ,
                                                core::LinearModelView::Check::checksum);
            defect = core::model_defect(model);
        }))
        wall::raise_wall_error(&error);
    if (defect != nullptr) raise_model(defect);
    require_fitting_model(h, model);
}

// The key in this database's own canonical form, and its hash.
Jsonb* read_key(const ImportHeader* h, Jsonb* json, bool* nulls, int64* hash) {
    Datum values[engine::kMaxKeys];
    registry::key_from_jsonb(h->keys, h->n_keys, object_member(json, "key"), values, nulls);
    *hash = registry::key_hash(h->keys, h->n_keys, values, nulls);
    return registry::key_to_jsonb(h->keys, h->n_keys, values, nulls);
}

void import_model(Import* im, const char* part, Size length) {
    const ImportHeader* h = im->run.header;
    StoredModel model = {};
    Jsonb* json = read_model_part(im->line, part, length, &model.model);
    bool nulls[engine::kMaxKeys];
    model.key = read_key(h, json, nulls, &model.key_hash);
    model.n_rows = int_member(json, "n_rows", 0, PG_INT64_MAX);
    model.seconds = real_member(json, "seconds");
    model.first_time = string_member(json, "first_time", kMaxTime, true);
    model.last_time = string_member(json, "last_time", kMaxTime, true);
    require_sound_model(h, model.model);
    for (int i = 0; i < h->n_keys; ++i)
        if (nulls[i]) im->run.nullable_keys[i] = true;
    store_model(im->store, &model);
}

bool is_sqlstate(const char* text) {
    return strlen(text) == 5 && strspn(text, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5;
}

void import_failure(Import* im, Jsonb* json) {
    StoredFailure failure = {};
    bool nulls[engine::kMaxKeys];
    int64 hash = 0;
    failure.key = read_key(im->run.header, json, nulls, &hash);
    failure.status = string_member(json, "status", kMaxTime, false);
    failure.sqlstate = string_member(json, "sqlstate", kMaxTime, false);
    failure.message = string_member(json, "message", kMaxMessage, false);
    failure.hint = string_member(json, "hint", kMaxMessage, true);
    failure.attempt = static_cast<int32>(int_member(json, "attempt", 1, PG_INT32_MAX));
    failure.n_rows = int_member(json, "n_rows", 0, PG_INT64_MAX);
    failure.seconds = real_member(json, "seconds");
    const bool failed = strcmp(failure.status, "failed") == 0;
    if (!failed && strcmp(failure.status, "skipped") != 0) raise_member("status");
    if (!is_sqlstate(failure.sqlstate)) raise_member("sqlstate");
    ++(failed ? im->run.failed : im->run.skipped);
    store_failure(im->store, &failure);
}

void import_header(Import* im, const char* part, Size length) {
    MemoryContext old = MemoryContextSwitchTo(im->context);
    ImportHeader* h = read_header(part, length);
    if (im->training_source != nullptr) h->source = pstrdup(im->training_source);
    im->run.header = h;
    im->last_line = h->models + h->failures + 2;
    im->run.nullable_keys = static_cast<bool*>(palloc0(static_cast<Size>(h->n_keys) + 1));
    claim_set(&im->run, im->as_set != nullptr ? im->as_set : h->model_set);
    im->store = store_open(im->run.run_id, h->models + h->failures > engine::kOwnPartitionGroups);
    MemoryContextSwitchTo(old);
}

void import_trailer(Import* im, Jsonb* json) {
    const ImportHeader* h = im->run.header;
    if (int_member(json, "models", 0, PG_INT64_MAX) != h->models) raise_member("models");
    if (int_member(json, "failures", 0, PG_INT64_MAX) != h->failures) raise_member("failures");
    MemoryContext old = MemoryContextSwitchTo(im->context);
    im->run.sha256 = digest_end(im->digest);
    im->digest = nullptr;
    MemoryContextSwitchTo(old);
    if (strcmp(string_member(json, "sha256", 64, false), im->run.sha256) != 0)
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                        errmsg("the export does not have the checksum that its last line tells"),
                        errdetail("Lines were replaced after the export."),
                        errhint("Copy the export again.")));
}

void import_line(Import* im, const char* part, Size length) {
    if (im->line == 1) {
        import_header(im, part, length);
    } else if (im->line > im->last_line) {
        ereport(ERROR,
                (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
                 errmsg("the source goes on after line " INT64_FORMAT ", the last of the export",
                        im->last_line),
                 errhint("The source must hold one export, once.")));
    } else {
        MemoryContext old = MemoryContextSwitchTo(store_row_context(im->store));
        if (im->line == im->last_line)
            import_trailer(im, read_part(im->line, part, length));
        else if (im->line <= 1 + im->run.header->models)
            import_model(im, part, length);
        else
            import_failure(im, read_part(im->line, part, length));
        MemoryContextSwitchTo(old);
    }
    if (im->digest != nullptr) digest_add(im->digest, part, length);
}

// --- The run --------------------------------------------------------------------------------------

char* rows_query(const char* source_text) {
    const pg::Source* source = pg::describe_source(source_text, "source");
    for (const char* column : {"line", "part"})
        if (pg::source_column(source, column) == 0)
            ereport(ERROR,
                    (errcode(ERRCODE_UNDEFINED_COLUMN),
                     errmsg("the source has no column \"%s\"", column),
                     errhint("It must have the columns line and part, as export_models returns "
                             "them; its columns are %s.",
                             pg::source_column_list(source))));
    return psprintf(
        "SELECT s.line::pg_catalog.int8, s.part::pg_catalog.text FROM %s AS s ORDER BY 1",
        source->from_clause);
}

void describe_line_in_errors(void* argument) {
    const auto* im = static_cast<const Import*>(argument);
    if (im->line > 0) errcontext("line " INT64_FORMAT " of the export", im->line);
}

void read_lines(Import* im, const char* query) {
    RowBatches rows = {};
    HeapTuple tuple;
    TupleDesc descriptor;
    ErrorContextCallback context;
    context.callback = describe_line_in_errors;
    context.arg = im;
    context.previous = error_context_stack;
    MemoryContext part_context =
        AllocSetContextCreate(CurrentMemoryContext, "many_models part", ALLOCSET_DEFAULT_SIZES);
    rows_open(&rows, query);
    while (rows_next(&rows, &tuple, &descriptor)) {
        bool line_null = false;
        bool part_null = false;
        CHECK_FOR_INTERRUPTS();
        const int64 line = DatumGetInt64(SPI_getbinval(tuple, descriptor, 1, &line_null));
        const Datum part = SPI_getbinval(tuple, descriptor, 2, &part_null);
        if (line_null || part_null)
            ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                            errmsg("the source has a row with a NULL")));
        ++im->line;
        require_next_line(im, line);
        error_context_stack = &context;
        MemoryContext old = MemoryContextSwitchTo(part_context);
        const text* packed = DatumGetTextPP(part);
        import_line(im, VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed));
        MemoryContextSwitchTo(old);
        error_context_stack = context.previous;
        MemoryContextReset(part_context);
    }
    rows_close(&rows);
    if (im->line == 0)
        ereport(ERROR, (errcode(ERRCODE_NO_DATA_FOUND), errmsg("the source returned no rows")));
    if (im->line != im->last_line)
        ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
                        errmsg("the export ends at line " INT64_FORMAT " of " INT64_FORMAT,
                               im->line, im->last_line),
                        errhint("The source must hold all lines of the export; copy it again.")));
}

void run_import(Import* im, const char* source) {
    const int guc_level = NewGUCNestLevel();
    const char* query = rows_query(source);
    if (im->training_source != nullptr)
        (void)pg::from_clause_text(im->training_source, "training_source");
    im->run.imported_from = source;
    im->context = CurrentMemoryContext;
    im->digest = digest_begin();
    if (many_memory_budget_kb > work_mem)  // the sort of the lines
        pg::set_local("work_mem", psprintf("%d", many_memory_budget_kb));
    read_lines(im, query);
    AtEOXact_GUC(true, guc_level);
    im->run.storage = store_close(im->store);
    im->run.finished = GetCurrentTimestamp();
    record_import(&im->run, im->line);
    require_distinct_groups(&im->run);
    const ImportHeader* h = im->run.header;
    auto* key_types = static_cast<Oid*>(palloc(sizeof(Oid) * (static_cast<Size>(h->n_keys) + 1)));
    for (int i = 0; i < h->n_keys; ++i) key_types[i] = h->keys[i].type;
    const engine::SetKeys set = {im->run.model_set, h->n_keys, h->partition_by, key_types};
    engine::create_set_view(&set);
    registry::announce_models_changed();
}

}  // namespace

}  // namespace many::transfer

extern "C" {

PG_FUNCTION_INFO_V1(many_import_models);

// import_models(source, model_set, training_source, replace_definition) -> run_summary
Datum many_import_models(PG_FUNCTION_ARGS) {
    namespace transfer = many::transfer;
    transfer::Import im = {};
    PreventCommandDuringRecovery("import_models()");
    PreventCommandIfReadOnly("import_models()");
    if (PG_ARGISNULL(0))
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("source is NULL"),
                        errhint("Give the table that holds the export, or a query.")));
    const char* source = text_to_cstring(PG_GETARG_TEXT_PP(0));
    if (!PG_ARGISNULL(1)) im.as_set = text_to_cstring(PG_GETARG_TEXT_PP(1));
    if (!PG_ARGISNULL(2)) im.training_source = text_to_cstring(PG_GETARG_TEXT_PP(2));
    im.run.replace_definition = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
    im.run.started = GetCurrentTimestamp();
    const MemoryContext caller = CurrentMemoryContext;
    many::registry::hold_extension();
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
    im.run.run_id = many::registry::new_run_id();
    transfer::run_import(&im, source);
    MemoryContextSwitchTo(caller);
    const Datum summary = transfer::import_summary(fcinfo, &im.run, im.line);
    SPI_finish();
    PG_RETURN_DATUM(summary);
}

}  // extern "C"
