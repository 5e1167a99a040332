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

// Fills a column's entry; raises 42883 when the type has no equality or hash.
void key_column_init(KeyColumn* column, const char* name, Oid type, Oid collation);

// values/nulls -> jsonb, in column order of the key; palloc'd.
Jsonb* key_to_jsonb(KeyColumn* columns, int n, const Datum* values, const bool* nulls);

// The canonical hash.
int64 key_hash(KeyColumn* columns, int n, const Datum* values, const bool* nulls);

// Parses a user's key object: every partition column must be there, no other. 22023 otherwise, with
// a hint that lists the columns. Strings and numbers are both accepted for any type.
void key_from_jsonb(KeyColumn* columns, int n, Jsonb* key, Datum* values, bool* nulls);

// True when both keys are equal under the types' own equality (NULL equals NULL).
bool keys_equal(KeyColumn* columns, int n, const Datum* a, const bool* a_null, const Datum* b,
                const bool* b_null);

}  // namespace many::registry
