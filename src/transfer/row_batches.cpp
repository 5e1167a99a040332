// The rows of a query in batches: see row_batches.h.
#include "transfer/row_batches.h"

#include "pg/source.h"

extern "C" {
#include "utils/portal.h"
}

namespace many::transfer {

namespace {

constexpr long kFirstBatch = 16;
constexpr Size kLargestBatch = 1000;
constexpr Size kBatchBytes = 4 * 1024 * 1024;

// What the query calls may be anyone's: it is planned and run as a source is.
void run_guarded(RowBatches* rows, const char* query) {
    pg::SourceGuard guard;
    pg::enter_source(&guard);
    PG_TRY();
    {
        if (query != nullptr) {
            rows->plan = SPI_prepare_cursor(query, 0, nullptr, CURSOR_OPT_NO_SCROLL);
            if (rows->plan == nullptr) elog(ERROR, "could not plan the reading: %d", SPI_result);
            rows->portal = SPI_cursor_open(nullptr, rows->plan, nullptr, nullptr, true);
        }
        SPI_cursor_fetch(rows->portal, true, rows->size);
    }
    PG_CATCH();
    {
        XactReadOnly = guard.was_read_only;
        PG_RE_THROW();
    }
    PG_END_TRY();
    pg::leave_source(&guard);
}

void fetch(RowBatches* rows, const char* query) {
    if (rows->batch != nullptr) SPI_freetuptable(rows->batch);
    run_guarded(rows, query);
    rows->batch = SPI_tuptable;
    rows->n = SPI_processed;
    rows->at = 0;
    if (rows->n == 0) return;
    Size bytes = 0;
    for (uint64 i = 0; i < rows->n; ++i) bytes += rows->batch->vals[i]->t_len;
    const Size fitting = kBatchBytes / (bytes / rows->n + 1);
    rows->size = fitting < 1 ? 1 : fitting > kLargestBatch ? kLargestBatch : (long)fitting;
}

}  // namespace

void rows_open(RowBatches* rows, const char* query) {
    rows->size = kFirstBatch;
    rows->batch = nullptr;
    fetch(rows, query);
}

bool rows_next(RowBatches* rows, HeapTuple* tuple, TupleDesc* descriptor) {
    if (rows->at == rows->n && rows->n > 0) fetch(rows, nullptr);
    if (rows->n == 0) return false;
    *tuple = rows->batch->vals[rows->at++];
    *descriptor = rows->batch->tupdesc;
    return true;
}

void rows_close(RowBatches* rows) {
    if (rows->batch != nullptr) SPI_freetuptable(rows->batch);
    SPI_cursor_close(rows->portal);
    SPI_freeplan(rows->plan);
}

}  // namespace many::transfer
