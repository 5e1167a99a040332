#include "pg/server.h"

#include "engine/levels.h"

#include "engine/exchange.h"

namespace many::engine {

namespace {

struct LevelKey {
    uint64 key;
    uint64 feature;
};

struct Level {
    LevelKey id;  // must be first
    uint32 length;
    char* text;
};

void file_name(char* name, int process) {
    pg_snprintf(name, MAXPGPATH, "l.%d", process);
}

}  // namespace

void levels_init(LevelDictionary* levels, MemoryContext context, Size limit) {
    memset(levels, 0, sizeof *levels);
    levels->context = context;
    levels->limit = limit;
}

void levels_add(LevelDictionary* levels, const char* name, int feature, uint64 key,
                const char* text, uint32 length) {
    if (levels->table == nullptr) {
        HASHCTL control = {};
        control.keysize = sizeof(LevelKey);
        control.entrysize = sizeof(Level);
        control.hcxt = levels->context;
        levels->table = hash_create("many_models levels", 1024, &control,
                                    HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
    }
    const LevelKey id = {key, (uint64)feature};
    bool found = false;
    auto* level = (Level*)hash_search(levels->table, &id, HASH_ENTER, &found);
    if (found) {
        if (level->length != length || memcmp(level->text, text, length) != 0)
            ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
                            errmsg("two levels of feature \"%s\" have the same hash", name)));
        return;
    }
    level->length = length;
    level->text = (char*)MemoryContextAlloc(levels->context, length + 1);
    memcpy(level->text, text, length);
    level->text[length] = '\0';
    levels->bytes += sizeof(Level) + 32 + length;
    if (levels->bytes > levels->limit)
        ereport(ERROR,
                (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                 errmsg("feature \"%s\" has too many different values to be a category", name),
                 errhint("Leave it out of features, group its values, or raise "
                         "many_models.memory_budget.")));
}

void levels_write(LevelDictionary* levels, RunSegment* segment, int process) {
    if (levels->table == nullptr) return;
    char name[MAXPGPATH];
    file_name(name, process);
    BufFile* file = create_run_file(segment, name);
    HASH_SEQ_STATUS scan;
    hash_seq_init(&scan, levels->table);
    while (auto* level = (Level*)hash_seq_search(&scan)) {
        BufFileWrite(file, &level->id, sizeof level->id);
        BufFileWrite(file, &level->length, sizeof level->length);
        BufFileWrite(file, level->text, level->length);
    }
    BufFileClose(file);
}

void levels_load(LevelDictionary* levels, RunSegment* segment) {
    const int n_processes = (int)pg_atomic_read_u32(&segment->n_processes);
    for (int process = 0; process < n_processes; process++) {
        char name[MAXPGPATH];
        LevelKey id;
        file_name(name, process);
        BufFile* file = open_run_file(segment, name);
        if (file == nullptr) continue;
        for (;;) {
            const Size n = BufFileRead(file, &id, sizeof id);
            if (n == 0) break;
            uint32 length = 0;
            if (n != sizeof id) elog(ERROR, "truncated level file of the run");
            read_exactly(file, &length, sizeof length);
            char* text = (char*)palloc(length + 1);
            read_exactly(file, text, length);
            levels_add(levels, NameStr(segment->spec()->features()[id.feature].name),
                       (int)id.feature, id.key, text, length);
            pfree(text);
        }
        BufFileClose(file);
    }
}

const char* levels_text(const LevelDictionary* levels, int feature, uint64 key, uint32* length) {
    *length = 0;
    if (levels->table == nullptr) return nullptr;
    const LevelKey id = {key, (uint64)feature};
    auto* level = (Level*)hash_search(levels->table, &id, HASH_FIND, nullptr);
    if (level == nullptr) return nullptr;
    *length = level->length;
    return level->text;
}

}  // namespace many::engine
