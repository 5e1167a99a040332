// many_models.number_of: a column's value as the number that training reads it as.
#include "pg/feature_reader.h"
#include "pg/server.h"
#include "pg/worker_cpu.h"

extern "C" {

PG_FUNCTION_INFO_V1(many_number_of);

Datum many_number_of(PG_FUNCTION_ARGS) {
    auto* reader = static_cast<many::pg::FeatureReader*>(fcinfo->flinfo->fn_extra);
    if (reader == nullptr) {
        const Oid type = get_fn_expr_argtype(fcinfo->flinfo, 0);
        many::pg::join_worker_cpu();
        reader = static_cast<many::pg::FeatureReader*>(
            MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof *reader));
        if (!OidIsValid(type) || !many::pg::feature_reader_init(reader, type) ||
            reader->kind != many::pg::FeatureKind::number)
            ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                            errmsg("a value of type %s is not a number",
                                   OidIsValid(type) ? format_type_be(type) : "unknown"),
                            errhint("Numbers, booleans, dates and timestamps are.")));
        fcinfo->flinfo->fn_extra = reader;
    }
    PG_RETURN_FLOAT8(many::pg::feature_number(reader, PG_GETARG_DATUM(0)));
}
}
