// Models that all sessions of the server share, when the library is in shared_preload_libraries.
//
// It stands behind each session's own cache (model_cache.h), before the tables: a session that has
// found out, with its own rights and its own snapshot, in which run and in which table a model is to
// be looked for, may find the bytes here instead of by the table's index. Nothing here knows of roles,
// sets or versions.
//
// An entry is found by the database, the table's file, the run or the layer of production, and the bytes
// of the key as they are stored. What a run or a layer has of a group never changes once committed, and
// their ids are not used again; TRUNCATE, or another extension in place of this one, means other files. Only committed models come in
// (share_model says who has to see to that). So an entry is never wrong, and there is nothing to
// invalidate: what no session looks for any more goes as others come.
//
// Memory: a fixed size from the server's start, in partitions with a lock each. A partition is a ring
// of entries and a hash index over it. New entries take the place of the oldest; one that was used
// meanwhile moves to the front, once per use. Under the lock, bytes are compared and copied, nothing
// else: no server function that could fail, and no function of a user's.
#pragma once

#include "pg/server.h"

namespace many::serving {

struct SharedModelKey {
    Oid relation_file;  // of the table's storage in this database
    int64 id;           // of the run, or of the layer
    const char* key;    // jsonb without the varlena header
    int key_length;
};

// Installs the hooks that ask for and attach to the memory; while the server starts only.
void install_shared_cache();

bool shared_cache_is_on();

// A copy in the current context, and the run that made the model; or nullptr.
struct varlena* find_shared_model(const SharedModelKey* key, int64* run_id);

// Offers a model, which must be committed for every session and checked. One too large is left out.
void share_model(const SharedModelKey* key, int64 run_id, const char* model, Size length);

}  // namespace many::serving
