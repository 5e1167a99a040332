// The stream of export_models: rows (line, part), format version 1.
//
//   line 1                 header: what the version is, and how many models and failures follow
//   lines 2 ...            one model each
//   then                   one failed or skipped group each
//   last line              trailer: the counts again, and the SHA-256 of all parts before it
//
// A part is a JSON object on one line, in ASCII (other characters are \u escapes), so that no
// encoding, delimiter or line end on the way matters. Its last member is "crc", the CRC-32C of the
// line's number (8 bytes, little-endian) and of the part up to the comma before "crc": a part that
// changed, or moved to another line, is found and named. The digest is that of the parts, each with a
// line feed after it. Neither is a signature: they find damage, not forgery, so everything is
// checked again for what it says.
//
// docs/reference.md describes the members.
#pragma once

#include "pg/server.h"

namespace many::transfer {

constexpr int kFormatVersion = 1;
// How every header begins, in any format version; a number and a comma follow.
constexpr char kHeaderStart[] = "{\"format\":\"many_models export\",\"format_version\":";

// --- Writing --------------------------------------------------------------------------------------

// From `json`, an object without its closing brace, in the server's encoding.
text* make_part(int64 line, const StringInfo json);

// "name": value, with a comma in front unless it is the first member; nullptr: null.
void append_string_member(StringInfo json, const char* name, const char* value);
void append_int_member(StringInfo json, const char* name, int64 value);
void append_real_member(StringInfo json, const char* name, float4 value);
void append_json_member(StringInfo json, const char* name, Jsonb* value);
// "model", in base64: the last member of its part.
void append_model_member(StringInfo json, const char* data, Size length);

// --- Reading --------------------------------------------------------------------------------------
// All raise 22P04 for what is no such member, XX001 for damage.

// Checks the CRC and parses.
Jsonb* read_part(int64 line, const char* data, Size length);
// The same, of a part with "model" as its last member, which is decoded into a new varlena.
Jsonb* read_model_part(int64 line, const char* data, Size length, struct varlena** model);

[[noreturn]] void raise_member(const char* name);
bool member_is_null(Jsonb* object, const char* name);
// At most max_bytes; nullptr only for a null that is allowed.
char* string_member(Jsonb* object, const char* name, int max_bytes, bool null_allowed);
int64 int_member(Jsonb* object, const char* name, int64 low, int64 high);
float4 real_member(Jsonb* object, const char* name);  // finite and not negative
Jsonb* object_member(Jsonb* object, const char* name);
// Strings of 1 (with empty_allowed 0) to max_bytes bytes; *n is -1 for a null that is allowed.
char** strings_member(Jsonb* object, const char* name, int max_bytes, bool empty_allowed,
                      bool null_allowed, int* n);

// --- Digest ---------------------------------------------------------------------------------------

struct Digest;
Digest* digest_begin();
void digest_add(Digest* digest, const char* part, Size length);
char* digest_end(Digest* digest);  // 64 hexadecimal digits; the digest is gone then

}  // namespace many::transfer
