#include "pg/server.h"

#include "engine/run_lock.h"

extern "C" {
#include "common/hashfn.h"
}

namespace many::engine {

namespace {

constexpr uint16 kRunSub = 0x4d52;       // "MR"
constexpr uint16 kTrainingSub = 0x4d54;  // "MT"
constexpr uint16 kStartSub = 0x4d53;     // "MS"

// The process of a run that has ended holds its locks until it is gone: on a busy machine, a while.
constexpr int kLooks = 1000;
constexpr long kBetweenLooks = 5000;  // microseconds

LOCKTAG tag_of(uint64 id, uint16 sub) {
    LOCKTAG tag;
    SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32)(id >> 32), (uint32)id, sub);
    return tag;
}

LOCKTAG set_tag(const char* model_set, uint16 sub) {
    const Datum hash =
        hash_any_extended((const unsigned char*)model_set, (int)strlen(model_set), 0);
    return tag_of(DatumGetUInt64(hash), sub);
}

bool is_held(const LOCKTAG* tag) {
    if (LockAcquire(tag, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL) return true;
    (void)LockRelease(tag, ShareLock, false);
    return false;
}

}  // namespace

void hold_run(int64 run_id) {
    const LOCKTAG tag = tag_of((uint64)run_id, kRunSub);
    (void)LockAcquire(&tag, ExclusiveLock, true, false);
}

bool hold_training(const char* model_set) {
    const LOCKTAG tag = set_tag(model_set, kTrainingSub);
    for (int i = 0; i < kLooks; i++) {  // who only looks holds it for a moment
        if (LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL) return true;
        CHECK_FOR_INTERRUPTS();
        pg_usleep(kBetweenLooks);
    }
    return false;
}

bool run_has_process(int64 run_id) {
    const LOCKTAG tag = tag_of((uint64)run_id, kRunSub);
    return is_held(&tag);
}

bool claim_start(const char* model_set) {
    const LOCKTAG tag = set_tag(model_set, kStartSub);
    return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

bool set_is_training(const char* model_set) {
    const LOCKTAG tag = set_tag(model_set, kTrainingSub);
    for (int i = 0; i < kLooks; i++) {
        if (!is_held(&tag)) return false;
        CHECK_FOR_INTERRUPTS();
        pg_usleep(kBetweenLooks);
    }
    return true;
}

}  // namespace many::engine
