// The predictions table: see score_table.h. Statements run as the caller.
#include "serving/score_table.h"

extern "C" {
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_publication.h"
#include "commands/defrem.h"
#include "commands/policy.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/partcache.h"
#include "utils/varlena.h"
}

namespace many::serving {

namespace {

struct ResultColumnInfo {
    const char* name;
    Oid type;
    const char* type_name;
    const char* comment;
};

const ResultColumnInfo kResults[kResultColumns] = {
    {"prediction", FLOAT8OID, "pg_catalog.float8",
     "NULL when there is none; fallback_reason says why"},
    {"lower", FLOAT8OID, "pg_catalog.float8",
     "lower end of the prediction interval; NULL where the model has none"},
    {"upper", FLOAT8OID, "pg_catalog.float8",
     "upper end of the prediction interval; NULL where the model has none"},
    {"model_id", INT8OID, "pg_catalog.int8", "the model, as in many_models.models"},
    {"model_version", INT4OID, "pg_catalog.int4", "version of the model set"},
    {"model_level", TEXTOID, "pg_catalog.text",
     "which model answered: group (the row's own), or none"},
    {"fallback_reason", TEXTOID, "pg_catalog.text",
     "why the prediction is missing or not what it could be; NULL when all is well"},
    {"run_id", INT8OID, "pg_catalog.int8", "the scoring run, as in many_models.runs"},
    {"scored_at", TIMESTAMPTZOID, "pg_catalog.timestamptz", "start of the scoring run"},
};

void run_statement(const char* statement) {
    const int code = SPI_execute(statement, false, 0);
    if (code < 0) elog(ERROR, "could not run \"%s\": %s", statement, SPI_result_code_string(code));
}

const ResultColumnInfo* result_column(const char* name) {
    for (const ResultColumnInfo& column : kResults)
        if (strcmp(column.name, name) == 0) return &column;
    return nullptr;
}

void check_clashes(const ScoreSpec* spec) {
    for (int i = 0; i < spec->n_carried; ++i)
        if (result_column(spec->carried[i].name) != nullptr)
            ereport(ERROR,
                    (errcode(ERRCODE_DUPLICATE_COLUMN),
                     errmsg("column \"%s\" of the source has the name of a column of the "
                            "predictions table",
                            spec->carried[i].name),
                     errhint("Rename it in a source query, or leave it out of id_columns.")));
}

void append_column(StringInfo list, const char* name, Oid type, int32 typmod, Oid collation,
                   bool not_null) {
    if (list->len > 0) appendStringInfoString(list, ", ");
    appendStringInfo(
        list, "%s %s", quote_identifier(name),
        format_type_extended(type, typmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
    if (OidIsValid(collation) && collation != get_typcollation(type)) {
        HeapTuple tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
        if (!HeapTupleIsValid(tuple))
            elog(ERROR, "cache lookup failed for collation %u", collation);
        const auto* form = reinterpret_cast<Form_pg_collation>(GETSTRUCT(tuple));
        appendStringInfo(list, " COLLATE %s",
                         quote_qualified_identifier(get_namespace_name(form->collnamespace),
                                                    NameStr(form->collname)));
        ReleaseSysCache(tuple);
    }
    if (not_null) appendStringInfoString(list, " NOT NULL");
}

bool never_null(int result) {
    return result == kRunId || result == kScoredAt || result == kModelLevel;
}

void create_predictions(const PredictionsTable* table, const ScoreSpec* spec) {
    StringInfoData columns;
    initStringInfo(&columns);
    for (int i = 0; i < spec->n_carried; ++i) {
        const CarriedColumn* column = &spec->carried[i];
        append_column(&columns, column->name, column->type, column->typmod, column->collation,
                      false);
    }
    for (int i = 0; i < kResultColumns; ++i)
        appendStringInfo(&columns, "%s%s %s%s", columns.len > 0 ? ", " : "", kResults[i].name,
                         kResults[i].type_name, never_null(i) ? " NOT NULL" : "");
    run_statement(psprintf("CREATE TABLE %s (%s) PARTITION BY LIST (run_id)", table->qualified,
                           columns.data));
    run_statement(psprintf(
        "COMMENT ON TABLE %s IS %s", table->qualified,
        quote_literal_cstr(psprintf("predictions of model set %s, one partition per scoring run",
                                    spec->run->model_set))));
    for (const ResultColumnInfo& column : kResults)
        run_statement(psprintf("COMMENT ON COLUMN %s.%s IS %s", table->qualified, column.name,
                               quote_literal_cstr(column.comment)));
}

[[noreturn]] void raise_shape(const PredictionsTable* table, const char* detail) {
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                    errmsg("%s is not a predictions table of this shape", table->qualified),
                    errdetail("%s", detail),
                    errhint("Name another table in into_table, or drop this one.")));
    pg_unreachable();
}

Form_pg_attribute find_attribute(TupleDesc descriptor, const char* name) {
    for (int i = 0; i < descriptor->natts; ++i) {
        Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
        if (!attribute->attisdropped && strcmp(NameStr(attribute->attname), name) == 0)
            return attribute;
    }
    return nullptr;
}

void check_column(const PredictionsTable* table, TupleDesc descriptor, const char* name, Oid type,
                  bool may_be_not_null) {
    Form_pg_attribute attribute = find_attribute(descriptor, name);
    if (attribute == nullptr) raise_shape(table, psprintf("It has no column \"%s\".", name));
    if (attribute->atttypid != type)
        raise_shape(table, psprintf("Its column \"%s\" has type %s, not %s.", name,
                                    format_type_be(attribute->atttypid), format_type_be(type)));
    if (attribute->attnotnull && !may_be_not_null)
        raise_shape(table, psprintf("Its column \"%s\" is NOT NULL.", name));
}

void check_shape(const PredictionsTable* table, Relation relation, const ScoreSpec* spec) {
    TupleDesc descriptor = RelationGetDescr(relation);
    if (relation->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
        raise_shape(table, "It is not a partitioned table.");
    PartitionKey key = RelationGetPartitionKey(relation);
    Form_pg_attribute run_id = find_attribute(descriptor, "run_id");
    if (key->strategy != PARTITION_STRATEGY_LIST || key->partnatts != 1 || run_id == nullptr ||
        key->partattrs[0] != run_id->attnum)
        raise_shape(table, "It is not partitioned by LIST (run_id).");
    for (int i = 0; i < spec->n_carried; ++i)
        check_column(table, descriptor, spec->carried[i].name, spec->carried[i].type, false);
    for (int i = 0; i < kResultColumns; ++i)
        check_column(table, descriptor, kResults[i].name, kResults[i].type, never_null(i));
    int n = 0;
    for (int i = 0; i < descriptor->natts; ++i)
        if (!TupleDescAttr(descriptor, i)->attisdropped) ++n;
    if (n != spec->n_carried + kResultColumns)
        raise_shape(table,
                    psprintf("It has %d columns, not %d.", n, spec->n_carried + kResultColumns));
    if (descriptor->constr != nullptr && descriptor->constr->num_check > 0)
        raise_shape(table, "It has CHECK constraints, which a bulk load does not verify.");
}

void name_table(PredictionsTable* table, const ScoreSpec* spec, const char* into_table) {
    RangeVar* range;
    if (into_table != nullptr) {
        range = makeRangeVarFromNameList(pg::qualified_name_parts(into_table));
        table->parent = RangeVarGetRelid(range, NoLock, true);
    } else {
        range =
            makeRangeVar(nullptr, makeObjectName(spec->run->model_set, nullptr, "predictions"), -1);
        table->parent = InvalidOid;
    }
    Oid schema;
    if (OidIsValid(table->parent)) {
        schema = get_rel_namespace(table->parent);
    } else {
        schema = RangeVarGetCreationNamespace(range);
        table->parent = get_relname_relid(range->relname, schema);
    }
    table->schema = get_namespace_name(schema);
    table->name = pstrdup(range->relname);
    table->qualified = quote_qualified_identifier(table->schema, table->name);
}

// Whether a publication has the table, by itself, by a table it is a partition of, by its schema, or
// because it has all tables.
bool is_published(Oid table) {
    if (GetAllTablesPublications() != NIL) return true;
    List* relations = list_make1_oid(table);
    if (get_rel_relispartition(table))
        relations = list_concat(relations, get_partition_ancestors(table));
    ListCell* cell;
    foreach (cell, relations) {
        const Oid relation = lfirst_oid(cell);
        if (GetRelationPublications(relation) != NIL ||
            GetSchemaPublications(get_rel_namespace(relation)) != NIL)
            return true;
    }
    return false;
}

// "a, b": quoted names of all partitions but one; empty when there are none.
char* partition_list(Oid parent, Oid except) {
    StringInfoData list;
    initStringInfo(&list);
    ListCell* cell;
    foreach (cell, find_inheritance_children(parent, AccessExclusiveLock)) {
        const Oid child = lfirst_oid(cell);
        if (child == except) continue;
        appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "",
                         quote_qualified_identifier(get_namespace_name(get_rel_namespace(child)),
                                                    get_rel_name(child)));
    }
    return list.data;
}

// --- Row-level security ------------------------------------------------------------------------

constexpr const char* kPolicy = "many_models_grants";

bool has_policy(Oid relation) {
    return OidIsValid(get_relation_policy_oid(relation, kPolicy, true));
}

// Whether the reader may read the row's group. By the run and not by the name of the set, which may
// come to mean another one; all names qualified, for the policy outlives this search_path.
char* policy_condition(const registry::TrainingRun* run) {
    StringInfoData sql;
    StringInfoData columns;
    initStringInfo(&sql);
    initStringInfo(&columns);
    if (run->n_keys == 0) return pstrdup("many_models.run_key_is_granted(run_id, '{}')");
    appendStringInfoString(&sql, "many_models.row_is_granted(run_id, ARRAY[");
    for (int i = 0; i < run->n_keys; ++i) {
        appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "", quote_literal_cstr(run->partition_by[i]));
        appendStringInfo(&columns, ", %s", quote_identifier(run->partition_by[i]));
    }
    appendStringInfo(&sql, "]::pg_catalog.text[]%s)", columns.data);
    return sql.data;
}

void secure_table(const char* qualified, const ScoreSpec* spec) {
    run_statement(psprintf("CREATE POLICY %s ON %s FOR SELECT USING (%s)", kPolicy, qualified,
                           policy_condition(spec->run)));
    run_statement(
        psprintf("COMMENT ON POLICY %s ON %s IS "
                 "'shows the groups that the reader may read of the model set'",
                 kPolicy, qualified));
    run_statement(psprintf("ALTER TABLE %s ENABLE ROW LEVEL SECURITY", qualified));
}

// The run's partition is a child already. Others get the policy when the table does, once.
void secure_predictions(const PredictionsTable* table, const ScoreSpec* spec, bool row_security) {
    if (has_policy(table->parent)) {
        secure_table(table->partition_qualified, spec);
        return;
    }
    if (!row_security) return;
    secure_table(table->qualified, spec);
    CommandCounterIncrement();
    ListCell* cell;
    foreach (cell, find_inheritance_children(table->parent, AccessExclusiveLock)) {
        const Oid child = lfirst_oid(cell);
        if (has_policy(child)) continue;
        secure_table(quote_qualified_identifier(get_namespace_name(get_rel_namespace(child)),
                                                get_rel_name(child)),
                     spec);
    }
}

// The partition belongs to the owner of the table, who may not be the caller but a role that he is a
// member of. Whoever owns the table can have expressions of indexes computed over its partitions, now
// and later, and the server computes them as the owner of the partition: never as the caller.
// (Triggers, rules and defaults do not fire: rows are loaded before the partition is one.)
void give_to_owner(const PredictionsTable* table) {
    Relation parent = relation_open(table->parent, NoLock);
    const Oid owner = parent->rd_rel->relowner;
    relation_close(parent, NoLock);
    if (owner != GetUserId())
        run_statement(psprintf("ALTER TABLE %s OWNER TO %s", table->partition_qualified,
                               quote_identifier(GetUserNameFromId(owner, false))));
}

void attach(const PredictionsTable* table, int64 run_id) {
    run_statement(psprintf("ALTER TABLE %s ATTACH PARTITION %s FOR VALUES IN ('" INT64_FORMAT "')",
                           table->qualified, table->partition_qualified, run_id));
    run_statement(
        psprintf("ALTER TABLE %s DROP CONSTRAINT many_models_run_id", table->partition_qualified));
}

// Rows that went into a partition which had its indexes already are not in them. As its owner, like
// any building of an index.
void index_rows(const PredictionsTable* table) {
    Relation partition = relation_open(table->partition, NoLock);
    const bool indexed = RelationGetIndexList(partition) != NIL;
    relation_close(partition, NoLock);
    if (indexed) run_statement(psprintf("REINDEX TABLE %s", table->partition_qualified));
}

}  // namespace

bool is_result_column(const char* name) {
    return result_column(name) != nullptr;
}

void prepare_predictions(PredictionsTable* table, const ScoreSpec* spec, const char* into_table,
                         bool replace) {
    check_clashes(spec);
    name_table(table, spec, into_table);
    if (!OidIsValid(table->parent)) {
        create_predictions(table, spec);
        table->parent = get_relname_relid(table->name, get_namespace_oid(table->schema, false));
        table->published = is_published(table->parent);
        return;
    }
    if (!pg::relation_owned(table->parent, GetUserId()))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("must be owner of table %s", table->qualified),
                        errhint("Name another table in into_table.")));
    // Appending runs hold no lock while they load, and so cannot deadlock when they attach.
    Relation relation =
        relation_open(table->parent, replace ? ShareUpdateExclusiveLock : AccessShareLock);
    check_shape(table, relation, spec);
    relation_close(relation, replace ? NoLock : AccessShareLock);
    table->published = is_published(table->parent);
}

void create_run_partition(PredictionsTable* table, int64 run_id) {
    const Oid schema = get_namespace_oid(table->schema, false);
    char label[32];
    snprintf(label, sizeof label, "r%lld", static_cast<long long>(run_id));
    const char* name = ChooseRelationName(table->name, nullptr, label, schema, false);
    table->partition_qualified = quote_qualified_identifier(table->schema, name);

    Relation parent = relation_open(table->parent, AccessShareLock);
    StringInfoData columns;
    initStringInfo(&columns);
    for (int i = 0; i < RelationGetDescr(parent)->natts; ++i) {
        Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(parent), i);
        if (attribute->attisdropped) continue;
        append_column(&columns, NameStr(attribute->attname), attribute->atttypid,
                      attribute->atttypmod, attribute->attcollation, attribute->attnotnull);
    }
    relation_close(parent, AccessShareLock);
    // The constraint proves the partition's bound, so that attaching needs no scan.
    run_statement(
        psprintf("CREATE TABLE %s (%s, CONSTRAINT many_models_run_id CHECK (run_id IS "
                 "NOT NULL AND run_id OPERATOR(pg_catalog.=) '" INT64_FORMAT "'::bigint))",
                 table->partition_qualified, columns.data, run_id));
    table->partition = get_relname_relid(name, schema);
    if (!table->published) return;
    LockRelationOid(table->parent, ShareUpdateExclusiveLock);  // as attaching does
    give_to_owner(table);
    attach(table, run_id);
}

void attach_run_partition(PredictionsTable* table, const ScoreSpec* spec, int64 run_id,
                          bool replace, bool row_security) {
    LockRelationOid(table->parent, ShareUpdateExclusiveLock);  // as attaching does
    if (!table->published) give_to_owner(table);
    if (replace) {
        LockRelationOid(table->parent, AccessExclusiveLock);
        const char* others = partition_list(table->parent, table->partition);
        if (others[0] != '\0') run_statement(psprintf("DROP TABLE %s", others));
    }
    if (table->published)
        index_rows(table);
    else
        attach(table, run_id);
    secure_predictions(table, spec, row_security);
}

int* predictions_attributes(TupleDesc partition, const ScoreSpec* spec) {
    const int n = spec->n_carried + kResultColumns;
    int* attributes = static_cast<int*>(palloc(sizeof(int) * static_cast<Size>(n)));
    for (int i = 0; i < n; ++i) {
        const char* name =
            i < spec->n_carried ? spec->carried[i].name : kResults[i - spec->n_carried].name;
        Form_pg_attribute attribute = find_attribute(partition, name);
        if (attribute == nullptr) elog(ERROR, "predictions table has no column \"%s\"", name);
        attributes[i] = attribute->attnum;
    }
    return attributes;
}

}  // namespace many::serving
