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
            return numeric_number(value);
    }
}

// The stored form of numeric (it cannot change: pg_upgrade keeps it). A 16-bit header, short
// (0x8000: sign 0x2000, weight in the low 7 bits) or long (sign 0xC000, then a 16-bit weight), then
// digits to base 10000, the first worth 10000^weight. With up to 2^53 as an integer and a power of
// ten up to 10^22, both exact, one multiplication or division rounds correctly (Clinger 1990).
double numeric_number(Datum value) {
    static constexpr double powers[] = {1e0, 1e4, 1e8, 1e12, 1e16, 1e20};
    const auto* packed = reinterpret_cast<const struct varlena*>(DatumGetPointer(value));
    if (!VARATT_IS_EXTERNAL(packed) && !VARATT_IS_COMPRESSED(packed)) {
        const char* data = VARDATA_ANY(packed);
        const int size = static_cast<int>(VARSIZE_ANY_EXHDR(packed));
        uint16 header;
        memcpy(&header, data, sizeof header);
        const bool is_short = (header & 0xC000) == 0x8000;
        const bool is_special = (header & 0xC000) == 0xC000;
        const int skip = is_short ? 2 : 4;
        const int n_digits = (size - skip) / 2;
        if (!is_special && n_digits <= 4) {
            int weight;
            bool negative;
            if (is_short) {
                weight = (header & 0x0040) != 0 ? static_cast<int>(header & 0x003F) - 64
                                                : static_cast<int>(header & 0x003F);
                negative = (header & 0x2000) != 0;
            } else {
                int16 stored;
                memcpy(&stored, data + 2, sizeof stored);
                weight = stored;
                negative = (header & 0xC000) == 0x4000;
            }
            int64 mantissa = 0;
            for (int i = 0; i < n_digits; ++i) {
                int16 digit;
                memcpy(&digit, data + skip + 2 * i, sizeof digit);
                mantissa = mantissa * 10000 + digit;
            }
            const int power = weight - n_digits + 1;  // of 10000
            if (mantissa <= (INT64CONST(1) << 53) && power >= -5 && power <= 5) {
                const double whole = static_cast<double>(mantissa);
                const double number = power >= 0 ? whole * powers[power] : whole / powers[-power];
                return negative ? -number : number;
            }
        }
    }
    return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, value));
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
