// Partial partition keys by hash: see key_filter.h. Only plain data: everything may raise.
#include "registry/key_filter.h"

#include <cstring>

namespace many::registry {

namespace {

constexpr uint32 kFirstBuckets = 16;

struct Key {
    Key* next;
    uint32 hash;
    uint8 privileges;
    Jsonb* key;
};

struct Column {
    const char* name;
    int length;
};

// Keys that name the same columns.
struct Shape {
    Shape* next;
    int n_columns;
    Column* columns;  // in jsonb's order of names
    uint32 n_keys;
    uint32 n_buckets;  // a power of two
    Key** buckets;
};

}  // namespace

struct KeyFilter {
    MemoryContext context;
    Shape* shapes;
};

namespace {

bool is_shape(const Shape* shape, const Column* columns, int n) {
    if (shape->n_columns != n) return false;
    for (int i = 0; i < n; ++i)
        if (shape->columns[i].length != columns[i].length ||
            memcmp(shape->columns[i].name, columns[i].name, columns[i].length) != 0)
            return false;
    return true;
}

// The columns of a key, pointing into it, and the hash of its values in their order.
Column* columns_of(Jsonb* key, int* n, uint32* hash) {
    auto* columns = static_cast<Column*>(palloc(sizeof(Column) * (JB_ROOT_COUNT(key) + 1)));
    JsonbIterator* iterator = JsonbIteratorInit(&key->root);
    JsonbValue item;
    JsonbIteratorToken token;
    *n = 0;
    *hash = 0;
    while ((token = JsonbIteratorNext(&iterator, &item, true)) != WJB_DONE) {
        if (token == WJB_KEY)
            columns[(*n)++] = {item.val.string.val, item.val.string.len};
        else if (token == WJB_VALUE)
            JsonbHashScalarValue(&item, hash);
    }
    return columns;
}

void grow(Shape* shape) {
    const uint32 n = shape->n_buckets * 2;
    auto** buckets = static_cast<Key**>(palloc0(sizeof(Key*) * n));
    for (uint32 i = 0; i < shape->n_buckets; ++i)
        for (Key* key = shape->buckets[i]; key != nullptr;) {
            Key* next = key->next;
            Key** bucket = &buckets[key->hash & (n - 1)];
            key->next = *bucket;
            *bucket = key;
            key = next;
        }
    pfree(shape->buckets);
    shape->buckets = buckets;
    shape->n_buckets = n;
}

Shape* shape_of(KeyFilter* filter, Column* columns, int n) {
    for (Shape* shape = filter->shapes; shape != nullptr; shape = shape->next)
        if (is_shape(shape, columns, n)) return shape;
    auto* shape = static_cast<Shape*>(palloc0(sizeof(Shape)));
    shape->n_columns = n;
    shape->columns = columns;
    shape->n_buckets = kFirstBuckets;
    shape->buckets = static_cast<Key**>(palloc0(sizeof(Key*) * kFirstBuckets));
    shape->next = filter->shapes;
    filter->shapes = shape;
    return shape;
}

// False when the partition key lacks a column of the shape.
bool hash_of(const Shape* shape, Jsonb* partition_key, uint32* hash) {
    *hash = 0;
    for (int i = 0; i < shape->n_columns; ++i) {
        JsonbValue space;
        const JsonbValue* value = getKeyJsonValueFromContainer(
            &partition_key->root, shape->columns[i].name, shape->columns[i].length, &space);
        if (value == nullptr || !IsAJsonbScalar(value)) return false;
        JsonbHashScalarValue(value, hash);
    }
    return true;
}

}  // namespace

KeyFilter* key_filter_create() {
    auto* filter = static_cast<KeyFilter*>(palloc0(sizeof(KeyFilter)));
    filter->context = CurrentMemoryContext;
    return filter;
}

void key_filter_add(KeyFilter* filter, Jsonb* key, uint8 privileges) {
    const MemoryContext old = MemoryContextSwitchTo(filter->context);
    auto* copy = static_cast<Jsonb*>(palloc(VARSIZE(key)));
    memcpy(static_cast<void*>(copy), key, VARSIZE(key));
    int n;
    uint32 hash;
    Column* columns = columns_of(copy, &n, &hash);
    Shape* shape = shape_of(filter, columns, n);
    if (shape->n_keys >= shape->n_buckets) grow(shape);
    auto* entry = static_cast<Key*>(palloc(sizeof(Key)));
    Key** bucket = &shape->buckets[hash & (shape->n_buckets - 1)];
    *entry = {*bucket, hash, privileges, copy};
    *bucket = entry;
    ++shape->n_keys;
    MemoryContextSwitchTo(old);
}

bool key_filter_matches(const KeyFilter* filter, Jsonb* partition_key, uint8 privileges) {
    if (!JB_ROOT_IS_OBJECT(partition_key)) return false;
    for (const Shape* shape = filter->shapes; shape != nullptr; shape = shape->next) {
        uint32 hash;
        if (!hash_of(shape, partition_key, &hash)) continue;
        for (const Key* key = shape->buckets[hash & (shape->n_buckets - 1)]; key != nullptr;
             key = key->next)
            if (key->hash == hash && (key->privileges & privileges) != 0 &&
                DatumGetBool(DirectFunctionCall2(jsonb_contains, JsonbPGetDatum(partition_key),
                                                 JsonbPGetDatum(key->key))))
                return true;
    }
    return false;
}

}  // namespace many::registry
