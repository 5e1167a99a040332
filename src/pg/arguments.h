// Arguments of SQL functions.
#pragma once

#include "pg/server.h"

namespace many::pg {

// nullptr for NULL.
char* text_argument(FunctionCallInfo fcinfo, int i);

// Raises 22004 for NULL.
char* required_text_argument(FunctionCallInfo fcinfo, int i, const char* name);

// A version of a model set, 0 for NULL; raises 22023 when it is less than 1.
int version_argument(FunctionCallInfo fcinfo, int i);

}  // namespace many::pg
