// The bytes of a many_models.model value: see model_value.h.
#include "serving/model_value.h"

#include <cstring>

#include "core/forecasters/forecast_model.h"
#include "wall/wall.h"

namespace many::serving {

namespace {

constexpr char kErrorMagic[4] = {'M', 'M', 'E', 'R'};
constexpr Size kErrorHeader = 26;
constexpr Size kCrcOffset = 12;

template <class T>
T load(const char* from) {
    T value;
    memcpy(&value, from, sizeof value);
    return value;
}

template <class T>
void store(char* to, T value) {
    memcpy(to, &value, sizeof value);
}

bool is_error_value(const char* data, Size length) {
    return length >= sizeof kErrorMagic && memcmp(data, kErrorMagic, sizeof kErrorMagic) == 0;
}

uint32 error_checksum(const char* data, Size length) {
    static constexpr char zero[4] = {0, 0, 0, 0};
    uint32 crc = core::crc32c(data, kCrcOffset);
    crc = core::crc32c(zero, sizeof zero, crc);
    return core::crc32c(data + kCrcOffset + 4, length - kCrcOffset - 4, crc);
}

Datum new_value(Size length, char** data) {
    auto* value = static_cast<struct varlena*>(palloc(VARHDRSZ + length));
    SET_VARSIZE(value, VARHDRSZ + length);
    *data = VARDATA(value);
    return PointerGetDatum(value);
}

}  // namespace

bool read_model_error(const char* data, Size length, ModelError* error) {
    if (!is_error_value(data, length) || length < kErrorHeader) return false;
    if (load<uint16>(data + 4) != 1 || load<uint32>(data + 8) != length ||
        load<uint32>(data + kCrcOffset) != error_checksum(data, length))
        return false;
    const Size message_length = load<uint16>(data + 24);
    if (message_length > length - kErrorHeader) return false;
    error->status = static_cast<core::FitStatus>(static_cast<unsigned char>(data[6]));
    error->n_rows = load<int64>(data + 16);
    error->message = data + kErrorHeader;
    error->message_length = static_cast<uint32>(message_length);
    error->hint = error->message + message_length;
    error->hint_length = static_cast<uint32>(length - kErrorHeader - message_length);
    return true;
}

ModelKind check_any_model(const char* data, Size length, core::LinearModelView* view) {
    if (is_error_value(data, length)) {
        ModelError error;
        if (!read_model_error(data, length, &error))
            ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("damaged model value")));
        return ModelKind::error;
    }
    const bool forecasts = core::is_forecast_model(data, length);
    wall::WallError error;
    if (!wall::across_wall(&error, [&] {
            if (forecasts) {
                core::ForecastModel model;
                core::decode_forecast_model(data, length, model);
            } else {
                *view = core::LinearModelView::open(data, length,
                                                    core::LinearModelView::Check::checksum);
            }
        }))
        wall::raise_wall_error(&error);
    return forecasts ? ModelKind::forecast : ModelKind::linear;
}

ModelKind open_any_model(Datum value, ModelBytes* bytes, core::LinearModelView* view) {
    const auto* detoasted = PG_DETOAST_DATUM_PACKED(value);
    bytes->data = VARDATA_ANY(detoasted);
    bytes->length = VARSIZE_ANY_EXHDR(detoasted);
    return check_any_model(bytes->data, bytes->length, view);
}

namespace {

bool is_row_model(ModelKind kind) {
    if (kind == ModelKind::forecast) raise_forecaster();
    return kind == ModelKind::linear;
}

}  // namespace

void raise_forecaster() {
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                    errmsg("the model is a forecaster: it does not predict single rows"),
                    errhint("Use forecast, or score_many_models with a horizon.")));
    pg_unreachable();
}

bool check_model_bytes(const char* data, Size length, core::LinearModelView* view) {
    return is_row_model(check_any_model(data, length, view));
}

bool open_model_value(Datum value, ModelBytes* bytes, core::LinearModelView* view) {
    return is_row_model(open_any_model(value, bytes, view));
}

Datum make_model_value(const unsigned char* model, Size length) {
    char* data;
    const Datum value = new_value(length, &data);
    memcpy(data, model, length);
    return value;
}

Datum make_error_value(core::FitStatus status, int64 n_rows, const char* message,
                       const char* hint) {
    constexpr Size longest = 4000;
    const Size message_length = strnlen(message, longest);
    const Size hint_length = hint == nullptr ? 0 : strnlen(hint, longest);
    const Size length = kErrorHeader + message_length + hint_length;
    char* data;
    const Datum value = new_value(length, &data);
    memset(data, 0, kErrorHeader);
    memcpy(data, kErrorMagic, sizeof kErrorMagic);
    store<uint16>(data + 4, 1);
    data[6] = static_cast<char>(status);
    store<uint32>(data + 8, static_cast<uint32>(length));
    store<int64>(data + 16, n_rows);
    store<uint16>(data + 24, static_cast<uint16>(message_length));
    memcpy(data + kErrorHeader, message, message_length);
    if (hint_length > 0) memcpy(data + kErrorHeader + message_length, hint, hint_length);
    store<uint32>(data + kCrcOffset, error_checksum(data, length));
    return value;
}

}  // namespace many::serving
