// Times of series between the server and the core: kinds of time columns, values, time zones.
#pragma once

#include "core/forecasters/time_grid.h"
#include "pg/server.h"

namespace many::pg {

// The zone of a spec, for the core; the names are those of the server's own time zones.
core::TimeZoneMap time_zone_map(const char* zone);

core::TimeType time_type_of(Oid type);

// The time of a time column as the core has it (see time_grid.h), as a datum of its type, and back.
Datum time_datum(Oid type, int64 time);
inline int64 time_number(Oid type, Datum value) {
    switch (type) {
        case INT2OID:
            return DatumGetInt16(value);
        case INT4OID:
            return DatumGetInt32(value);
        case DATEOID:
            return DatumGetDateADT(value);
        default:
            return DatumGetInt64(value);
    }
}
// Whether the type has the time: whole numbers may count on beyond the last of theirs.
bool time_fits(Oid type, int64 time);

}  // namespace many::pg
