// The leader's end of a scoring query: expands scores and writes blocks of rows.
//
// Every row of the run passes through here in one process, so a row costs one tuple formed and its
// share of a block insert; texts that repeat (reasons) are made once.
#include "serving/score_receiver.h"

#include "serving/score_reason.h"
#include "serving/score_table.h"
#include "serving/score_value.h"

#include <cmath>

extern "C" {
#include "access/hio.h"
#include "executor/tuptable.h"
}

namespace many::serving {

namespace {
constexpr int kBlockRows = 1000;
constexpr Size kBlockBytes = 256 * 1024;
constexpr int kReasons = 11;  // codes of core::ScoreCode
}  // namespace

struct ScoreReceiver {
    DestReceiver dest;  // first: the executor sees only this
    const ScoreSpec* spec;
    Relation partition;
    BulkInsertState bulk;
    CommandId command;
    MemoryContext context;      // for the life of the receiver
    MemoryContext row_context;  // texts of one block
    TupleTableSlot** slots;
    int n_slots;
    Size block_bytes;
    Datum* values;
    bool* nulls;
    int* attributes;  // 0-based place of each output column
    Datum level_group;
    Datum level_none;
    Datum* reasons;  // by code and feature; 0: not made yet
    ScoreCounts counts;
    pg_atomic_uint64* rows_so_far;
};

namespace {

void flush(ScoreReceiver* receiver) {
    if (receiver->n_slots == 0) return;
    const MemoryContext old = MemoryContextSwitchTo(receiver->row_context);
    table_multi_insert(receiver->partition, receiver->slots, receiver->n_slots, receiver->command,
                       TABLE_INSERT_SKIP_FSM, receiver->bulk);
    for (int i = 0; i < receiver->n_slots; ++i) ExecClearTuple(receiver->slots[i]);
    MemoryContextSwitchTo(old);
    MemoryContextReset(receiver->row_context);
    receiver->n_slots = 0;
    receiver->block_bytes = 0;
    if (receiver->rows_so_far != nullptr)
        pg_atomic_write_u64(receiver->rows_so_far, static_cast<uint64>(receiver->counts.rows));
}

Datum make_reason(const ScoreReceiver* receiver, core::ScoreCode code, int feature,
                  const char* level, int level_length) {
    const ScoreModels* models = &receiver->spec->models;
    const char* name = feature < models->n_features ? models->features[feature] : "?";
    const char* reason = score_reason(code, name, level, level_length);
    return reason == nullptr ? Datum(0) : CStringGetTextDatum(reason);
}

Datum reason_text(ScoreReceiver* receiver, const core::Score& score, const char* level,
                  int level_length) {
    const int code = static_cast<int>(score.code);
    const int feature = score.feature;
    if (score.code == core::ScoreCode::unseen_level) {
        const MemoryContext old = MemoryContextSwitchTo(receiver->row_context);
        const Datum text = make_reason(receiver, score.code, feature, level, level_length);
        MemoryContextSwitchTo(old);
        return text;
    }
    const int n_features = receiver->spec->models.n_features;
    if (code >= kReasons || feature > n_features) elog(ERROR, "invalid score");
    Datum* cached = &receiver->reasons[code * (n_features + 1) + feature];
    if (*cached == Datum(0)) {
        const MemoryContext old = MemoryContextSwitchTo(receiver->context);
        *cached = make_reason(receiver, score.code, feature, nullptr, 0);
        MemoryContextSwitchTo(old);
    }
    return *cached;
}

void set_result(ScoreReceiver* receiver, ResultColumn column, Datum value, bool is_null) {
    const int place = receiver->attributes[receiver->spec->n_carried + column];
    receiver->values[place] = value;
    receiver->nulls[place] = is_null;
}

void expand_score(ScoreReceiver* receiver, Datum datum) {
    auto* value = reinterpret_cast<struct varlena*>(DatumGetPointer(datum));
    if (VARATT_IS_EXTERNAL(value) || VARATT_IS_COMPRESSED(value) ||
        VARSIZE_ANY_EXHDR(value) < PackedScore::kBytes)
        elog(ERROR, "invalid score");
    const PackedScore packed = PackedScore::unpack(VARDATA_ANY(value));
    const core::Score& score = packed.score;
    const bool has_model = score.code != core::ScoreCode::no_model;
    const bool usable = is_usable(score.code);
    set_result(receiver, kPrediction, Float8GetDatum(score.prediction), !usable);
    set_result(receiver, kLower, Float8GetDatum(score.lower), !usable || std::isnan(score.lower));
    set_result(receiver, kUpper, Float8GetDatum(score.upper), !usable || std::isnan(score.upper));
    set_result(receiver, kModelId, Int64GetDatum(packed.model_id), !has_model);
    set_result(receiver, kModelVersion, Int32GetDatum(packed.version), !has_model);
    set_result(receiver, kModelLevel, has_model ? receiver->level_group : receiver->level_none,
               false);
    if (!usable) ++receiver->counts.without_prediction;
    if (score.code == core::ScoreCode::ok)
        set_result(receiver, kFallbackReason, Datum(0), true);
    else
        set_result(receiver, kFallbackReason,
                   reason_text(receiver, score, VARDATA_ANY(value) + PackedScore::kBytes,
                               static_cast<int>(VARSIZE_ANY_EXHDR(value) - PackedScore::kBytes)),
                   false);
}

bool receive_row(TupleTableSlot* slot, DestReceiver* self) {
    auto* receiver = reinterpret_cast<ScoreReceiver*>(self);
    const int n_carried = receiver->spec->n_carried;
    slot_getallattrs(slot);
    for (int i = 0; i < n_carried; ++i) {
        const int place = receiver->attributes[i];
        receiver->values[place] = slot->tts_values[i];
        receiver->nulls[place] = slot->tts_isnull[i];
    }
    if (slot->tts_isnull[n_carried]) elog(ERROR, "a row without a score");
    expand_score(receiver, slot->tts_values[n_carried]);

    const MemoryContext old = MemoryContextSwitchTo(receiver->row_context);
    HeapTuple tuple =
        heap_form_tuple(RelationGetDescr(receiver->partition), receiver->values, receiver->nulls);
    MemoryContextSwitchTo(old);
    tuple->t_tableOid = RelationGetRelid(receiver->partition);
    // The slot owns the tuple: the insert then takes it without another copy.
    ExecStoreHeapTuple(tuple, receiver->slots[receiver->n_slots], true);
    ++receiver->n_slots;
    ++receiver->counts.rows;
    receiver->block_bytes += tuple->t_len;
    if (receiver->n_slots == kBlockRows || receiver->block_bytes >= kBlockBytes) flush(receiver);
    return true;
}

void receiver_startup(DestReceiver*, int, TupleDesc) {}
void receiver_shutdown(DestReceiver*) {}
void receiver_destroy(DestReceiver*) {}

}  // namespace

ScoreReceiver* score_receiver_create(const ScoreSpec* spec, Oid partition, int64 run_id,
                                     TimestampTz scored_at, pg_atomic_uint64* rows_so_far) {
    auto* receiver = static_cast<ScoreReceiver*>(palloc0(sizeof(ScoreReceiver)));
    receiver->rows_so_far = rows_so_far;
    receiver->dest.receiveSlot = receive_row;
    receiver->dest.rStartup = receiver_startup;
    receiver->dest.rShutdown = receiver_shutdown;
    receiver->dest.rDestroy = receiver_destroy;
    receiver->dest.mydest = DestTuplestore;
    receiver->spec = spec;
    receiver->context = CurrentMemoryContext;
    receiver->row_context = AllocSetContextCreate(CurrentMemoryContext, "many_models score block",
                                                  ALLOCSET_DEFAULT_SIZES);
    receiver->partition = table_open(partition, RowExclusiveLock);
    receiver->bulk = GetBulkInsertState();
    (void)GetCurrentTransactionId();
    receiver->command = GetCurrentCommandId(true);

    TupleDesc descriptor = RelationGetDescr(receiver->partition);
    receiver->slots = static_cast<TupleTableSlot**>(palloc(sizeof(TupleTableSlot*) * kBlockRows));
    for (int i = 0; i < kBlockRows; ++i)
        receiver->slots[i] = MakeSingleTupleTableSlot(descriptor, &TTSOpsHeapTuple);
    const Size n = static_cast<Size>(descriptor->natts);
    receiver->values = static_cast<Datum*>(palloc0(sizeof(Datum) * n));
    receiver->nulls = static_cast<bool*>(palloc0(n));
    receiver->attributes = predictions_attributes(descriptor, spec);
    for (int i = 0; i < spec->n_carried + kResultColumns; ++i) --receiver->attributes[i];
    receiver->reasons = static_cast<Datum*>(
        palloc0(sizeof(Datum) * kReasons * (static_cast<Size>(spec->models.n_features) + 1)));
    receiver->level_group = CStringGetTextDatum("group");
    receiver->level_none = CStringGetTextDatum("none");
    set_result(receiver, kRunId, Int64GetDatum(run_id), false);
    set_result(receiver, kScoredAt, TimestampTzGetDatum(scored_at), false);
    return receiver;
}

DestReceiver* score_receiver_dest(ScoreReceiver* receiver) {
    return &receiver->dest;
}

ScoreCounts score_receiver_finish(ScoreReceiver* receiver) {
    flush(receiver);
    FreeBulkInsertState(receiver->bulk);
    table_finish_bulk_insert(receiver->partition, TABLE_INSERT_SKIP_FSM);
    for (int i = 0; i < kBlockRows; ++i) ExecDropSingleTupleTableSlot(receiver->slots[i]);
    table_close(receiver->partition, NoLock);
    return receiver->counts;
}

}  // namespace many::serving
