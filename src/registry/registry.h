// The registry's tables, as the rest of the extension uses them.
//
// Reading happens as the caller (row-level security applies). Writing happens as the owner of the
// registry, between enter_registry and leave_registry, after the caller's right was checked: only
// statements with values of ours run there, never an expression of the user's.
#pragma once

#include "pg/server.h"

namespace many::registry {

// The role that owns the registry's tables.
Oid registry_owner();

struct RegistryRights {
    Oid saved_user;
    int saved_context;
    int guc_level;
};
// Switches to the registry's owner and pins search_path to pg_catalog, pg_temp. An error in between
// is undone by the abort of the (sub)transaction, as the server does for its own.
void enter_registry(RegistryRights* rights);
void leave_registry(const RegistryRights* rights);

// Keeps DROP EXTENSION waiting until the end of the transaction. Without it the two lock the
// extension's objects in different orders, and a long run may be what a deadlock ends.
void hold_extension();

constexpr int kMaxModelSetName = NAMEDATALEN - 1 - 12;  // room for "_predictions"

// A stored definition, palloc'd in the current context. Arrays as text[] Datums of C strings.
struct ModelSet {
    const char* name;
    Oid owner;
    const char* source;
    int n_keys;
    char** partition_by;
    const char* target;
    int n_features;  // -1: NULL (every usable column)
    char** features;
    const char* algorithm;
    const char* time_column;  // or nullptr
    const char* options;      // jsonb as text
    const char* tags;
    int latest_version;
};

// nullptr when there is no such set, whoever owns it. Runs as the registry's owner; with
// `lock`, the row stays locked until the end of the transaction (trainings of a set queue up).
ModelSet* find_model_set(const char* name, bool lock);

// The set's row stays until the end of the transaction; other runs of the set go on. Raises 42704 when
// it was dropped meanwhile.
void hold_model_set(const char* name);

// Raises 42501 unless the current role is a member of the set's owner: for what cannot be granted
// (dropping, granting). What can be is asked of registry/access.h.
void require_set_owner(const ModelSet* set);

// The run that made a version (of kind train or import), as the caller may see it; version 0 = the
// latest.
struct TrainingRun {
    int64 run_id;
    const char* model_set;
    int version;
    int64 storage;
    const char* source;
    const char* algorithm;
    int n_keys;
    char** partition_by;
    char** key_types;     // as format_type prints them, schema-qualified where needed
    Oid* key_collations;  // InvalidOid: none
    bool* nullable_keys;
    int n_features;
    char** features;
    char** feature_types;
    const char* target;
    const char* time_column;  // or nullptr
    const char* time_type;    // likewise, and of imported runs
};
// Raises 42704 (undefined_object) when there is no such set or version, with a hint listing what
// there is.
TrainingRun* find_training_run(const char* model_set, int version);
// nullptr when there is no such set or version.
TrainingRun* find_training_run_if_any(const char* model_set, int version);

// The columns of `runs` that make a TrainingRun, and a row of these.
extern const char* const kRunColumns;
TrainingRun* read_training_run(HeapTuple row, TupleDesc descriptor);

// Makes drops of versions and sets wait until the end of the transaction, and waits for one under
// way. With a snapshot taken after it, a run and its models are there together or not at all:
// without, the run may be of before a drop and the models, which go with their partition, of after it.
void lock_models();

// The id of the run that begins: the one assigned to this process, once, or the next of the sequence.
int64 new_run_id();
// For a background worker, whose run has its id before it begins.
void assign_run_id(int64 run_id);

// Tells every session's model cache that models of some set changed, at commit.
void announce_models_changed();

// Hash of a canonical partition key (engine and predict agree on it): see registry/key_text.h.

}  // namespace many::registry
