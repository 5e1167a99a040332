-- Training: the sink aggregate, train_many_models, run_progress, drop_models.

CREATE FUNCTION many_models.sink_row(internal, bigint, VARIADIC "any") RETURNS internal
    AS 'MODULE_PATHNAME', 'many_sink_row' LANGUAGE C VOLATILE PARALLEL SAFE;
CREATE FUNCTION many_models.sink_combine(internal, internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'many_sink_combine' LANGUAGE C VOLATILE PARALLEL SAFE;
CREATE FUNCTION many_models.sink_serialize(internal) RETURNS bytea
    AS 'MODULE_PATHNAME', 'many_sink_serialize' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
CREATE FUNCTION many_models.sink_deserialize(bytea, internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'many_sink_deserialize' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
CREATE FUNCTION many_models.sink_final(internal) RETURNS bigint
    AS 'MODULE_PATHNAME', 'many_sink_final' LANGUAGE C VOLATILE PARALLEL SAFE;
CREATE AGGREGATE many_models.train_sink(bigint, VARIADIC "any") (
    SFUNC = many_models.sink_row,
    STYPE = internal,
    COMBINEFUNC = many_models.sink_combine,
    SERIALFUNC = many_models.sink_serialize,
    DESERIALFUNC = many_models.sink_deserialize,
    FINALFUNC = many_models.sink_final,
    PARALLEL = SAFE
);
COMMENT ON FUNCTION many_models.sink_row(internal, bigint, "any") IS
    'transition function of train_sink';
COMMENT ON FUNCTION many_models.sink_combine(internal, internal) IS
    'combine function of train_sink';
COMMENT ON FUNCTION many_models.sink_serialize(internal) IS 'serialization function of train_sink';
COMMENT ON FUNCTION many_models.sink_deserialize(bytea, internal) IS
    'deserialization function of train_sink';
COMMENT ON FUNCTION many_models.sink_final(internal) IS 'final function of train_sink';
COMMENT ON AGGREGATE many_models.train_sink(bigint, "any") IS
    'scan side of a training run; called by train_many_models only';

CREATE FUNCTION many_models.train_many_models(
    model_set    text,
    source       text    DEFAULT NULL,
    partition_by text[]  DEFAULT NULL,
    target       text    DEFAULT NULL,
    features     text[]  DEFAULT NULL,
    algorithm    text    DEFAULT NULL,
    time_column  text    DEFAULT NULL,
    options      jsonb   DEFAULT '{}',
    tags         jsonb   DEFAULT '{}',
    workers      integer DEFAULT NULL
) RETURNS many_models.run_summary
    AS 'MODULE_PATHNAME', 'many_train_many_models' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.train_many_models(text, text, text[], text, text[], text, text,
    jsonb, jsonb, integer) IS
    'trains one model per group of the source and stores them as the next version of the model set';

CREATE FUNCTION many_models.drop_models(model_set text, version integer DEFAULT NULL)
    RETURNS bigint
    AS 'MODULE_PATHNAME', 'many_drop_models' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.drop_models(text, integer) IS
    'drops a version of a model set, or with NULL the whole set; returns the number of models';

CREATE FUNCTION many_models.progress_of(handles bigint[]) RETURNS TABLE (
        run_id bigint, model_set text, pid integer, phase text, started_at timestamptz,
        rows_read bigint, rows_estimated float8, rows_per_second float8, groups_trained bigint,
        groups_failed bigint, groups_skipped bigint, groups_left bigint, buckets_claimed integer,
        buckets integer, peak_group_bytes bigint, exchanged_bytes bigint, seconds_left float8,
        processes jsonb)
    AS 'MODULE_PATHNAME', 'many_run_progress' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION many_models.progress_of(bigint[]) IS 'rows of run_progress';

-- The class and the sub-ids of the locks that mark runs: see src/engine/progress.h, src/pg/run_activity.h.
CREATE VIEW many_models.run_progress WITH (security_invoker = true) AS
SELECT p.*
FROM many_models.progress_of(ARRAY(
    SELECT l.objid::bigint
    FROM pg_catalog.pg_locks AS l
    WHERE l.locktype = 'advisory'
        AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d
                          WHERE d.datname = pg_catalog.current_database())
        AND l.classid = 1296912433::oid
        AND l.objsubid IN (19789, 19790))) AS p;
COMMENT ON VIEW many_models.run_progress IS
    'training and scoring runs going on in this database that the role may see: its own, or all for pg_read_all_stats';
GRANT SELECT ON many_models.run_progress TO PUBLIC;

CREATE FUNCTION many_models.grant_usage(role regrole) RETURNS void
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    f record;
BEGIN
    FOR f IN
        SELECT p.oid::regprocedure AS signature
        FROM pg_proc AS p
        WHERE p.pronamespace = 'many_models'::regnamespace
            AND p.proname IN ('train_many_models', 'score_many_models', 'drop_models', 'set_pipeline',
                'run_pipeline', 'schedule', 'unschedule', 'note_schedule',
                'start_training', 'start_scoring', 'cancel_run', 'pause_run', 'resume_run',
                'wait_for_run', 'retrain_failed', 'refresh_many_models',
                'plan_training', 'evaluate_many_models', 'set_drift_threshold',
                'grant_model_set', 'revoke_model_set', 'alter_model_set_owner',
                'backtest_many_models', 'run_backtest', 'backtest_points', 'source_columns', 'import_models', 'set_retention', 'apply_retention', 'delete_scoring_runs',
                'promote_models', 'rollback_models', 'prune_promotions')
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', f.signature, role);
    END LOOP;
END
$$;
COMMENT ON FUNCTION many_models.grant_usage(regrole) IS
    'lets a role train, score, promote, share and drop model sets of its own; for the extension''s owner';

REVOKE ALL ON FUNCTION many_models.train_many_models(text, text, text[], text, text[], text, text,
    jsonb, jsonb, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION many_models.drop_models(text, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION many_models.grant_usage(regrole) FROM PUBLIC;
