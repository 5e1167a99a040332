// See series_time.h. Plain C++ without destructors.
#include "pg/series_time.h"

namespace many::pg {

namespace {

// Local time and back, in a zone of the server's; neither raises.
int64 to_local(const void* zone, int64 absolute) {
    struct pg_tm tm;
    fsec_t fraction;
    int offset;
    Timestamp local;
    if (timestamp2tm(absolute, &offset, &tm, &fraction, nullptr, (pg_tz*)zone) != 0 ||
        tm2timestamp(&tm, fraction, nullptr, &local) != 0)
        return absolute;
    return local;
}

int64 to_absolute(const void* zone, int64 local) {
    struct pg_tm tm;
    fsec_t fraction;
    Timestamp absolute;
    const int64 beyond = local < 0 ? PG_INT64_MIN : PG_INT64_MAX;  // the range of the type
    if (timestamp2tm(local, nullptr, &tm, &fraction, nullptr, nullptr) != 0) return beyond;
    int offset = DetermineTimeZoneOffset(&tm, (pg_tz*)zone);
    if (tm2timestamp(&tm, fraction, &offset, &absolute) != 0) return beyond;
    return absolute;
}

}  // namespace

core::TimeType time_type_of(Oid type) {
    switch (type) {
        case DATEOID:
            return core::TimeType::date;
        case TIMESTAMPOID:
            return core::TimeType::timestamp;
        case TIMESTAMPTZOID:
            return core::TimeType::timestamptz;
        default:
            return core::TimeType::integer;
    }
}

core::TimeZoneMap time_zone_map(const char* zone) {
    core::TimeZoneMap map;
    pg_tz* found = zone[0] == '\0' ? nullptr : pg_tzset(zone);
    if (found == nullptr) return map;
    map.to_local = to_local;
    map.to_absolute = to_absolute;
    map.zone = found;
    return map;
}

Datum time_datum(Oid type, int64 time) {
    switch (type) {
        case INT2OID:
            return Int16GetDatum((int16)time);
        case INT4OID:
            return Int32GetDatum((int32)time);
        case DATEOID:
            return DateADTGetDatum((DateADT)time);
        default:
            return Int64GetDatum(time);
    }
}

bool time_fits(Oid type, int64 time) {
    switch (type) {
        case INT2OID:
            return time >= PG_INT16_MIN && time <= PG_INT16_MAX;
        case INT4OID:
            return time >= PG_INT32_MIN && time <= PG_INT32_MAX;
        case INT8OID:
            return time != PG_INT64_MIN && time != PG_INT64_MAX;  // time_at: beyond the range
        default:
            return true;
    }
}

}  // namespace many::pg
