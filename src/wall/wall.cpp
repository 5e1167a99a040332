// From a caught error to the server's: the SQLSTATE map.
#include "wall/wall.h"

#include "pg/server.h"

namespace many::wall {

void raise_wall_error(const WallError* error) {
    int sqlstate = ERRCODE_INTERNAL_ERROR;
    switch (error->kind) {
        case WallKind::invalid_argument:
            sqlstate = ERRCODE_INVALID_PARAMETER_VALUE;
            break;
        case WallKind::invalid_data:
            sqlstate = ERRCODE_DATA_CORRUPTED;
            break;
        case WallKind::unsupported:
            sqlstate = ERRCODE_FEATURE_NOT_SUPPORTED;
            break;
        case WallKind::out_of_memory:
            sqlstate = ERRCODE_OUT_OF_MEMORY;
            break;
        case WallKind::none:
        case WallKind::internal:
            break;
    }
    ereport(ERROR, (errcode(sqlstate), errmsg_internal("%s", error->message)));
    pg_unreachable();
}

}  // namespace many::wall
