// score_row: one source row -> one many_models.score. Runs in parallel workers; what a row costs
// here is what scoring costs, so: no allocation, no catalog look-up, no detoasting per row.
//
// score_row and score_record look the row's model up in a table of the models, which each
// process loads at its first row. score_joined gets it from a join: for runs whose models are too
// many for that. The record forms are for rows of more columns than a function has arguments.
#include "core/codec/linear_model.h"
#include "pg/feature_reader.h"
#include "pg/server.h"
#include "pg/source.h"
#include "pg/worker_cpu.h"
#include "registry/production.h"
#include "serving/model_table.h"
#include "serving/model_value.h"
#include "serving/score_value.h"
#include "wall/wall.h"

#include <cmath>
#include <cstring>

extern "C" {
#include "mb/pg_wchar.h"
#include "nodes/nodeFuncs.h"
}

using namespace many;
using namespace many::serving;

namespace {

// Per call site, filled at the first row.
struct ScoreCall {
    MemoryContext context;
    int n_keys;
    int n;  // features
    bool all_numbers;
    ModelTable* table;
    pg::FeatureReader* readers;
    core::FeatureValue* values;
    double* numbers;
    TupleDesc row_type;  // record forms: of the row before
    Datum* datums;
    bool* nulls;
    NullableDatum* row;
    // The result of the row before; valid until the next call.
    char result[1 + PackedScore::kBytes + PackedScore::kMaxText];
};

ScoreCall* new_call(MemoryContext context, int n_keys, int n) {
    pg::join_worker_cpu();
    const MemoryContext old = MemoryContextSwitchTo(context);
    auto* call = static_cast<ScoreCall*>(palloc0(sizeof(ScoreCall)));
    const Size count = static_cast<Size>(n_keys + n) + 1;
    call->context = context;
    call->n_keys = n_keys;
    call->n = n;
    call->all_numbers = true;
    call->readers = static_cast<pg::FeatureReader*>(palloc0(sizeof(pg::FeatureReader) * count));
    call->values = static_cast<core::FeatureValue*>(palloc0(sizeof(core::FeatureValue) * count));
    call->numbers = static_cast<double*>(palloc0(sizeof(double) * count));
    call->datums = static_cast<Datum*>(palloc0(sizeof(Datum) * count));
    call->nulls = static_cast<bool*>(palloc0(count));
    call->row = static_cast<NullableDatum*>(palloc0(sizeof(NullableDatum) * count));
    MemoryContextSwitchTo(old);
    return call;
}

void init_reader(ScoreCall* call, int i, Oid type) {
    if (!pg::feature_reader_init(&call->readers[i], type))
        ereport(ERROR,
                (errcode(ERRCODE_DATATYPE_MISMATCH),
                 errmsg("feature %d of type %s cannot be a feature", i + 1, format_type_be(type))));
    if (call->readers[i].kind != pg::FeatureKind::number) call->all_numbers = false;
}

// --- One row ----------------------------------------------------------------------------------

Datum pack_result(ScoreCall* call, const PackedScore& packed, const char* text,
                  uint32 text_length) {
    uint32 n = text_length;
    if (n > PackedScore::kMaxText)
        n = static_cast<uint32>(pg_mbcliplen(text, static_cast<int>(text_length),
                                             static_cast<int>(PackedScore::kMaxText)));
    packed.pack(call->result + 1);
    if (n > 0) memcpy(call->result + 1 + PackedScore::kBytes, text, n);
    SET_VARSIZE_SHORT(call->result, 1 + PackedScore::kBytes + n);
    return PointerGetDatum(call->result);
}

Datum no_model(ScoreCall* call) {
    PackedScore packed;
    packed.score.prediction = packed.score.lower = packed.score.upper = NAN;
    packed.score.code = core::ScoreCode::no_model;
    return pack_result(call, packed, nullptr, 0);
}

core::Score score_checked(const core::LinearModelView& view, const ScoreCall* call, bool numeric) {
    core::Score score;
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            score = numeric ? view.score_numeric(call->numbers) : view.score(call->values);
        }))
        wall::raise_wall_error(&error);
    return score;
}

// The model's feature i, which stands at `place` in the row.
void read_value(ScoreCall* call, int i, int place, const NullableDatum* row) {
    core::FeatureValue* value = &call->values[i];
    const NullableDatum& from = row[place];
    *value = core::FeatureValue{};
    value->is_null = from.isnull;
    if (from.isnull) return;
    if (call->readers[place].kind == pg::FeatureKind::number)
        value->number = pg::feature_number(&call->readers[place], from.value);
    else
        value->text = pg::feature_text(&call->readers[place], from.value, &value->text_length);
}

// A model, and where its n features are among those of the row (nullptr: they are the same).
struct ScoredModel {
    const core::LinearModelView& view;
    int64 model_id;
    int32 version;
    int n;
    const int* places;
};

Datum score_features(ScoreCall* call, const ScoredModel& model, const NullableDatum* features) {
    PackedScore packed;
    packed.model_id = model.model_id;
    packed.version = model.version;
    const int* places = model.places;
    if (call->all_numbers && !model.view.has_levels()) {
        bool any_null = false;
        for (int i = 0; i < model.n; ++i) {
            const int place = places == nullptr ? i : places[i];
            any_null |= features[place].isnull;
            if (any_null) break;
            call->numbers[i] = pg::feature_number(&call->readers[place], features[place].value);
        }
        if (!any_null) {
            packed.score = score_checked(model.view, call, true);
            if (places != nullptr && packed.score.feature < model.n)
                packed.score.feature = static_cast<uint16>(places[packed.score.feature]);
            return pack_result(call, packed, nullptr, 0);
        }
    }
    for (int i = 0; i < model.n; ++i)
        read_value(call, i, places == nullptr ? i : places[i], features);
    packed.score = score_checked(model.view, call, false);
    const char* text = nullptr;
    uint32 text_length = 0;
    const uint16 feature = packed.score.feature;
    if (packed.score.code == core::ScoreCode::unseen_level && feature < model.n) {
        text = call->values[feature].text;
        text_length = call->values[feature].text_length;
    }
    if (places != nullptr && feature < model.n)
        packed.score.feature = static_cast<uint16>(places[feature]);
    return pack_result(call, packed, text, text_length);
}

Datum score_by_key(ScoreCall* call, const NullableDatum* row) {
    const ModelEntry* model = find_model(call->table, row);
    if (model == nullptr) return no_model(call);
    const ModelRun* run = model->run;
    return score_features(
        call, {model->view, model->model_id, run->version, run->n_features, run->places},
        row + call->n_keys);
}

// --- The first row ----------------------------------------------------------------------------

// The columns of a row, as types and collations: keys first.
struct RowShape {
    int n;
    Oid* types;
    Oid* collations;
};

ScoreCall* open_call(FunctionCallInfo fcinfo, const RowShape* shape) {
    int n_keys = 0;
    int n_features = 0;
    int n_sources = 0;
    for (int i = 0; i < 4; ++i)
        if (PG_ARGISNULL(i))
            ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                            errmsg("models, level, keys and features must not be NULL")));
    const MemoryContext context = fcinfo->flinfo->fn_mcxt;
    const MemoryContext old = MemoryContextSwitchTo(context);
    const int64* sources = registry::int64_array_values(PG_GETARG_DATUM(0), &n_sources);
    char** names = pg::text_array_to_strings(PG_GETARG_ARRAYTYPE_P(2), "keys", &n_keys);
    char** features = pg::text_array_to_strings(PG_GETARG_ARRAYTYPE_P(3), "features", &n_features);
    MemoryContextSwitchTo(old);
    if (n_sources < 2 || n_sources % 2 != 0)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("models must be pairs of ids, not %d", n_sources)));
    if (n_keys + n_features != shape->n)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("%d values given for %d partition columns and %d features", shape->n,
                               n_keys, n_features)));
    ScoreCall* call = new_call(context, n_keys, shape->n - n_keys);
    for (int i = 0; i < call->n; ++i) init_reader(call, i, shape->types[n_keys + i]);
    auto* keys = static_cast<ModelKey*>(palloc(sizeof(ModelKey) * (static_cast<Size>(n_keys) + 1)));
    for (int i = 0; i < n_keys; ++i) keys[i] = {names[i], shape->types[i], shape->collations[i]};
    call->table = load_model_table(context, sources, n_sources, PG_GETARG_FLOAT8(1), keys, n_keys,
                                   features, n_features);
    fcinfo->flinfo->fn_extra = call;
    return call;
}

void alloc_shape(RowShape* shape, int n) {
    shape->n = n;
    shape->types = static_cast<Oid*>(palloc0(sizeof(Oid) * (static_cast<Size>(n) + 1)));
    shape->collations = static_cast<Oid*>(palloc0(sizeof(Oid) * (static_cast<Size>(n) + 1)));
}

void shape_of_arguments(FunctionCallInfo fcinfo, int first, RowShape* shape) {
    Node* expression = fcinfo->flinfo->fn_expr;
    if (get_fn_expr_variadic(fcinfo->flinfo) || expression == nullptr || !IsA(expression, FuncExpr))
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("score_row takes its columns one by one")));
    alloc_shape(shape, PG_NARGS() - first);
    for (int i = 0; i < shape->n; ++i) {
        auto* argument =
            static_cast<Node*>(list_nth(reinterpret_cast<FuncExpr*>(expression)->args, first + i));
        shape->types[i] = exprType(argument);
        shape->collations[i] = exprCollation(argument);
    }
}

bool is_row_type(const ScoreCall* call, HeapTupleHeader row) {
    return call != nullptr && call->row_type != nullptr &&
           call->row_type->tdtypeid == HeapTupleHeaderGetTypeId(row) &&
           call->row_type->tdtypmod == HeapTupleHeaderGetTypMod(row);
}

TupleDesc copy_row_type(MemoryContext context, HeapTupleHeader row, RowShape* shape) {
    TupleDesc shared =
        lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(row), HeapTupleHeaderGetTypMod(row));
    const MemoryContext old = MemoryContextSwitchTo(context);
    TupleDesc copy = CreateTupleDescCopy(shared);
    MemoryContextSwitchTo(old);
    ReleaseTupleDesc(shared);
    alloc_shape(shape, copy->natts);
    for (int i = 0; i < copy->natts; ++i) {
        shape->types[i] = TupleDescAttr(copy, i)->atttypid;
        shape->collations[i] = TupleDescAttr(copy, i)->attcollation;
    }
    return copy;
}

const NullableDatum* deform_row(ScoreCall* call, HeapTupleHeader row) {
    HeapTupleData tuple = {};
    tuple.t_len = HeapTupleHeaderGetDatumLength(row);
    ItemPointerSetInvalid(&tuple.t_self);
    tuple.t_tableOid = InvalidOid;
    tuple.t_data = row;
    heap_deform_tuple(&tuple, call->row_type, call->datums, call->nulls);
    for (int i = 0; i < call->row_type->natts; ++i)
        call->row[i] = {call->datums[i], call->nulls[i]};
    return call->row;
}

// The elements of an int4[] in place; each must be the place of a feature in the row.
const int* places_of(ArrayType* array, int n, int n_row) {
    const auto* places = reinterpret_cast<const int*>(ARR_DATA_PTR(array));
    bool valid = ARR_NDIM(array) <= 1 && !ARR_HASNULL(array) &&
                 ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) == n;
    for (int i = 0; valid && i < n; ++i) valid = places[i] >= 0 && places[i] < n_row;
    if (!valid)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("places do not fit the model's features and the row")));
    return places;
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(many_score_row);
PG_FUNCTION_INFO_V1(many_score_record);
PG_FUNCTION_INFO_V1(many_open_model);
PG_FUNCTION_INFO_V1(many_score_joined);
PG_FUNCTION_INFO_V1(many_score_in);
PG_FUNCTION_INFO_V1(many_score_out);

// score_row(models, level, keys, features, VARIADIC columns): the key columns, then the features.
Datum many_score_row(PG_FUNCTION_ARGS) {
    auto* call = static_cast<ScoreCall*>(fcinfo->flinfo->fn_extra);
    if (call == nullptr) {
        RowShape shape;
        shape_of_arguments(fcinfo, 4, &shape);
        call = open_call(fcinfo, &shape);
    }
    return score_by_key(call, fcinfo->args + 4);
}

// score_record(models, level, keys, features, columns record)
Datum many_score_record(PG_FUNCTION_ARGS) {
    auto* call = static_cast<ScoreCall*>(fcinfo->flinfo->fn_extra);
    if (PG_ARGISNULL(4)) PG_RETURN_NULL();
    HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(4);
    if (!is_row_type(call, row)) {
        RowShape shape;
        TupleDesc type = copy_row_type(fcinfo->flinfo->fn_mcxt, row, &shape);
        call = open_call(fcinfo, &shape);
        call->row_type = type;
    }
    return score_by_key(call, deform_row(call, row));
}

// Verified, in memory, with the t quantile of the level: what score_joined expects.
Datum many_open_model(PG_FUNCTION_ARGS) {
    auto* copy = reinterpret_cast<struct varlena*>(PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(0)));
    const double level = PG_GETARG_FLOAT8(1);
    const Size length = VARSIZE(copy) - VARHDRSZ;
    core::LinearModelView view;
    if (!check_model_bytes(VARDATA(copy), length, &view)) PG_RETURN_NULL();
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            if (view.has_interval())
                core::LinearModelView::set_interval_level(VARDATA(copy), length, level);
        }))
        wall::raise_wall_error(&error);
    PG_RETURN_POINTER(copy);
}

// score_joined(model_id, version, model, places, features record)
Datum many_score_joined(PG_FUNCTION_ARGS) {
    auto* call = static_cast<ScoreCall*>(fcinfo->flinfo->fn_extra);
    if (PG_ARGISNULL(4)) PG_RETURN_NULL();
    HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(4);
    if (!is_row_type(call, row)) {
        RowShape shape;
        TupleDesc type = copy_row_type(fcinfo->flinfo->fn_mcxt, row, &shape);
        call = new_call(fcinfo->flinfo->fn_mcxt, 0, shape.n);
        for (int i = 0; i < call->n; ++i) init_reader(call, i, shape.types[i]);
        call->row_type = type;
        fcinfo->flinfo->fn_extra = call;
    }
    if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2)) return no_model(call);
    const auto* model = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(2));
    core::LinearModelView view;
    if (!core::LinearModelView::try_open(VARDATA_ANY(model), VARSIZE_ANY_EXHDR(model), &view))
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("damaged model value")));
    const int n = view.n_features();
    const int* places = PG_ARGISNULL(3) ? nullptr : places_of(PG_GETARG_ARRAYTYPE_P(3), n, call->n);
    if (places == nullptr && n != call->n)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("%d features given, the model has %d features", call->n, n)));
    return score_features(call, {view, PG_GETARG_INT64(0), PG_GETARG_INT32(1), n, places},
                          deform_row(call, row));
}

Datum many_score_in(PG_FUNCTION_ARGS) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("cannot accept a value of type %s", "many_models.score")));
    PG_RETURN_NULL();
}

Datum many_score_out(PG_FUNCTION_ARGS) {
    const auto* value = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(0));
    if (VARSIZE_ANY_EXHDR(value) < PackedScore::kBytes)
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("damaged score value")));
    const PackedScore packed = PackedScore::unpack(VARDATA_ANY(value));
    PG_RETURN_CSTRING(psprintf("(%.17g,%.17g,%.17g,%d,%d)", packed.score.prediction,
                               packed.score.lower, packed.score.upper,
                               static_cast<int>(packed.score.code),
                               static_cast<int>(packed.score.feature)));
}

}  // extern "C"
