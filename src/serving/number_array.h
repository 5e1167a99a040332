// Arrays of SQL as plain numbers.
#pragma once

#include "pg/server.h"

#include <cmath>

namespace many::serving {

// values == nullptr: the argument is NULL. rows x columns; one dimension: one row.
struct NumberArray {
    double* values;
    int rows, columns;
    [[nodiscard]] int size() const { return rows * columns; }
};

// NULL elements become NaN. More dimensions than `most_dimensions` raise 2202E naming the argument.
inline NumberArray read_numbers(FunctionCallInfo fcinfo, int argument, const char* name,
                                int most_dimensions) {
    NumberArray out = {nullptr, 0, 0};
    if (PG_ARGISNULL(argument)) return out;
    ArrayType* array = PG_GETARG_ARRAYTYPE_P(argument);
    const int dimensions = ARR_NDIM(array);
    if (dimensions > most_dimensions)
        ereport(ERROR, (errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
                        errmsg("%s must have at most %d dimension(s)", name, most_dimensions)));
    Datum* elements;
    bool* nulls;
    int n;
    deconstruct_array(array, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &elements,
                      &nulls, &n);
    out.values = static_cast<double*>(palloc(sizeof(double) * (static_cast<Size>(n) + 1)));
    for (int i = 0; i < n; ++i)
        out.values[i] = nulls[i] ? std::nan("") : DatumGetFloat8(elements[i]);
    out.rows = dimensions == 2 ? ARR_DIMS(array)[0] : (n > 0 ? 1 : 0);
    out.columns = dimensions == 2 ? ARR_DIMS(array)[1] : n;
    pfree(elements);
    pfree(nulls);
    return out;
}

}  // namespace many::serving
