#include "pg/server.h"

#include "engine/key_image.h"

namespace many::engine {

namespace {

constexpr uint64 kHashStart = UINT64CONST(0x8f1bbcdcbfa53e0b);
constexpr uint64 kHashNull = UINT64CONST(0x6a09e667f3bcc909);

inline uint64 mix(uint64 h, uint64 word) {
    h = (h ^ word) * UINT64CONST(0x9fb21c651e98df25);
    return h ^ (h >> 29);
}

inline uint64 finish(uint64 h) {
    h *= UINT64CONST(0xbf58476d1ce4e5b9);
    h ^= h >> 31;
    h *= UINT64CONST(0x94d049bb133111eb);
    return h ^ (h >> 30);
}

inline uint32 padded(uint32 length) {
    return (length + 7u) & ~7u;
}

// Room for `more` bytes after `used`; the image may move.
inline char* reserve(KeyCodec* codec, uint32 used, uint32 more) {
    if (used + more > codec->capacity) {
        codec->capacity = (used + more) * 2;
        codec->image = (char*)repalloc(codec->image, codec->capacity);
    }
    return codec->image + used;
}

// Appends a length and bytes, zero-padded to 8; returns the new length of the image.
inline uint32 append_bytes(KeyCodec* codec, uint32 used, const char* bytes, uint32 n) {
    const uint32 total = padded(sizeof(uint32) + n);
    char* p = reserve(codec, used, total);
    memset(p + total - 8, 0, 8);
    memcpy(p, &n, sizeof n);
    memcpy(p + sizeof n, bytes, n);
    return used + total;
}

// A by-value datum as a tuple gives it: sign-extended from the width of its type.
inline Datum canonical_by_value(const KeySpec* key, Datum value) {
    const int shift = 64 - 8 * key->typlen;
    return (Datum)((int64)((uint64)value << shift) >> shift);
}

// Such a datum in the width of its type, at any address, and back.
inline void store_by_value(char* to, int16 typlen, Datum value) {
    const auto v2 = (int16)value;
    const auto v4 = (int32)value;
    if (typlen == 8)
        memcpy(to, &value, 8);
    else if (typlen == 4)
        memcpy(to, &v4, 4);
    else if (typlen == 2)
        memcpy(to, &v2, 2);
    else
        *to = (char)value;
}

inline Datum load_by_value(const char* from, int16 typlen) {
    int64 v8;
    int32 v4;
    int16 v2;
    if (typlen == 4) {
        memcpy(&v4, from, 4);
        return (Datum)(int64)v4;
    }
    if (typlen == 8) {
        memcpy(&v8, from, 8);
        return (Datum)v8;
    }
    if (typlen == 2) {
        memcpy(&v2, from, 2);
        return (Datum)(int64)v2;
    }
    return (Datum)(int64)(signed char)*from;
}

inline Datum canonical_float8(Datum value) {
    const float8 v = DatumGetFloat8(value);
    if (v != v) return Float8GetDatum(__builtin_nan(""));
    return v == 0 ? Float8GetDatum(0.0) : value;
}

inline Datum canonical_float4(Datum value) {
    const float4 v = DatumGetFloat4(value);
    if (v != v) return Float4GetDatum(__builtin_nanf(""));
    return v == 0 ? Float4GetDatum(0.0F) : value;
}

uint32 append_generic(KeyCodec* codec, uint32 used, int column, Datum value, uint64* hash) {
    const KeySpec* key = &codec->keys[column];
    const Datum h = FunctionCall2Coll(&codec->hash[column], key->collation, value, 0);
    *hash = mix(*hash, DatumGetUInt64(h));
    if (key->typbyval) return append_bytes(codec, used, (const char*)&value, sizeof value);
    if (key->typlen > 0)
        return append_bytes(codec, used, DatumGetPointer(value), (uint32)key->typlen);
    struct varlena* packed = PG_DETOAST_DATUM_PACKED(value);
    used = append_bytes(codec, used, VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed));
    if ((Pointer)packed != DatumGetPointer(value)) pfree(packed);
    return used;
}

uint32 append_text(KeyCodec* codec, uint32 used, bool trim, Datum value, uint64* hash) {
    struct varlena* packed = PG_DETOAST_DATUM_PACKED(value);
    const char* bytes = VARDATA_ANY(packed);
    uint32 n = VARSIZE_ANY_EXHDR(packed);
    if (trim)
        while (n > 0 && bytes[n - 1] == ' ') n--;
    const uint32 start = used;
    used = append_bytes(codec, used, bytes, n);
    for (uint32 i = start; i < used; i += 8) {
        uint64 word;
        memcpy(&word, codec->image + i, 8);
        *hash = mix(*hash, word);
    }
    if ((Pointer)packed != DatumGetPointer(value)) pfree(packed);
    return used;
}

// Value of one column at *position, which moves on.
Datum decode_column(const KeySpec* key, const char** position) {
    const char* p = *position;
    uint32 n;
    Datum value;
    switch (key->form) {
        case KeyForm::by_value:
        case KeyForm::float4:
        case KeyForm::float8:
            memcpy(&value, p, sizeof value);
            *position = p + 8;
            return value;
        case KeyForm::fixed: {
            char* copy = (char*)palloc((Size)key->typlen);
            memcpy(copy, p, (Size)key->typlen);
            *position = p + padded((uint32)key->typlen);
            return PointerGetDatum(copy);
        }
        default:
            break;
    }
    memcpy(&n, p, sizeof n);
    *position = p + padded(sizeof n + n);
    p += sizeof n;
    if (key->typbyval) {
        memcpy(&value, p, sizeof value);
        return value;
    }
    if (key->typlen > 0) {
        char* copy = (char*)palloc(n);
        memcpy(copy, p, n);
        return PointerGetDatum(copy);
    }
    auto* copy = (struct varlena*)palloc(n + VARHDRSZ);
    SET_VARSIZE(copy, n + VARHDRSZ);
    memcpy(VARDATA(copy), p, n);
    return PointerGetDatum(copy);
}

}  // namespace

KeyForm key_form_of(Oid type, Oid collation) {
    switch (type) {
        case BOOLOID:
        case CHAROID:
        case INT2OID:
        case INT4OID:
        case INT8OID:
        case OIDOID:
        case DATEOID:
        case TIMEOID:
        case TIMESTAMPOID:
        case TIMESTAMPTZOID:
            return KeyForm::by_value;
        case FLOAT4OID:
            return KeyForm::float4;
        case FLOAT8OID:
            return KeyForm::float8;
        case UUIDOID:
        case MACADDROID:
            return KeyForm::fixed;
        case BYTEAOID:
            return KeyForm::text;
        case TEXTOID:
        case VARCHAROID:
            return get_collation_isdeterministic(collation) ? KeyForm::text : KeyForm::generic;
        case BPCHAROID:
            return get_collation_isdeterministic(collation) ? KeyForm::padded_text
                                                            : KeyForm::generic;
        default:
            return get_typtype(type) == TYPTYPE_ENUM ? KeyForm::by_value : KeyForm::generic;
    }
}

namespace {

bool has_fixed_width(const KeySpec* key) {
    return key->form == KeyForm::by_value || key->form == KeyForm::float4 ||
           key->form == KeyForm::float8 || key->form == KeyForm::fixed;
}

void measure_fixed_keys(KeyCodec* codec) {
    uint32 full = 8;
    uint32 packed = 0;
    bool fixed = true;
    codec->all_by_value = true;
    for (int i = 0; i < codec->n_keys; i++) {
        const KeySpec* key = &codec->keys[i];
        if (key->form != KeyForm::by_value) codec->all_by_value = false;
        if (!has_fixed_width(key)) {
            fixed = false;
            continue;
        }
        full += padded((uint32)key->typlen);
        packed += (uint32)key->typlen;
    }
    codec->full_length = fixed ? full : 0;
    codec->packed_length = fixed ? padded(packed) : 0;
    if (fixed) (void)reserve(codec, 0, full);
}

}  // namespace

void key_pack(const KeyCodec* codec, const char* image, char* packed) {
    const char* from = image + 8;
    char* to = packed;
    memset(packed + codec->packed_length - 8, 0, codec->packed_length > 0 ? 8 : 0);
    for (int i = 0; i < codec->n_keys; i++) {
        const KeySpec* key = &codec->keys[i];
        if (key->form == KeyForm::fixed) {
            memcpy(to, from, (Size)key->typlen);
        } else {
            Datum value;
            memcpy(&value, from, 8);
            store_by_value(to, key->typlen, value);
        }
        to += key->typlen;
        from += padded((uint32)key->typlen);
    }
}

uint64 key_unpack(KeyCodec* codec, const char* packed) {
    uint64 hash = kHashStart;
    char* to = codec->image;
    memset(to, 0, 8);
    to += 8;
    for (int i = 0; i < codec->n_keys; i++) {
        const KeySpec* key = &codec->keys[i];
        if (key->form == KeyForm::fixed) {
            const uint32 n = padded((uint32)key->typlen);
            memset(to + n - 8, 0, 8);
            memcpy(to, packed, (Size)key->typlen);
            for (uint32 j = 0; j < n; j += 8) {
                uint64 word;
                memcpy(&word, to + j, 8);
                hash = mix(hash, word);
            }
            to += n;
        } else {
            const Datum value = load_by_value(packed, key->typlen);
            memcpy(to, &value, 8);
            hash = mix(hash, (uint64)value);
            to += 8;
        }
        packed += key->typlen;
    }
    codec->length = codec->full_length;
    return finish(hash);
}

namespace {

// key_encode where every column is a plain by-value one.
uint64 encode_by_value(KeyCodec* codec, const NullableDatum* values) {
    uint64 null_mask = 0;
    uint64 hash = kHashStart;
    char* to = codec->image + 8;
    for (int i = 0; i < codec->n_keys; i++) {
        if (unlikely(values[i].isnull)) {
            null_mask |= UINT64CONST(1) << i;
            hash = mix(hash, kHashNull);
            continue;
        }
        const Datum value = canonical_by_value(&codec->keys[i], values[i].value);
        memcpy(to, &value, 8);
        to += 8;
        hash = mix(hash, (uint64)value);
    }
    memcpy(codec->image, &null_mask, 8);
    codec->length = (uint32)(to - codec->image);
    return finish(hash);
}

}  // namespace

void key_codec_init(KeyCodec* codec, RunSpec* spec) {
    memset(codec, 0, sizeof *codec);
    codec->n_keys = spec->n_keys;
    codec->keys = spec->keys();
    codec->capacity = 256;
    codec->image = (char*)palloc(codec->capacity);
    codec->hash = (FmgrInfo*)palloc0(sizeof(FmgrInfo) * (Size)(spec->n_keys + 1));
    codec->equal = (FmgrInfo*)palloc0(sizeof(FmgrInfo) * (Size)(spec->n_keys + 1));
    measure_fixed_keys(codec);
    for (int i = 0; i < codec->n_keys; i++) {
        if (codec->keys[i].form != KeyForm::generic) continue;
        codec->has_generic = true;
        TypeCacheEntry* cache = lookup_type_cache(
            codec->keys[i].type, TYPECACHE_HASH_EXTENDED_PROC | TYPECACHE_EQ_OPR_FINFO);
        fmgr_info(cache->hash_extended_proc, &codec->hash[i]);
        fmgr_info(cache->eq_opr_finfo.fn_oid, &codec->equal[i]);
    }
}

uint64 key_encode(KeyCodec* codec, const NullableDatum* values) {
    if (likely(codec->all_by_value)) return encode_by_value(codec, values);
    uint64 null_mask = 0;
    uint64 hash = kHashStart;
    uint32 used = 8;
    for (int i = 0; i < codec->n_keys; i++) {
        const KeySpec* key = &codec->keys[i];
        if (values[i].isnull) {
            null_mask |= UINT64CONST(1) << i;
            hash = mix(hash, kHashNull);
            continue;
        }
        Datum value = values[i].value;
        switch (key->form) {
            case KeyForm::float4:
                value = canonical_float4(value);
                break;
            case KeyForm::float8:
                value = canonical_float8(value);
                break;
            case KeyForm::text:
            case KeyForm::padded_text:
                used = append_text(codec, used, key->form == KeyForm::padded_text, value, &hash);
                continue;
            case KeyForm::fixed: {
                const uint32 n = padded((uint32)key->typlen);
                char* p = reserve(codec, used, n);
                memset(p + n - 8, 0, 8);
                memcpy(p, DatumGetPointer(value), (Size)key->typlen);
                for (uint32 j = 0; j < n; j += 8) {
                    uint64 word;
                    memcpy(&word, p + j, 8);
                    hash = mix(hash, word);
                }
                used += n;
                continue;
            }
            case KeyForm::generic:
                used = append_generic(codec, used, i, value, &hash);
                continue;
            case KeyForm::by_value:
                value = canonical_by_value(key, value);
                break;
        }
        memcpy(reserve(codec, used, 8), &value, 8);
        used += 8;
        hash = mix(hash, (uint64)value);
    }
    memcpy(codec->image, &null_mask, 8);
    codec->length = used;
    return finish(hash);
}

void key_decode(const KeyCodec* codec, const char* image, Datum* values, bool* nulls) {
    uint64 null_mask;
    memcpy(&null_mask, image, 8);
    const char* p = image + 8;
    for (int i = 0; i < codec->n_keys; i++) {
        nulls[i] = ((null_mask >> i) & 1) != 0;
        values[i] = nulls[i] ? (Datum)0 : decode_column(&codec->keys[i], &p);
    }
}

bool key_equal_slow(KeyCodec* codec, const char* a, uint32, const char* b, uint32) {
    uint64 a_nulls;
    uint64 b_nulls;
    memcpy(&a_nulls, a, 8);
    memcpy(&b_nulls, b, 8);
    if (a_nulls != b_nulls) return false;
    const char* pa = a + 8;
    const char* pb = b + 8;
    for (int i = 0; i < codec->n_keys; i++) {
        if (((a_nulls >> i) & 1) != 0) continue;
        const KeySpec* key = &codec->keys[i];
        const char* a_start = pa;
        const char* b_start = pb;
        const Datum va = decode_column(key, &pa);
        const Datum vb = decode_column(key, &pb);
        const bool same =
            pa - a_start == pb - b_start && memcmp(a_start, b_start, (size_t)(pa - a_start)) == 0;
        const bool equal =
            same || (key->form == KeyForm::generic &&
                     DatumGetBool(FunctionCall2Coll(&codec->equal[i], key->collation, va, vb)));
        const bool by_reference = !key->typbyval;
        if (by_reference) {
            pfree(DatumGetPointer(va));
            pfree(DatumGetPointer(vb));
        }
        if (!equal) return false;
    }
    return true;
}

const Override* find_override(KeyCodec* codec, RunSpec* spec, const char* image) {
    const Override* found = nullptr;
    Datum values[kMaxKeys];
    bool nulls[kMaxKeys];
    const char* p = spec->overrides();
    if (spec->n_overrides == 0) return nullptr;
    key_decode(codec, image, values, nulls);
    for (int o = 0; o < spec->n_overrides; o++) {
        const auto* override = (const Override*)p;
        const char* q = p + MAXALIGN(sizeof(Override));
        bool matches = true;
        for (int i = 0; i < spec->n_keys && matches; i++) {
            if (((override->columns >> i) & 1) == 0) continue;
            const bool wants_null = ((override->null_columns >> i) & 1) != 0;
            if (wants_null != nulls[i]) matches = false;
            if (wants_null || !matches) continue;
            KeySpec key = spec->keys()[i];
            TypeCacheEntry* cache = lookup_type_cache(key.type, TYPECACHE_EQ_OPR_FINFO);
            key.form = KeyForm::generic;  // overrides are stored in the generic form
            const Datum wanted = decode_column(&key, &q);
            matches = DatumGetBool(
                FunctionCall2Coll(&cache->eq_opr_finfo, key.collation, wanted, values[i]));
        }
        if (matches) found = override;
        p += override->bytes;
    }
    return found;
}

}  // namespace many::engine
