// A set of partial partition keys, such as {"store": 7}, and whether a partition key contains one of
// them. The keys of a narrowed grant: a role may hold thousands.
//
// Keys of the same columns share a hash table, so that a test costs one look-up for each combination
// of columns that occurs, and not for each key. What the hash finds is confirmed by containment.
#pragma once

#include "pg/server.h"

namespace many::registry {

struct KeyFilter;

// Empty, in the current memory context; keys are copied to it. They are objects of plain values.
KeyFilter* key_filter_create();
void key_filter_add(KeyFilter* filter, Jsonb* key, uint8 privileges);

// Whether `partition_key` contains a key that was added with one of these privileges.
bool key_filter_matches(const KeyFilter* filter, Jsonb* partition_key, uint8 privileges);

}  // namespace many::registry
