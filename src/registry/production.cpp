#include "pg/server.h"

#include "registry/production.h"

#include <initializer_list>

#include "registry/key_text.h"

namespace many::registry {

Datum int64_array(const int64* values, int n) {
    auto* elements = (Datum*)palloc(sizeof(Datum) * (Size)(n + 1));
    for (int i = 0; i < n; i++) elements[i] = Int64GetDatum(values[i]);
    return PointerGetDatum(
        construct_array(elements, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

int64* int64_array_values(Datum array, int* n) {
    Datum* elements;
    bool* nulls;
    deconstruct_array(DatumGetArrayTypeP(array), INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
                      TYPALIGN_DOUBLE, &elements, &nulls, n);
    auto* values = (int64*)palloc0(sizeof(int64) * (Size)(*n + 1));
    for (int i = 0; i < *n; i++) values[i] = nulls[i] ? 0 : DatumGetInt64(elements[i]);
    return values;
}

ProductionState* find_production(const char* model_set) {
    auto* state = (ProductionState*)palloc0(sizeof(ProductionState));
    Oid types[1] = {TEXTOID};
    Datum values[1] = {CStringGetTextDatum(model_set)};
    const int code = SPI_execute_with_args(
        "SELECT promotion_id, layers, storages FROM many_models.production_sets "
        "WHERE model_set OPERATOR(pg_catalog.=) $1",
        1, types, values, nullptr, true, 1);
    if (code != SPI_OK_SELECT) elog(ERROR, "could not read the registry: %d", code);
    if (SPI_processed == 0) return state;
    HeapTuple row = SPI_tuptable->vals[0];
    bool is_null = false;
    int n = 0;
    state->promotion_id = DatumGetInt64(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &is_null));
    state->layers = int64_array_values(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &is_null),
                                       &state->n_layers);
    state->storages =
        int64_array_values(SPI_getbinval(row, SPI_tuptable->tupdesc, 3, &is_null), &n);
    if (n != state->n_layers)
        ereport(ERROR,
                (errcode(ERRCODE_DATA_CORRUPTED),
                 errmsg("layers and storages of model set \"%s\" differ in length", model_set)));
    return state;
}

TrainingRun** find_production_runs(const char* model_set, int* n) {
    Oid types[1] = {TEXTOID};
    Datum values[1] = {CStringGetTextDatum(model_set)};
    const int code =
        SPI_execute_with_args(psprintf("SELECT %s FROM many_models.production_runs WHERE model_set "
                                       "OPERATOR(pg_catalog.=) $1 ORDER BY version DESC",
                                       kRunColumns),
                              1, types, values, nullptr, true, 0);
    if (code != SPI_OK_SELECT) elog(ERROR, "could not read the registry: %d", code);
    SPITupleTable* rows = SPI_tuptable;
    *n = (int)SPI_processed;
    auto** runs = (TrainingRun**)palloc(sizeof(TrainingRun*) * (Size)(*n + 1));
    for (int i = 0; i < *n; i++) runs[i] = read_training_run(rows->vals[i], rows->tupdesc);
    return runs;
}

namespace {

void delete_of_set(const char* statement, const char* model_set) {
    Oid types[1] = {TEXTOID};
    Datum values[1] = {CStringGetTextDatum(model_set)};
    const int code = SPI_execute_with_args(statement, 1, types, values, nullptr, false, 0);
    if (code != SPI_OK_DELETE) elog(ERROR, "could not write the registry: %d", code);
}

// Drops the own partitions that a query names.
void drop_partitions(const char* query, const char* model_set) {
    Oid types[1] = {TEXTOID};
    Datum values[1] = {CStringGetTextDatum(model_set)};
    int code = SPI_execute_with_args(query, 1, types, values, nullptr, false, 0);
    if (code != SPI_OK_SELECT) elog(ERROR, "could not read the registry: %d", code);
    SPITupleTable* rows = SPI_tuptable;
    const uint64 n = SPI_processed;
    for (uint64 i = 0; i < n; i++) {
        code = SPI_execute(
            psprintf("DROP TABLE many_models.%s", SPI_getvalue(rows->vals[i], rows->tupdesc, 1)),
            false, 0);
        if (code < 0) elog(ERROR, "could not drop a partition: %d", code);
    }
}

}  // namespace

void drop_production(const char* model_set) {
    drop_partitions(
        "SELECT DISTINCT pg_catalog.format('production_store_p%s', u.storage) FROM "
        "many_models.promotions AS p, pg_catalog.unnest(p.storages) AS u (storage) WHERE "
        "p.model_set = $1 AND u.storage <> 0",
        model_set);
    drop_partitions(
        "SELECT pg_catalog.format('promotion_store_p%s', p.storage) FROM many_models.promotions AS "
        "p WHERE p.model_set = $1 AND p.storage <> 0",
        model_set);
    for (const char* statement :
         {"DELETE FROM many_models.production_store_shared AS m USING many_models.promotions AS p "
          "WHERE p.model_set = $1 AND m.layer = p.promotion_id",
          "DELETE FROM many_models.promotion_store_shared AS g USING many_models.promotions AS p "
          "WHERE p.model_set = $1 AND g.promotion_id = p.promotion_id",
          "DELETE FROM many_models.promotions WHERE model_set = $1",
          "DELETE FROM many_models.production_runs WHERE model_set = $1",
          "DELETE FROM many_models.production_sets WHERE model_set = $1"})
        delete_of_set(statement, model_set);
}

namespace {

char* id_list(const int64* ids, int n) {
    StringInfoData list;
    initStringInfo(&list);
    for (int i = 0; i < n; i++)
        appendStringInfo(&list, "%s" INT64_FORMAT, i > 0 ? "," : "", ids[i]);
    return list.data;
}

Oid type_of(const char* name) {
    return DatumGetObjectId(DirectFunctionCall1(regtypein, CStringGetDatum(name)));
}

KeyColumn key_column(const TrainingRun* run, int i) {
    KeyColumn column;
    key_column_init(&column, run->partition_by[i], type_of(run->key_types[i]),
                    run->key_collations[i]);
    return column;
}

}  // namespace

char* production_rows(const ProductionState* state, const char* columns) {
    StringInfoData query;
    initStringInfo(&query);
    for (int i = 0; i < state->n_layers; i++) {
        appendStringInfo(&query,
                         "%sSELECT %s FROM many_models.production_store AS m WHERE m.storage "
                         "OPERATOR(pg_catalog.=) '" INT64_FORMAT
                         "'::pg_catalog.int8 AND m.layer OPERATOR(pg_catalog.=) '" INT64_FORMAT
                         "'::pg_catalog.int8",
                         i > 0 ? " UNION ALL " : "", columns, state->storages[i], state->layers[i]);
        if (i > 0)
            appendStringInfo(
                &query,
                " AND NOT EXISTS (SELECT FROM many_models.production_store AS u WHERE u.storage "
                "OPERATOR(pg_catalog.=) ANY ('{%s}'::pg_catalog.int8[]) AND u.layer "
                "OPERATOR(pg_catalog.=) ANY ('{%s}'::pg_catalog.int8[]) AND u.key_hash "
                "OPERATOR(pg_catalog.=) m.key_hash AND u.partition_key OPERATOR(pg_catalog.=) "
                "m.partition_key)",
                id_list(state->storages, i), id_list(state->layers, i));
    }
    return query.data;
}

char* same_group(const char* a, const char* b, const TrainingRun* run, TrainingRun** others,
                 int n) {
    StringInfoData condition;
    initStringInfo(&condition);
    bool same_hash = true;
    bool plain = true;
    for (int i = 0; i < run->n_keys; i++) {
        const bool canonical = key_column(run, i).text_is_canonical;
        plain = plain && canonical;
        for (int k = 0; k < n; k++) {
            if (strcmp(run->key_types[i], others[k]->key_types[i]) != 0) plain = false;
            if (key_column(others[k], i).text_is_canonical != canonical) same_hash = false;
        }
    }
    if (same_hash)
        appendStringInfo(&condition, "%s.key_hash OPERATOR(pg_catalog.=) %s.key_hash", a, b);
    if (plain && same_hash) {
        // A condition that is not hashed: the hash of the key has done that.
        appendStringInfo(&condition,
                         " AND (%s.partition_key OPERATOR(pg_catalog.=) %s.partition_key) IS TRUE",
                         a, b);
        return condition.data;
    }
    // By column, as arrays of one element: equal where both are NULL, and can be hashed.
    for (int i = 0; i < run->n_keys; i++) {
        const KeyColumn column = key_column(run, i);
        // An array in an array would be something else; its text has to do.
        const bool typed =
            !column.text_is_canonical && !OidIsValid(get_element_type(column.base_type));
        const char* name = quote_literal_cstr(run->partition_by[i]);
        const char* type = typed ? psprintf("::%s", format_type_extended(column.base_type, -1,
                                                                         FORMAT_TYPE_FORCE_QUALIFY))
                                 : "";
        const char* collation = "";
        if (typed && OidIsValid(column.collation)) {
            HeapTuple tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(column.collation));
            if (!HeapTupleIsValid(tuple))
                elog(ERROR, "cache lookup failed for collation %u", column.collation);
            auto* form = (Form_pg_collation)GETSTRUCT(tuple);
            collation = psprintf(" COLLATE %s",
                                 quote_qualified_identifier(get_namespace_name(form->collnamespace),
                                                            NameStr(form->collname)));
            ReleaseSysCache(tuple);
        }
        appendStringInfo(&condition,
                         "%sARRAY[(%s.partition_key OPERATOR(pg_catalog.->>) %s)%s%s] "
                         "OPERATOR(pg_catalog.=) ARRAY[(%s.partition_key "
                         "OPERATOR(pg_catalog.->>) %s)%s%s]",
                         condition.len > 0 ? " AND " : "", a, name, type, collation, b, name, type,
                         collation);
    }
    return condition.data;
}

bool same_key_bytes(const TrainingRun* run, TrainingRun** others, int n) {
    for (int i = 0; i < run->n_keys; i++) {
        const KeyColumn column = key_column(run, i);
        if (!column.text_is_canonical) return false;
        // 1 and 1.0, 0 and -0, 'a' and 'a ' are equal.
        for (const Oid type : {NUMERICOID, FLOAT4OID, FLOAT8OID, BPCHAROID})
            if (column.base_type == type) return false;
        for (int k = 0; k < n; k++)
            if (strcmp(run->key_types[i], others[k]->key_types[i]) != 0) return false;
    }
    return true;
}

void require_same_hash(const TrainingRun* run, TrainingRun** others, int n) {
    for (int i = 0; i < run->n_keys; i++) {
        const bool canonical = key_column(run, i).text_is_canonical;
        for (int k = 0; k < n; k++)
            if (key_column(others[k], i).text_is_canonical != canonical)
                ereport(ERROR,
                        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                         errmsg("partition column \"%s\" has another type or collation in version "
                                "%d than in version %d, which was promoted",
                                run->partition_by[i], run->version, others[k]->version),
                         errdetail("The two do not agree on which keys are equal."),
                         errhint("Cast the column in the source query, or train another model "
                                 "set.")));
    }
}

}  // namespace many::registry
