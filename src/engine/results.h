// What the fit phase says of a group, and where it goes.
#pragma once

#include "engine/run_segment.h"

namespace many::engine {

// unchanged: of a refresh, a group whose model is carried forward; there is no body.
enum class ResultKind : uint8 { trained = 0, failed = 1, skipped = 2, unchanged = 3 };

// What a run has read of a group, to tell later whether it changed: see fingerprint.h.
struct Fingerprint {
    int64 n_rows;
    int64 last_time;  // of usable rows; PG_INT64_MIN: none
    uint64 checksum;
};

// Followed by the body: key image, model bytes, message, hint (no terminators), stored sums
// (append.h), numbers of the comparison.
struct ResultHeader {
    uint32 key_length;
    uint32 model_bytes;
    uint32 message_bytes;
    uint32 hint_bytes;
    uint32 sums_bytes;
    int64 n_rows;
    int64 first_time;
    int64 last_time;
    int64 compared_with;  // 0: with nothing in production
    Fingerprint fingerprint;
    uint64 place;  // unchanged: of the group's row in the version before
    float4 seconds;
    int32 sqlstate;
    ResultKind kind;
    bool has_window;
    uint8 numbers;  // doubles of the comparison (core/selection/rival.h)
    char unused[5];
};

inline Size result_body_bytes(const ResultHeader* header) {
    return (Size)header->key_length + header->model_bytes + header->message_bytes +
           header->hint_bytes + header->sums_bytes + header->numbers * sizeof(double);
}

// Where a process's results go. All but `put` may be nullptr.
struct ResultSink {
    void (*begin_bucket)(ResultSink* sink, int bucket);
    void (*put)(ResultSink* sink, const ResultHeader* header, const char* body);
    void (*end_bucket)(ResultSink* sink);
    void (*idle)(ResultSink* sink);  // called after each group
};

}  // namespace many::engine
