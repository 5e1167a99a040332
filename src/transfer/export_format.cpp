// The stream of export_models: see export_format.h.
#include "transfer/export_format.h"

#include <cmath>

#include "core/codec/linear_model.h"

extern "C" {
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "common/shortest_dec.h"
#include "mb/pg_wchar.h"
#include "utils/json.h"
}

namespace many::transfer {

namespace {

constexpr char kCrcStart[] = ",\"crc\":\"";
constexpr char kModelStart[] = ",\"model\":\"";
constexpr int kCrcBytes = sizeof kCrcStart - 1 + 8 + 2;  // ,"crc":"0123abcd"}

bool is_ascii(const char* text, Size length) {
    for (Size i = 0; i < length; ++i)
        if (IS_HIGHBIT_SET(text[i])) return false;
    return true;
}

void append_escape(StringInfo out, pg_wchar c) {
    if (c > 0xffff) {
        appendStringInfo(out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
                         0xdc00 + ((c - 0x10000) & 0x3ff));
        return;
    }
    appendStringInfo(out, "\\u%04x", c);
}

// JSON text with what is not ASCII escaped: such characters stand in strings only.
void append_ascii(StringInfo out, const char* text, int length) {
    if (is_ascii(text, static_cast<Size>(length))) {
        appendBinaryStringInfo(out, text, length);
        return;
    }
    if (GetDatabaseEncoding() == PG_SQL_ASCII)
        ereport(ERROR,
                (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                 errmsg("texts that are not ASCII cannot be exported from a database of encoding "
                        "SQL_ASCII"),
                 errdetail("Nothing says which characters their bytes stand for.")));
    char* utf8 = pg_server_to_any(text, length, PG_UTF8);
    const auto* at = reinterpret_cast<const unsigned char*>(utf8);
    const auto* end = at + (utf8 == text ? static_cast<Size>(length) : strlen(utf8));
    for (; at < end; at += pg_utf_mblen(at)) {
        if (IS_HIGHBIT_SET(*at))
            append_escape(out, utf8_to_unicode(at));
        else
            appendStringInfoChar(out, static_cast<char>(*at));
    }
    if (utf8 != text) pfree(utf8);
}

uint32 part_crc(int64 line, const char* data, Size length) {
    unsigned char number[8];
    for (int i = 0; i < 8; ++i)
        number[i] = static_cast<unsigned char>(static_cast<uint64>(line) >> (8 * i));
    return core::crc32c(data, length, core::crc32c(number, sizeof number));
}

void append_name(StringInfo json, const char* name) {
    if (json->len > 1) appendStringInfoChar(json, ',');
    appendStringInfo(json, "\"%s\":", name);
}

}  // namespace

// --- Writing --------------------------------------------------------------------------------------

text* make_part(int64 line, const StringInfo json) {
    StringInfoData part;
    initStringInfo(&part);
    enlargeStringInfo(&part, VARHDRSZ + json->len + kCrcBytes);
    part.len = VARHDRSZ;  // the text's header
    append_ascii(&part, json->data, json->len);
    const Size length = static_cast<Size>(part.len) - VARHDRSZ;
    appendStringInfo(&part, "%s%08x\"}", kCrcStart, part_crc(line, part.data + VARHDRSZ, length));
    SET_VARSIZE(part.data, part.len);
    return reinterpret_cast<text*>(part.data);
}

void append_string_member(StringInfo json, const char* name, const char* value) {
    append_name(json, name);
    if (value == nullptr)
        appendStringInfoString(json, "null");
    else
        escape_json(json, value);
}

void append_int_member(StringInfo json, const char* name, int64 value) {
    append_name(json, name);
    appendStringInfo(json, INT64_FORMAT, value);
}

void append_real_member(StringInfo json, const char* name, float4 value) {
    char digits[FLOAT_SHORTEST_DECIMAL_LEN + 1];
    append_name(json, name);
    float_to_shortest_decimal_buf(std::isfinite(value) ? value : 0, digits);
    appendStringInfoString(json, digits);
}

void append_json_member(StringInfo json, const char* name, Jsonb* value) {
    append_name(json, name);
    (void)JsonbToCString(json, &value->root, static_cast<int>(VARSIZE(value)));
}

void append_model_member(StringInfo json, const char* data, Size length) {
    if (length > MaxAllocSize / 2)
        ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                        errmsg("a model of %zu bytes is too large to be exported", length)));
    const int room = pg_b64_enc_len(static_cast<int>(length));
    appendStringInfoString(json, kModelStart);
    enlargeStringInfo(json, room + 2);
    const int written =
        pg::base64_encode(data, static_cast<int>(length), json->data + json->len, room);
    if (written < 0) elog(ERROR, "could not encode a model");
    json->len += written;
    json->data[json->len] = '\0';
    appendStringInfoChar(json, '"');
}

// --- Reading --------------------------------------------------------------------------------------

namespace {

// The object without its "crc"; raises unless that is right.
char* checked_part(int64 line, const char* data, Size length) {
    char* copy = pnstrdup(data, length);
    if (length > kCrcBytes && is_ascii(data, length) && strlen(copy) == length) {
        const Size n = length - kCrcBytes;
        char* end = psprintf("%s%08x\"}", kCrcStart, part_crc(line, data, n));
        if (strcmp(copy + n, end) == 0) {
            strcpy(copy + n, "}");
            return copy;
        }
    }
    ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                    errmsg("line " INT64_FORMAT " of the export is damaged", line),
                    errdetail("Its checksum does not go with its number and content."),
                    errhint("Copy the export again.")));
    pg_unreachable();
}

Jsonb* parsed(const char* json) {
    Jsonb* object = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
    if (!JB_ROOT_IS_OBJECT(object)) raise_member("crc");
    return object;
}

}  // namespace

Jsonb* read_part(int64 line, const char* data, Size length) {
    return parsed(checked_part(line, data, length));
}

// The long string goes from text to bytes without the detour of a JSON parser. It is found by what
// no JSON string can contain, a quotation mark that is not escaped.
Jsonb* read_model_part(int64 line, const char* data, Size length, struct varlena** model) {
    char* part = checked_part(line, data, length);
    char* const start = strstr(part, kModelStart);
    if (start == nullptr) raise_member("model");
    char* const text = start + sizeof kModelStart - 1;
    const int n = static_cast<int>(strcspn(text, "\""));
    if (strcmp(text + n, "\"}") != 0) raise_member("model");
    const int room = pg_b64_dec_len(n);
    *model = static_cast<struct varlena*>(palloc(static_cast<Size>(room) + VARHDRSZ));
    const int bytes = pg::base64_decode(text, n, VARDATA(*model), room);
    if (bytes < 0) raise_member("model");
    SET_VARSIZE(*model, static_cast<Size>(bytes) + VARHDRSZ);
    strcpy(start, "}");
    return parsed(part);
}

void raise_member(const char* name) {
    ereport(ERROR, (errcode(ERRCODE_BAD_COPY_FILE_FORMAT),
                    errmsg("the export has no valid value for \"%s\"", name),
                    errdetail("The line is intact: it was written so.")));
    pg_unreachable();
}

namespace {

const JsonbValue* find_member(Jsonb* object, const char* name, JsonbValue* space) {
    const JsonbValue* value =
        getKeyJsonValueFromContainer(&object->root, name, static_cast<int>(strlen(name)), space);
    if (value == nullptr) raise_member(name);
    return value;
}

Numeric numeric_member(Jsonb* object, const char* name) {
    JsonbValue space;
    const JsonbValue* value = find_member(object, name, &space);
    if (value->type != jbvNumeric) raise_member(name);
    return value->val.numeric;
}

}  // namespace

bool member_is_null(Jsonb* object, const char* name) {
    JsonbValue space;
    return find_member(object, name, &space)->type == jbvNull;
}

char* string_member(Jsonb* object, const char* name, int max_bytes, bool null_allowed) {
    JsonbValue space;
    const JsonbValue* value = find_member(object, name, &space);
    if (value->type == jbvNull && null_allowed) return nullptr;
    if (value->type != jbvString || value->val.string.len > max_bytes) raise_member(name);
    return pnstrdup(value->val.string.val, static_cast<Size>(value->val.string.len));
}

int64 int_member(Jsonb* object, const char* name, int64 low, int64 high) {
    const Datum number = NumericGetDatum(numeric_member(object, name));
    const Datum whole = DirectFunctionCall2(numeric_trunc, number, Int32GetDatum(0));
    if (!DatumGetBool(DirectFunctionCall2(numeric_eq, number, whole)) ||
        !DatumGetBool(DirectFunctionCall2(numeric_ge, number,
                                          DirectFunctionCall1(int8_numeric, Int64GetDatum(low)))) ||
        !DatumGetBool(DirectFunctionCall2(numeric_le, number,
                                          DirectFunctionCall1(int8_numeric, Int64GetDatum(high)))))
        raise_member(name);
    return DatumGetInt64(DirectFunctionCall1(numeric_int8, number));
}

float4 real_member(Jsonb* object, const char* name) {
    const float8 value = DatumGetFloat8(DirectFunctionCall1(
        numeric_float8_no_overflow, NumericGetDatum(numeric_member(object, name))));
    const auto real = static_cast<float4>(value);
    if (!std::isfinite(real) || real < 0) raise_member(name);
    return real;
}

Jsonb* object_member(Jsonb* object, const char* name) {
    JsonbValue space;
    const JsonbValue* value = find_member(object, name, &space);
    if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
        raise_member(name);
    return JsonbValueToJsonb(const_cast<JsonbValue*>(value));
}

char** strings_member(Jsonb* object, const char* name, int max_bytes, bool empty_allowed,
                      bool null_allowed, int* n) {
    JsonbValue space;
    const JsonbValue* value = find_member(object, name, &space);
    *n = -1;
    if (value->type == jbvNull && null_allowed) return nullptr;
    if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
        raise_member(name);
    const auto size = static_cast<int>(JsonContainerSize(value->val.binary.data));
    char** strings = static_cast<char**>(palloc(sizeof(char*) * (static_cast<Size>(size) + 1)));
    for (int i = 0; i < size; ++i) {
        const JsonbValue* element =
            getIthJsonbValueFromContainer(value->val.binary.data, static_cast<uint32>(i));
        if (element == nullptr || element->type != jbvString ||
            element->val.string.len > max_bytes || (element->val.string.len == 0 && !empty_allowed))
            raise_member(name);
        strings[i] = pnstrdup(element->val.string.val, static_cast<Size>(element->val.string.len));
    }
    *n = size;
    return strings;
}

// --- Digest ---------------------------------------------------------------------------------------

struct Digest {
    pg_cryptohash_ctx* context;
};

namespace {

[[noreturn]] void raise_digest(const Digest* digest) {
    ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute %s: %s", "SHA-256",
                                                            pg_cryptohash_error(digest->context))));
    pg_unreachable();
}

}  // namespace

Digest* digest_begin() {
    auto* digest = static_cast<Digest*>(palloc(sizeof(Digest)));
    digest->context = pg_cryptohash_create(PG_SHA256);
    if (digest->context == nullptr || pg_cryptohash_init(digest->context) < 0) raise_digest(digest);
    return digest;
}

void digest_add(Digest* digest, const char* part, Size length) {
    static const uint8 line_feed = '\n';
    if (pg_cryptohash_update(digest->context, reinterpret_cast<const uint8*>(part), length) < 0 ||
        pg_cryptohash_update(digest->context, &line_feed, 1) < 0)
        raise_digest(digest);
}

char* digest_end(Digest* digest) {
    uint8 bytes[PG_SHA256_DIGEST_LENGTH];
    if (pg_cryptohash_final(digest->context, bytes, sizeof bytes) < 0) raise_digest(digest);
    pg_cryptohash_free(digest->context);
    pfree(digest);
    auto* hex = static_cast<char*>(palloc(2 * sizeof bytes + 1));
    hex[hex_encode(reinterpret_cast<const char*>(bytes), sizeof bytes, hex)] = '\0';
    return hex;
}

}  // namespace many::transfer
