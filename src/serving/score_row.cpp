// score_row: one source row, one model -> one many_models.score. Runs in parallel workers; what a
// row costs here is what scoring costs, so: no allocation, no catalog look-up, no detoasting.
//
// open_model does once per model what score_row then need not do per row: detoast, verify the
// checksum, fill in the t quantile of the interval's level.
#include "core/codec/linear_model.h"
#include "pg/feature_reader.h"
#include "pg/server.h"
#include "serving/model_value.h"
#include "serving/score_value.h"
#include "wall/wall.h"

#include <cmath>
#include <cstring>

extern "C" {
#include "mb/pg_wchar.h"
}

using namespace many;
using namespace many::serving;

namespace {

// Per call site, filled at the first row.
struct ScoreCall {
    int n;
    bool all_numbers;
    pg::FeatureReader* readers;
    core::FeatureValue* values;
    double* numbers;
    Datum* datums;  // record form
    bool* nulls;
    TupleDesc row_type;  // record form: of the row before
    union {  // the result of the row before; valid until the next call
        struct varlena header;
        char bytes[1 + PackedScore::kBytes + PackedScore::kMaxText];
    } result;
};

ScoreCall* new_call(FunctionCallInfo fcinfo, int n) {
    const MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
    auto* call = static_cast<ScoreCall*>(palloc0(sizeof(ScoreCall)));
    const Size count = static_cast<Size>(n) + 1;
    call->n = n;
    call->readers = static_cast<pg::FeatureReader*>(palloc0(sizeof(pg::FeatureReader) * count));
    call->values = static_cast<core::FeatureValue*>(palloc0(sizeof(core::FeatureValue) * count));
    call->numbers = static_cast<double*>(palloc0(sizeof(double) * count));
    call->datums = static_cast<Datum*>(palloc0(sizeof(Datum) * count));
    call->nulls = static_cast<bool*>(palloc0(count));
    MemoryContextSwitchTo(old);
    return call;
}

void init_reader(ScoreCall* call, int i, Oid type) {
    if (!pg::feature_reader_init(&call->readers[i], type))
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                        errmsg("feature %d of type %s cannot be a feature", i + 1,
                               format_type_be(type))));
}

void finish_call(FunctionCallInfo fcinfo, ScoreCall* call) {
    call->all_numbers = true;
    for (int i = 0; i < call->n; ++i)
        if (call->readers[i].kind != pg::FeatureKind::number) call->all_numbers = false;
    fcinfo->flinfo->fn_extra = call;
}

Datum pack_result(ScoreCall* call, const core::Score& score, const char* text,
                  uint32 text_length) {
    char* bytes = call->result.bytes;
    PackedScore::pack(bytes + 1, score);
    uint32 n = text_length;
    if (n > PackedScore::kMaxText)
        n = static_cast<uint32>(pg_mbcliplen(text, static_cast<int>(text_length),
                                             static_cast<int>(PackedScore::kMaxText)));
    if (n > 0) memcpy(bytes + 1 + PackedScore::kBytes, text, n);
    SET_VARSIZE_SHORT(bytes, 1 + PackedScore::kBytes + n);
    return PointerGetDatum(bytes);
}

void open_for_row(Datum model, int n_features, core::LinearModelView* view) {
    const auto* value = PG_DETOAST_DATUM_PACKED(model);
    if (!core::LinearModelView::try_open(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), view))
        ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("damaged model value")));
    if (view->n_features() != n_features)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("%d features given, the model has %d features", n_features,
                               view->n_features())));
}

core::Score score_checked(const core::LinearModelView& view, const ScoreCall* call,
                          bool numeric) {
    core::Score score;
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            score = numeric ? view.score_numeric(call->numbers) : view.score(call->values);
        }))
        wall::raise_wall_error(&error);
    return score;
}

// get(i, &is_null) gives the i-th feature's datum.
template <class Get>
Datum score_features(ScoreCall* call, Datum model, Get get) {
    core::LinearModelView view;
    open_for_row(model, call->n, &view);
    if (call->all_numbers && !view.has_levels()) {
        bool any_null = false;
        for (int i = 0; i < call->n; ++i) {
            bool is_null;
            const Datum datum = get(i, &is_null);
            if (is_null) {
                any_null = true;
                break;
            }
            call->numbers[i] = pg::feature_number(&call->readers[i], datum);
        }
        if (!any_null) return pack_result(call, score_checked(view, call, true), nullptr, 0);
    }
    for (int i = 0; i < call->n; ++i) {
        core::FeatureValue* value = &call->values[i];
        const Datum datum = get(i, &value->is_null);
        value->text = nullptr;
        value->text_length = 0;
        value->number = 0;
        if (value->is_null) continue;
        if (call->readers[i].kind == pg::FeatureKind::number)
            value->number = pg::feature_number(&call->readers[i], datum);
        else
            value->text = pg::feature_text(&call->readers[i], datum, &value->text_length);
    }
    const core::Score score = score_checked(view, call, false);
    if (score.code == core::ScoreCode::unseen_level && score.feature < call->n)
        return pack_result(call, score, call->values[score.feature].text,
                           call->values[score.feature].text_length);
    return pack_result(call, score, nullptr, 0);
}

Datum no_model(ScoreCall* call) {
    core::Score score;
    score.prediction = score.lower = score.upper = NAN;
    score.code = core::ScoreCode::no_model;
    return pack_result(call, score, nullptr, 0);
}

// The types of the record's columns, looked up when they are not those of the row before.
void describe_row(FunctionCallInfo fcinfo, HeapTupleHeader row, ScoreCall** call) {
    const Oid type = HeapTupleHeaderGetTypeId(row);
    const int32 typmod = HeapTupleHeaderGetTypMod(row);
    if (*call != nullptr && (*call)->row_type != nullptr &&
        (*call)->row_type->tdtypeid == type && (*call)->row_type->tdtypmod == typmod)
        return;
    TupleDesc shared = lookup_rowtype_tupdesc(type, typmod);
    *call = new_call(fcinfo, shared->natts);
    const MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
    (*call)->row_type = CreateTupleDescCopy(shared);
    MemoryContextSwitchTo(old);
    ReleaseTupleDesc(shared);
    for (int i = 0; i < (*call)->n; ++i)
        init_reader(*call, i, TupleDescAttr((*call)->row_type, i)->atttypid);
    finish_call(fcinfo, *call);
}

}  // namespace

extern "C" {

PG_FUNCTION_INFO_V1(many_open_model);
PG_FUNCTION_INFO_V1(many_score_row);
PG_FUNCTION_INFO_V1(many_score_record);
PG_FUNCTION_INFO_V1(many_score_in);
PG_FUNCTION_INFO_V1(many_score_out);

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

Datum many_score_row(PG_FUNCTION_ARGS) {
    auto* call = static_cast<ScoreCall*>(fcinfo->flinfo->fn_extra);
    if (call == nullptr) {
        if (get_fn_expr_variadic(fcinfo->flinfo))
            ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                            errmsg("score_row does not take a VARIADIC array"),
                            errhint("Pass the features one by one, or as a row.")));
        call = new_call(fcinfo, PG_NARGS() - 1);
        for (int i = 0; i < call->n; ++i)
            init_reader(call, i, get_fn_expr_argtype(fcinfo->flinfo, i + 1));
        finish_call(fcinfo, call);
    }
    if (PG_ARGISNULL(0)) return no_model(call);
    const NullableDatum* arguments = fcinfo->args + 1;
    return score_features(call, PG_GETARG_DATUM(0), [arguments](int i, bool* is_null) {
        *is_null = arguments[i].isnull;
        return arguments[i].value;
    });
}

Datum many_score_record(PG_FUNCTION_ARGS) {
    auto* call = static_cast<ScoreCall*>(fcinfo->flinfo->fn_extra);
    if (PG_ARGISNULL(0) || PG_ARGISNULL(1)) {
        if (call == nullptr) {
            call = new_call(fcinfo, 0);
            finish_call(fcinfo, call);
        }
        return no_model(call);
    }
    HeapTupleHeader row = PG_GETARG_HEAPTUPLEHEADER(1);
    describe_row(fcinfo, row, &call);
    HeapTupleData tuple = {};
    tuple.t_len = HeapTupleHeaderGetDatumLength(row);
    ItemPointerSetInvalid(&tuple.t_self);
    tuple.t_tableOid = InvalidOid;
    tuple.t_data = row;
    heap_deform_tuple(&tuple, call->row_type, call->datums, call->nulls);
    return score_features(call, PG_GETARG_DATUM(0), [call](int i, bool* is_null) {
        *is_null = call->nulls[i];
        return call->datums[i];
    });
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
    const core::Score score = PackedScore::unpack(VARDATA_ANY(value));
    PG_RETURN_CSTRING(psprintf("(%.17g,%.17g,%.17g,%d,%d)", score.prediction, score.lower,
                               score.upper, static_cast<int>(score.code),
                               static_cast<int>(score.feature)));
}

}  // extern "C"
