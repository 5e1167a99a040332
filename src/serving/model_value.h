// A many_models.model value: a fitted model, or the error that a fit ended with.
//
// Both are a varlena whose content is checked on reading: a damaged value is an error (XX001),
// never a crash. Layout of an error value (little-endian), format version 1:
//
//   0   4  magic "MMER"
//   4   2  format version (1)
//   6   1  core::FitStatus
//   7   1  0
//   8   4  total bytes
//   12  4  CRC-32C of all bytes with this field as 0
//   16  8  rows of the group
//   24  2  length of the message, followed by the message, then the hint up to the end
#pragma once

#include "core/codec/linear_model.h"
#include "pg/server.h"

namespace many::serving {

// The content of a value; points into the datum (detoasted into the current context if needed).
struct ModelBytes {
    const char* data;
    Size length;
};

struct ModelError {
    core::FitStatus status;
    int64 n_rows;
    const char* message;  // not terminated
    uint32 message_length;
    const char* hint;
    uint32 hint_length;
};

// Detoasts and checks fully: raises XX001 when damaged. Returns false for an error value.
bool open_model_value(Datum value, ModelBytes* bytes, core::LinearModelView* view);

// Raises XX001 unless the bytes are an intact model or error value; true for a model.
bool check_model_bytes(const char* data, Size length, core::LinearModelView* view);

// False unless the bytes are an intact error value.
bool read_model_error(const char* data, Size length, ModelError* error);

// New values, palloc'd.
Datum make_model_value(const unsigned char* model, Size length);
Datum make_error_value(core::FitStatus status, int64 n_rows, const char* message, const char* hint);

}  // namespace many::serving
