#include "pg/arguments.h"

namespace many::pg {

char* text_argument(FunctionCallInfo fcinfo, int i) {
    return PG_ARGISNULL(i) ? nullptr : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

char* required_text_argument(FunctionCallInfo fcinfo, int i, const char* name) {
    if (PG_ARGISNULL(i))
        ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s is NULL", name)));
    return text_to_cstring(PG_GETARG_TEXT_PP(i));
}

int version_argument(FunctionCallInfo fcinfo, int i) {
    if (PG_ARGISNULL(i)) return 0;
    const int version = PG_GETARG_INT32(i);
    if (version < 1)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("version must be at least 1, not %d", version)));
    return version;
}

}  // namespace many::pg
