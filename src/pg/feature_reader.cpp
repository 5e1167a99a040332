// From a column's value to a feature: see feature_reader.h.
#include "pg/feature_reader.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "core/learners/group_trainer.h"

extern "C" {
#include "catalog/pg_enum.h"
#include "common/hashfn.h"
}

namespace many::pg {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kEpochDays = POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE;

double date_number(DateADT date) {
    if (DATE_IS_NOBEGIN(date)) return -kInfinity;
    if (DATE_IS_NOEND(date)) return kInfinity;
    return static_cast<double>(date) + kEpochDays;
}

double timestamp_number(Timestamp timestamp) {
    if (TIMESTAMP_IS_NOBEGIN(timestamp)) return -kInfinity;
    if (TIMESTAMP_IS_NOEND(timestamp)) return kInfinity;
    // In two parts: the sum in microseconds may overflow, and would round twice.
    const int64 seconds = timestamp / USECS_PER_SEC + static_cast<int64>(kEpochDays) * SECS_PER_DAY;
    const int64 rest = timestamp % USECS_PER_SEC;
    return static_cast<double>(seconds) + static_cast<double>(rest) / USECS_PER_SEC;
}

// The label of an enum value; the reader remembers the last one.
void read_label(FeatureReader* reader, Oid value) {
    if (value == reader->last_enum) return;
    HeapTuple tuple = SearchSysCache1(ENUMOID, ObjectIdGetDatum(value));
    if (!HeapTupleIsValid(tuple))
        ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
                        errmsg("invalid internal value for enum: %u", value)));
    reader->last_label = reinterpret_cast<Form_pg_enum>(GETSTRUCT(tuple))->enumlabel;
    ReleaseSysCache(tuple);
    reader->last_enum = value;
}

}  // namespace

bool feature_reader_init(FeatureReader* reader, Oid type) {
    *reader = FeatureReader{};
    reader->type = getBaseType(type);
    reader->last_enum = InvalidOid;
    switch (reader->type) {
        case FLOAT4OID:
        case FLOAT8OID:
        case INT2OID:
        case INT4OID:
        case INT8OID:
        case NUMERICOID:
        case BOOLOID:
        case DATEOID:
        case TIMESTAMPOID:
        case TIMESTAMPTZOID:
            reader->kind = FeatureKind::number;
            return true;
        case TEXTOID:
        case VARCHAROID:
        case BPCHAROID:
        case NAMEOID:
            reader->kind = FeatureKind::level;
            return true;
        default:
            reader->kind = FeatureKind::level;
            reader->is_enum = type_is_enum(reader->type);
            return reader->is_enum;
    }
}

double feature_number(const FeatureReader* reader, Datum value) {
    switch (reader->type) {
        case FLOAT8OID:
            return DatumGetFloat8(value);
        case FLOAT4OID:
            return DatumGetFloat4(value);
        case INT4OID:
            return DatumGetInt32(value);
        case INT8OID:
            return static_cast<double>(DatumGetInt64(value));
        case INT2OID:
            return DatumGetInt16(value);
        case BOOLOID:
            return DatumGetBool(value) ? 1 : 0;
        case DATEOID:
            return date_number(DatumGetDateADT(value));
        case TIMESTAMPOID:
        case TIMESTAMPTZOID:
            return timestamp_number(DatumGetTimestamp(value));
        default:
            return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, value));
    }
}

const char* feature_text(FeatureReader* reader, Datum value, uint32* length) {
    if (reader->is_enum) {
        read_label(reader, DatumGetObjectId(value));
        *length = static_cast<uint32>(strlen(NameStr(reader->last_label)));
        return NameStr(reader->last_label);
    }
    if (reader->type == NAMEOID) {
        const char* name = NameStr(*DatumGetName(value));
        *length = static_cast<uint32>(strnlen(name, NAMEDATALEN));
        return name;
    }
    const text* packed = DatumGetTextPP(value);
    const char* data = VARDATA_ANY(packed);
    uint32 n = static_cast<uint32>(VARSIZE_ANY_EXHDR(packed));
    if (reader->type == BPCHAROID)
        while (n > 0 && data[n - 1] == ' ') --n;
    *length = n;
    return data;
}

uint64 level_key(const char* text, uint32 length) {
    const uint64 key = hash_bytes_extended(reinterpret_cast<const unsigned char*>(text),
                                           static_cast<int>(length), 0x6d616e79);
    // The bit pattern that stands for NULL in rows is not a key.
    const double null = core::null_value();
    uint64 null_bits;
    memcpy(&null_bits, &null, sizeof null_bits);
    return key == null_bits ? key ^ 1 : key;
}

const char* feature_unit(Oid type) {
    switch (getBaseType(type)) {
        case BOOLOID:
            return "0/1";
        case DATEOID:
            return "days since 1970-01-01";
        case TIMESTAMPOID:
        case TIMESTAMPTZOID:
            return "seconds since 1970-01-01";
        case FLOAT4OID:
        case FLOAT8OID:
        case INT2OID:
        case INT4OID:
        case INT8OID:
        case NUMERICOID:
            return "number";
        default:
            return "level";
    }
}

}  // namespace many::pg
