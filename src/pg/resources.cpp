#include "pg/resources.h"

extern "C" {
#include "executor/instrument.h"
}

#include <sys/resource.h>

namespace many::pg {

Resources resources_now() {
    struct rusage usage = {};
    Resources now = {};
    const auto us = [](const struct timeval& t) {
        return static_cast<int64>(t.tv_sec) * USECS_PER_SEC + static_cast<int64>(t.tv_usec);
    };
    if (getrusage(RUSAGE_SELF, &usage) == 0) now.cpu_us = us(usage.ru_utime) + us(usage.ru_stime);
    now.temp_bytes = pgBufferUsage.temp_blks_written * BLCKSZ;
    now.wal_bytes = static_cast<int64>(pgWalUsage.wal_bytes);
    return now;
}

Resources resources_since(const Resources* before) {
    const Resources now = resources_now();
    return {now.cpu_us - before->cpu_us, now.temp_bytes - before->temp_bytes,
            now.wal_bytes - before->wal_bytes};
}

void append_resources(StringInfo json, const Resources* used) {
    appendStringInfo(
        json,
        "\"cpu_seconds\": %.6f, \"temp_bytes\": " INT64_FORMAT ", \"wal_bytes\": " INT64_FORMAT,
        static_cast<double>(used->cpu_us) / USECS_PER_SEC, used->temp_bytes, used->wal_bytes);
}

}  // namespace many::pg
