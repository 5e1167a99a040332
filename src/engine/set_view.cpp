#include "pg/server.h"

#include "engine/set_view.h"

#include "registry/key_text.h"

namespace many::engine {

namespace {

struct ViewColumn {
    const char* name;
    const char* expression;
};

constexpr ViewColumn kColumns[] = {
    {"version", "r.version"},
    {"model_id", "m.model_id"},
    {"run_id", "m.run_id"},
    {"algorithm", "r.algorithm"},
    {"n_rows", "m.n_rows"},
    {"trained_at", "r.finished_at"},
    {"train_rmse", "many_models.model_metric(m.model, 'train', 'rmse')"},
    {"train_r2", "many_models.model_metric(m.model, 'train', 'r2')"},
    {"holdout_rows", "many_models.model_metric(m.model, 'holdout', 'n_rows')"},
    {"holdout_rmse", "many_models.model_metric(m.model, 'holdout', 'rmse')"},
    {"holdout_mae", "many_models.model_metric(m.model, 'holdout', 'mae')"},
    {"holdout_mape", "many_models.model_metric(m.model, 'holdout', 'mape')"},
    {"holdout_smape", "many_models.model_metric(m.model, 'holdout', 'smape')"},
    {"holdout_r2", "many_models.model_metric(m.model, 'holdout', 'r2')"},
    {"holdout_bias", "many_models.model_metric(m.model, 'holdout', 'bias')"},
    {"holdout_mase", "many_models.model_metric(m.model, 'holdout', 'mase')"},
    {"cv_rmse", "many_models.model_metric(m.model, 'cv', 'rmse')"},
    {"cv_r2", "many_models.model_metric(m.model, 'cv', 'r2')"},
    {"sigma", "many_models.model_statistic(m.model, 'sigma')"},
    {"first_time", "m.first_time"},
    {"last_time", "m.last_time"},
};

bool is_key(const SetKeys* set, const char* name) {
    for (int i = 0; i < set->n_keys; i++)
        if (strcmp(set->partition_by[i], name) == 0) return true;
    return false;
}

// Whether the view that is there has the key columns as they are now.
bool view_fits(Oid view, const SetKeys* a) {
    if (get_rel_relkind(view) != RELKIND_VIEW) return false;
    for (int i = 0; i < a->n_keys; i++) {
        const AttrNumber column = get_attnum(view, a->partition_by[i]);
        if (column == InvalidAttrNumber ||
            get_atttype(view, column) != getBaseType(a->key_types[i]))
            return false;
    }
    return get_attnum(view, is_key(a, "holdout_rmse") ? "model_holdout_rmse" : "holdout_rmse") !=
           InvalidAttrNumber;
}

char* view_query(const SetKeys* a, const char* view) {
    StringInfoData sql;
    initStringInfo(&sql);
    appendStringInfo(&sql, "CREATE VIEW %s WITH (security_invoker = true) AS SELECT ", view);
    for (int i = 0; i < a->n_keys; i++)
        appendStringInfo(
            &sql, "%s AS %s, ",
            registry::key_value_sql("m.partition_key", a->partition_by[i], a->key_types[i]),
            quote_identifier(a->partition_by[i]));
    for (size_t i = 0; i < lengthof(kColumns); i++) {
        const char* name =
            is_key(a, kColumns[i].name) ? psprintf("model_%s", kColumns[i].name) : kColumns[i].name;
        appendStringInfo(&sql, "%s%s AS %s", i > 0 ? ", " : "", kColumns[i].expression,
                         quote_identifier(name));
    }
    appendStringInfo(&sql,
                     " FROM many_models.model_store AS m JOIN many_models.runs AS r ON "
                     "r.run_id OPERATOR(pg_catalog.=) m.run_id WHERE r.kind "
                     "OPERATOR(pg_catalog.=) ANY (ARRAY['train', 'import']) "
                     "AND r.model_set OPERATOR(pg_catalog.=) %s",
                     quote_literal_cstr(a->model_set));
    return sql.data;
}

}  // namespace

void create_set_view(const SetKeys* a) {
    const char* name = psprintf("%s_models", a->model_set);
    List* path = fetch_search_path(false);
    const Oid schema = path == NIL ? InvalidOid : linitial_oid(path);
    if (!OidIsValid(schema) || !pg::schema_create_allowed(schema, GetUserId())) {
        ereport(NOTICE, (errmsg("view \"%s\" not created", name),
                         errhint("The role may not create relations in the first schema of its "
                                 "search_path; many_models.models has all models.")));
        return;
    }
    const char* qualified = quote_qualified_identifier(get_namespace_name(schema), name);
    const Oid existing = get_relname_relid(name, schema);
    if (OidIsValid(existing)) {
        if (!view_fits(existing, a))
            ereport(NOTICE,
                    (errmsg("%s is not the view of model set \"%s\", or of older column types",
                            qualified, a->model_set),
                     errhint("Drop or rename it, and the next training creates the view.")));
        return;
    }
    if (SPI_execute(view_query(a, qualified), false, 0) < 0)
        elog(ERROR, "could not create view %s", qualified);
    if (SPI_execute(psprintf("COMMENT ON VIEW %s IS %s", qualified,
                             quote_literal_cstr(psprintf("models of model set %s, all versions, "
                                                         "with their metrics",
                                                         a->model_set))),
                    false, 0) < 0)
        elog(ERROR, "could not comment on view %s", qualified);
}

void create_set_view(const TrainPlan* plan) {
    const TrainArguments* a = &plan->arguments;
    const SetKeys set = {a->model_set, a->n_keys, a->partition_by, plan->key_types};
    create_set_view(&set);
}

}  // namespace many::engine
