// How a column's value becomes a feature: a number, or the text of a level.
//
// Numbers: float4/8, int2/4/8, numeric (rounded to float8), boolean (0/1), date (days since
// 1970-01-01), timestamp and timestamptz (seconds since 1970-01-01 00:00, timestamptz in UTC).
// Levels: text, varchar, bpchar, name, enum (the label). Domains read as their base type.
// Training (engine/) and scoring (serving/) share this, so that a column means the same in both.
#pragma once

#include "pg/server.h"

namespace many::pg {

enum class FeatureKind : uint8 { number, level };

// Plain data; may live in palloc'd memory. Filled once per query, used per row.
struct FeatureReader {
    Oid type;  // base type
    FeatureKind kind;
    bool is_enum;
    Oid last_enum;  // enum: label of the value read last
    NameData last_label;
};

// False when the type cannot be a feature.
bool feature_reader_init(FeatureReader* reader, Oid type);

// kind number. infinite dates and timestamps give infinity; never raises but for corrupt data.
double feature_number(const FeatureReader* reader, Datum value);

// A numeric as the nearest float8; infinity beyond its range. Takes any varlena form. About 10 ns for
// up to 16 digits, where the server's own conversion goes through text.
double numeric_number(Datum value);

// kind level: the text and its length. May point into the datum or the reader; valid until the next
// call with the same reader or until the datum goes away. Detoasts into the current context when it
// must.
const char* feature_text(FeatureReader* reader, Datum value, uint32* length);

// The 64-bit key of a level's text.
uint64 level_key(const char* text, uint32 length);

// The unit in which a column's numbers are, for documentation in runs: "number", "0/1", "days since
// 1970-01-01", "seconds since 1970-01-01", "level".
const char* feature_unit(Oid type);

}  // namespace many::pg
