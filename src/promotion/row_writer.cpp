#include "promotion/row_writer.h"

#include <fcntl.h>

#include <algorithm>
#include <initializer_list>

extern "C" {
#include "access/heaptoast.h"
#include "access/hio.h"
#include "catalog/indexing.h"
#include "storage/bufmgr.h"
#include "storage/fd.h"
#include "storage/lmgr.h"
#include "storage/smgr.h"
}

namespace many::promotion {

namespace {

constexpr int kBatchRows = 250;  // of one multi-insert
constexpr Size kBatchBytes = 256 * 1024;
constexpr Size kPageRoom = BLCKSZ - SizeOfPageHeaderData;
constexpr BlockNumber kMostReserved = 64;
constexpr int kOptions = TABLE_INSERT_SKIP_FSM | TABLE_INSERT_FROZEN;

}  // namespace

struct RowWriter {
    Relation relation;
    bool fresh;
    BulkInsertState state;
    CommandId command;
    int64 rows;
    bool small;  // rows of the batch are stored as they are: they make one page
    int n;
    Size bytes;
    TupleTableSlot* slots[kBatchRows];
    MemoryContext context;  // of the batch
    MemoryContext other;    // of the next
    bool reserves;
    BlockNumber reserved, reserved_end;  // pages of the table that are still empty
};

RowWriter* open_rows(Oid relation, bool fresh) {
    auto* writer = (RowWriter*)palloc0(sizeof(RowWriter));
    writer->relation = table_open(relation, RowExclusiveLock);
    writer->fresh = fresh;
    writer->reserves = pg::kGrowsByPage;
    writer->command = GetCurrentCommandId(true);
    (void)GetCurrentTransactionId();  // rows come while a parallel query runs, which assigns none
    // With room, which a reset keeps: given back and taken again each time, it would be paid for in
    // page faults.
    for (MemoryContext* context : {&writer->context, &writer->other})
        *context = AllocSetContextCreate(CurrentMemoryContext, "many_models rows",
                                         fresh ? 4 * (Size)BLCKSZ : 0, ALLOCSET_DEFAULT_INITSIZE,
                                         ALLOCSET_DEFAULT_MAXSIZE);
    if (!fresh) return writer;
    // Keeps hold of the last page, and lets newer servers add pages many at a time. Without its ring
    // of buffers: the index will read what was written, and then whoever predicts.
    writer->state = GetBulkInsertState();
    FreeAccessStrategy(writer->state->strategy);
    writer->state->strategy = nullptr;
    for (int i = 0; i < kBatchRows; i++)
        writer->slots[i] =
            MakeSingleTupleTableSlot(RelationGetDescr(writer->relation), &TTSOpsHeapTuple);
    return writer;
}

// --- Empty pages ------------------------------------------------------------------------------

namespace {

// Space on disk for a part of a file behind its end; false: the file system has no such call.
bool reserve_space(const char* path, off_t offset, off_t length) {
#ifdef FALLOC_FL_KEEP_SIZE
    const int file = OpenTransientFile(path, O_RDWR | PG_BINARY);
    if (file < 0) return false;
    int result;
    do {
        result = fallocate(file, FALLOC_FL_KEEP_SIZE, offset, length);
    } while (result != 0 && errno == EINTR);
    const int error = result == 0 ? 0 : errno;
    CloseTransientFile(file);
    errno = error;
    if (error == ENOSPC || error == EDQUOT)
        ereport(ERROR,
                (errcode_for_file_access(), errmsg("could not extend file \"%s\": %m", path)));
    return error == 0;
#else
    return false;
#endif
}

// Lengthens the table by some pages at once. A server that adds them one at a time writes each as
// zeros first, a fifth of the time of a promotion. Here the last one alone is written; that there is
// space for the others is made sure of before, so that a full disk is found now.
bool reserve_pages(RowWriter* writer) {
    static const PGAlignedBlock zeros = {};
    Relation relation = writer->relation;
    LockRelationForExtension(relation, ExclusiveLock);
    const BlockNumber first = RelationGetNumberOfBlocks(relation);
    const BlockNumber segment = first / RELSEG_SIZE;
    const BlockNumber within = first % RELSEG_SIZE;
    BlockNumber n = std::min(first / 8, kMostReserved);
    n = std::min(n, (BlockNumber)RELSEG_SIZE - within);
    if (within == 0 || n == 0) n = 1;  // which makes the file of a segment
    if (n > 1) {
        const char* path = pg::main_fork_path(relation);
        if (segment > 0) path = psprintf("%s.%u", path, segment);
        writer->reserves = reserve_space(path, (off_t)within * BLCKSZ, (off_t)n * BLCKSZ);
    }
    if (writer->reserves)
        smgrextend(RelationGetSmgr(relation), MAIN_FORKNUM, first + n - 1,
                   const_cast<char*>(zeros.data), false);
    UnlockRelationForExtension(relation, ExclusiveLock);
    if (!writer->reserves) return false;
    writer->reserved = first;
    writer->reserved_end = first + n;
    return true;
}

// Has the next rows go to an empty page. Without one they go to the last page, then to a new one.
void take_page(RowWriter* writer) {
    if (writer->reserved == writer->reserved_end && (!writer->reserves || !reserve_pages(writer)))
        return;
    const Buffer page = ReadBufferExtended(writer->relation, MAIN_FORKNUM, writer->reserved++,
                                           RBM_ZERO_AND_LOCK, nullptr);
    LockBuffer(page, BUFFER_LOCK_UNLOCK);
    if (writer->state->current_buf != InvalidBuffer) ReleaseBuffer(writer->state->current_buf);
    writer->state->current_buf = page;
}

// --- Batches ----------------------------------------------------------------------------------

void write_batch(RowWriter* writer) {
    if (writer->n == 0) return;
    if (writer->small) take_page(writer);
    table_multi_insert(writer->relation, writer->slots, writer->n, writer->command, kOptions,
                       writer->state);
    for (int i = 0; i < writer->n; i++) ExecClearTuple(writer->slots[i]);
    writer->n = 0;
    writer->bytes = 0;
}

// The slot owns the tuple: the insert then takes it without another copy.
void add_to_batch(RowWriter* writer, HeapTuple tuple) {
    const Size bytes = MAXALIGN(tuple->t_len) + sizeof(ItemIdData);
    const bool small = tuple->t_len <= TOAST_TUPLE_THRESHOLD && !HeapTupleHasExternal(tuple);
    if (writer->n == kBatchRows || small != writer->small ||
        writer->bytes + bytes > (small ? kPageRoom : kBatchBytes)) {
        write_batch(writer);
        const MemoryContext written = writer->context;
        MemoryContextSwitchTo(writer->other);
        tuple = heap_copytuple(tuple);
        MemoryContextReset(written);
        writer->context = writer->other;
        writer->other = written;
    }
    writer->small = small;
    tuple->t_tableOid = RelationGetRelid(writer->relation);
    ExecStoreHeapTuple(tuple, writer->slots[writer->n++], true);
    writer->bytes += bytes;
}

}  // namespace

void write_row(RowWriter* writer, const Datum* values, const bool* nulls) {
    MemoryContext old = MemoryContextSwitchTo(writer->context);
    HeapTuple tuple = heap_form_tuple(RelationGetDescr(writer->relation),
                                      const_cast<Datum*>(values), const_cast<bool*>(nulls));
    writer->rows++;
    if (writer->fresh) {
        add_to_batch(writer, tuple);
    } else {
        CatalogTupleInsert(writer->relation, tuple);
        MemoryContextReset(writer->context);
    }
    MemoryContextSwitchTo(old);
}

int64 close_writer(RowWriter* writer) {
    const int64 rows = writer->rows;
    if (writer->fresh) {
        MemoryContext old = MemoryContextSwitchTo(writer->context);
        write_batch(writer);
        MemoryContextSwitchTo(old);
        for (TupleTableSlot* slot : writer->slots) ExecDropSingleTupleTableSlot(slot);
        FreeBulkInsertState(writer->state);
        table_finish_bulk_insert(writer->relation, kOptions);
    }
    table_close(writer->relation, NoLock);
    MemoryContextDelete(writer->context);
    MemoryContextDelete(writer->other);
    pfree(writer);
    return rows;
}

}  // namespace many::promotion
