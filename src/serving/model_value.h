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

// forecast: a forecaster's model (core/forecasters/forecast_model.h).
enum class ModelKind { error, linear, forecast };

// Detoasts and checks fully: raises XX001 when damaged. `view` is set for linear.
ModelKind open_any_model(Datum value, ModelBytes* bytes, core::LinearModelView* view);
ModelKind check_any_model(const char* data, Size length, core::LinearModelView* view);

// The same where only models that predict rows make sense: false for an error value, 42809 for a
// forecaster.
bool open_model_value(Datum value, ModelBytes* bytes, core::LinearModelView* view);
bool check_model_bytes(const char* data, Size length, core::LinearModelView* view);

// 42809: a forecaster where a row was to be predicted.
[[noreturn]] void raise_forecaster();

// False unless the bytes are an intact error value.
bool read_model_error(const char* data, Size length, ModelError* error);

// New values, palloc'd.
Datum make_model_value(const unsigned char* model, Size length);
Datum make_error_value(core::FitStatus status, int64 n_rows, const char* message, const char* hint);

}  // namespace many::serving
