// A partition key as bytes: what groups are compared and hashed by.
//
// Layout: uint64 bitmask of NULL columns, then per non-NULL column
//   by_value             8 bytes (the Datum)
//   float4, float8       8 bytes (the Datum), -0 as 0 and every NaN as one NaN
//   text, padded_text    uint32 length, the bytes (padded_text without trailing blanks), to 8
//   fixed                typlen bytes, to 8
//   generic              uint32 length, the bytes of the datum without its varlena header, to 8
// Every image is a multiple of 8 bytes long. For all forms but generic, equal keys have equal
// images. Generic columns are hashed and compared by the type's own functions; of the equal images
// of a group the bytewise smallest represents it, so that the choice does not depend on the order
// of the rows.
#pragma once

#include "engine/run_segment.h"

namespace many::engine {

struct KeyCodec {
    int n_keys;
    bool has_generic;
    bool all_by_value;     // every form is by_value
    uint32 full_length;    // of an image without NULLs, if all columns have a fixed width; else 0
    uint32 packed_length;  // of such a key without what its image pads; multiple of 8
    const KeySpec* keys;
    FmgrInfo* hash;   // generic columns: extended hash function
    FmgrInfo* equal;  // generic columns: equality
    char* image;      // of the key encoded last
    uint32 length;
    uint32 capacity;
};

KeyForm key_form_of(Oid base_type, Oid collation);

// Looks up functions; allocates in the current context.
void key_codec_init(KeyCodec* codec, RunSpec* spec);

// Encodes values into codec->image and returns the hash.
uint64 key_encode(KeyCodec* codec, const NullableDatum* values);

// Whether n bytes are the same, n a multiple of 8.
inline bool same_words(const char* a, const char* b, uint32 n) {
    uint64 difference = 0;
    for (uint32 i = 0; i < n; i += 8) {
        uint64 wa;
        uint64 wb;
        memcpy(&wa, a + i, 8);
        memcpy(&wb, b + i, 8);
        difference |= wa ^ wb;
    }
    return difference == 0;
}

// Equality of two images of equal hash.
bool key_equal_slow(KeyCodec* codec, const char* a, uint32 a_length, const char* b,
                    uint32 b_length);
inline bool key_equal(KeyCodec* codec, const char* a, uint32 a_length, const char* b,
                      uint32 b_length) {
    if (a_length == b_length && same_words(a, b, a_length)) return true;
    return codec->has_generic && key_equal_slow(codec, a, a_length, b, b_length);
}

// A key of `full_length` without the padding, and back: key_unpack makes codec->image of it and
// returns the hash.
void key_pack(const KeyCodec* codec, const char* image, char* packed);
uint64 key_unpack(KeyCodec* codec, const char* packed);

// Image back to values; by-reference ones palloc'd.
void key_decode(const KeyCodec* codec, const char* image, Datum* values, bool* nulls);

// The override that applies to a key, or nullptr. Later entries win.
const Override* find_override(KeyCodec* codec, RunSpec* spec, const char* image);

}  // namespace many::engine
