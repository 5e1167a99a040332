#include "serving/forecast_query.h"

#include "core/forecasters/method.h"
#include "pg/forecast_options.h"
#include "serving/score_query_parts.h"

namespace many::serving {

namespace {

void carry_column(ScoreSpec* spec, const char* name, Oid type, int32 typmod, Oid collation) {
    for (int i = 0; i < spec->n_carried; ++i)
        if (strcmp(spec->carried[i].name, name) == 0)
            ereport(ERROR,
                    (errcode(ERRCODE_DUPLICATE_COLUMN),
                     errmsg("%s has the name \"%s\", which the predictions of a "
                            "forecaster need",
                            i < spec->run->n_keys ? "a partition column" : "the time column", name),
                     errhint("Rename it in the source query.")));
    spec->carried[spec->n_carried++] = {name, type, typmod, collation};
}

Oid time_type_of_run(const registry::TrainingRun* run) {
    return run->time_type != nullptr ? type_from_text(run->time_type) : TIMESTAMPOID;
}

void check_same_features(const ScoreModels* models) {
    for (int i = 0; i < models->n_runs; ++i) {
        const registry::TrainingRun* run = models->runs[i];
        if (run->n_features == models->n_features &&
            feature_places(run->features, run->n_features, models->features, models->n_features) ==
                nullptr)
            continue;
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("the forecasters have different features in different versions"),
                        errhint("Score one version at a time.")));
    }
}

// The models and, where a version is scored, its groups without one: k1, k2, .., model_id, version, model.
void append_models(StringInfo query, const ScoreSpec* spec) {
    const registry::TrainingRun* run = spec->run;
    const ScoreModels* models = &spec->models;
    StringInfoData keys;
    initStringInfo(&keys);
    for (int i = 0; i < run->n_keys; ++i)
        appendStringInfo(&keys, "%s AS k%d, ", key_expression(run, i), i + 1);
    appendStringInfo(query,
                     "(SELECT %sk.model_id, r.version, k.model FROM (SELECT * FROM %s) AS k JOIN "
                     "(VALUES ",
                     keys.data, score_models_rows(models));
    for (int i = 0; i < models->n_runs; ++i)
        appendStringInfo(query, "%s('" INT64_FORMAT "'::pg_catalog.int8, %d)", i > 0 ? ", " : "",
                         models->runs[i]->run_id, models->runs[i]->version);
    appendStringInfoString(query,
                           ") AS r (run_id, version) ON r.run_id OPERATOR(pg_catalog.=) "
                           "k.run_id");
    if (models->production->n_layers == 0 || models->uses_run)
        appendStringInfo(
            query,
            " UNION ALL SELECT %sNULL::pg_catalog.int8, NULL::pg_catalog.int4, "
            "NULL::many_models.model FROM many_models.failure_store AS k WHERE k.storage "
            "OPERATOR(pg_catalog.=) '" INT64_FORMAT
            "'::pg_catalog.int8 AND k.run_id OPERATOR(pg_catalog.=) '" INT64_FORMAT
            "'::pg_catalog.int8 AND NOT EXISTS (SELECT FROM (SELECT * FROM %s) AS p WHERE "
            "p.partition_key OPERATOR(pg_catalog.=) k.partition_key)%s",
            keys.data, run->storage, run->run_id, score_models_rows(models),
            score_condition(run->model_set));
    appendStringInfoString(query, ") AS m");
}

char* quantile_list(const QuantileOption* quantiles) {
    StringInfoData list;
    initStringInfo(&list);
    if (quantiles->n == 0) return pstrdup("NULL::pg_catalog.float8[]");
    for (int i = 0; i < quantiles->n; ++i)
        appendStringInfo(&list, "%s%.17g", i > 0 ? "," : "'{", quantiles->values[i]);
    appendStringInfoString(&list, "}'::pg_catalog.float8[]");
    return list.data;
}

// Features of the times to come, by group.
void append_future(StringInfo query, const ScoreSpec* spec) {
    const registry::TrainingRun* run = spec->run;
    const ScoreModels* models = &spec->models;
    StringInfoData keys;
    StringInfoData order;
    initStringInfo(&keys);
    initStringInfo(&order);
    const char* time = quote_identifier(run->time_column);
    appendStringInfo(&order, "t.%s", time);
    for (int i = 0; i < models->n_features; ++i)
        appendStringInfo(&order, ", many_models.number_of(t.%s)",
                         quote_identifier(models->features[i]));
    for (int i = 0; i < run->n_keys; ++i)
        appendStringInfo(&keys, "%st.%s", i > 0 ? ", " : "",
                         quote_identifier(run->partition_by[i]));
    appendStringInfo(query,
                     " LEFT JOIN (SELECT %s%spg_catalog.array_agg(t.%s ORDER BY %s) AS times, ",
                     keys.data, run->n_keys > 0 ? ", " : "", time, order.data);
    for (int i = 0; i < models->n_features; ++i)
        appendStringInfo(query, "%spg_catalog.array_agg(many_models.number_of(t.%s) ORDER BY %s)",
                         i > 0 ? " OPERATOR(pg_catalog.||) " : "",
                         quote_identifier(models->features[i]), order.data);
    appendStringInfo(query, " AS future FROM %s AS t WHERE t.%s IS NOT NULL",
                     spec->source->from_clause, time);
    if (run->n_keys > 0) appendStringInfo(query, " GROUP BY %s", keys.data);
    appendStringInfoString(query, ") AS s ON ");
    for (int i = 0; i < run->n_keys; ++i) append_join_condition(query, spec, i);
    if (run->n_keys == 0) appendStringInfoString(query, "true");
}

}  // namespace

bool scores_forecast(const ScoreModels* models) {
    int n = 0;
    for (int i = 0; i < models->n_runs; ++i)
        if (pg::is_forecaster(models->runs[i]->algorithm)) n++;
    if (n > 0 && n < models->n_runs)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("only some of the set's models are forecasters"),
                        errhint("Score one version at a time.")));
    return n > 0;
}

void describe_forecast_score(ScoreSpec* spec) {
    const registry::TrainingRun* run = spec->run;
    spec->n_carried = 0;
    spec->carried = static_cast<CarriedColumn*>(
        palloc0(sizeof(CarriedColumn) * (static_cast<Size>(run->n_keys) + 2 + kMaxQuantiles)));
    for (int i = 0; i < run->n_keys; ++i)
        carry_column(spec, run->partition_by[i], type_from_text(run->key_types[i]), -1,
                     run->key_collations[i]);
    if (spec->models.n_features > 0) {
        check_same_features(&spec->models);
        (void)required_column(spec->source, run->time_column, "the time column of the models");
        // As they come from the source: what the join compares.
        for (int i = 0; i < run->n_keys; ++i) {
            const Form_pg_attribute attribute =
                required_column(spec->source, run->partition_by[i], "a partition column");
            spec->carried[i].type = attribute->atttypid;
            spec->carried[i].typmod = attribute->atttypmod;
            spec->carried[i].collation = attribute->attcollation;
        }
        for (int i = 0; i < spec->models.n_runs; ++i) {
            check_keys(spec, spec->models.runs[i]);
            check_features(spec, spec->models.runs[i]);
        }
        for (int i = 0; i < run->n_keys; ++i)  // but the values are those of the models
            spec->carried[i] = {run->partition_by[i], type_from_text(run->key_types[i]), -1,
                                run->key_collations[i]};
    }
    carry_column(spec, run->time_column, time_type_of_run(run), -1, InvalidOid);
    carry_column(spec, "horizon_step", INT4OID, -1, InvalidOid);
    for (int i = 0; i < spec->quantiles->n; ++i)
        carry_column(spec, spec->quantiles->columns[i], FLOAT8OID, -1, InvalidOid);
}

char* build_forecast_query(const ScoreSpec* spec, int horizon) {
    const registry::TrainingRun* run = spec->run;
    StringInfoData query;
    initStringInfo(&query);
    const bool has_features = spec->models.n_features > 0;
    appendStringInfoString(&query, "SELECT ");
    for (int i = 0; i < run->n_keys; ++i) appendStringInfo(&query, "m.k%d, ", i + 1);
    appendStringInfoString(&query, "f.forecast_time, f.horizon_step, ");
    for (int i = 0; i < spec->quantiles->n; ++i)
        appendStringInfo(&query, "f.quantiles[%d], ", i + 1);
    appendStringInfoString(&query, "f.score FROM ");
    append_models(&query, spec);
    if (has_features) append_future(&query, spec);
    appendStringInfo(&query,
                     " CROSS JOIN LATERAL many_models.forecast_scores(m.model_id, m.version, "
                     "m.model, %s, %.17g, NULL::%s, %s, %s) AS f",
                     horizon > 0 ? psprintf("%d", horizon) : "NULL", spec->level,
                     qualified_type(time_type_of_run(run)),
                     has_features ? "s.times, s.future" : "NULL, NULL::pg_catalog.float8[]",
                     quantile_list(spec->quantiles));
    return query.data;
}

}  // namespace many::serving
