// Partition keys as jsonb and as a hash, and back.
//
// jsonb form: {"store": 1, "product": "A"}: numbers for integers and finite numerics and floats,
// booleans, null; everything else a string in the type's text form under fixed settings
// (DateStyle ISO, IntervalStyle postgres, UTC for timestamptz, full float digits). So
// (partition_key ->> 'col')::type gives the value back under any settings of the session.
//
// Canonical hash: equal keys hash equal on any server, version or encoding-independent platform,
// which the types' own hash functions do not promise (enum hashes its OID). Columns of types whose
// equality is not equality of their canonical text (nondeterministic collations, arrays, types of
// extensions) add nothing to the hash: rows found by it are always checked with the type's own
// equality.
#pragma once

#include "pg/server.h"

namespace many::registry {

struct KeyColumn {
    const char* name;
    Oid type;  // as declared (may be a domain)
    Oid base_type;
    Oid collation;
    int16 typlen;
    bool typbyval;
    char typalign;
    FmgrInfo output;
    FmgrInfo equal;  // the type's own equality operator
    bool text_is_canonical;
};

// Whether reading a value of the type from text may run functions of any user: those of constraints
// of a domain within it. A domain itself is read as its base type. Partition keys of such types are
// refused, at training and wherever stored keys are read: predict runs as whoever calls it.
bool key_type_runs_code(Oid base_type);

// Fills a column's entry; raises 42883 when the type has no equality or hash, 0A000 when reading its
// values may run code.
void key_column_init(KeyColumn* column, const char* name, Oid type, Oid collation);

// values/nulls -> jsonb, in column order of the key; palloc'd.
Jsonb* key_to_jsonb(KeyColumn* columns, int n, const Datum* values, const bool* nulls);

// The canonical hash.
int64 key_hash(KeyColumn* columns, int n, const Datum* values, const bool* nulls);

// Parses a user's key object: every partition column must be there, no other. 22023 otherwise, with
// a hint that lists the columns. Strings and numbers are both accepted for any type.
void key_from_jsonb(KeyColumn* columns, int n, Jsonb* key, Datum* values, bool* nulls);

// One column's value; false when it is NULL or not there.
bool key_value_from_jsonb(const KeyColumn* column, Jsonb* key, Datum* value);

// SQL for one column's value, in the type that training compared (a domain's base type): `key` is an
// expression for the partition key. Not by a cast where the type is a user's: CREATE CAST may have
// given text -> type a function, which would run as whoever reads.
char* key_value_sql(const char* key, const char* column, Oid type);

// Raises 22023 when the object names a column that is none of these.
void require_key_columns(const KeyColumn* columns, int n, Jsonb* key);

// True when both keys are equal under the types' own equality (NULL equals NULL).
bool keys_equal(KeyColumn* columns, int n, const Datum* a, const bool* a_null, const Datum* b,
                const bool* b_null);

}  // namespace many::registry
