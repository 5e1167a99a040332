// What the fit phase says of a group: one record per group, in "r<bucket>".
#pragma once

#include "engine/run_segment.h"

namespace many::engine {

enum class ResultKind : uint8 { trained = 0, failed = 1, skipped = 2 };

// Followed by key image, model bytes, message, hint (no terminators).
struct ResultHeader {
    uint32 key_length;
    uint32 model_bytes;
    uint32 message_bytes;
    uint32 hint_bytes;
    int64 n_rows;
    int64 first_time;
    int64 last_time;
    float4 seconds;
    int32 sqlstate;
    ResultKind kind;
    bool has_window;
    char unused[6];
};

}  // namespace many::engine
