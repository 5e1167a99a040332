-- Pipelines: a set's nightly work in one call, and its schedule.

CREATE TABLE many_models.pipelines (
    model_set        text PRIMARY KEY,
    pipeline         jsonb NOT NULL,
    search_path      text NOT NULL,
    stored_by        regrole NOT NULL,
    stored_at        timestamptz NOT NULL DEFAULT now(),
    schedule         text,
    job_id           bigint,
    runs             bigint NOT NULL DEFAULT 0,
    last_started_at  timestamptz,
    last_finished_at timestamptz,
    last_run_by      regrole
);
COMMENT ON TABLE many_models.pipelines IS
    'what run_pipeline does for each model set, when it is scheduled, and when it last ended well';
COMMENT ON COLUMN many_models.pipelines.search_path IS
    'the search_path by which the names of the definition are meant: that of who stored it';
COMMENT ON COLUMN many_models.pipelines.schedule IS 'as given to pg_cron; NULL: not scheduled';
COMMENT ON COLUMN many_models.pipelines.job_id IS 'job of pg_cron';
COMMENT ON COLUMN many_models.pipelines.runs IS 'pipelines that ended well; a failed one leaves nothing';
ALTER TABLE many_models.pipelines ENABLE ROW LEVEL SECURITY;
CREATE POLICY set_visible ON many_models.pipelines FOR SELECT
    USING (model_set IN (SELECT s.model_set FROM many_models.model_sets AS s));
REVOKE ALL ON many_models.pipelines FROM PUBLIC;
GRANT SELECT ON many_models.pipelines TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('many_models.pipelines', '');

CREATE FUNCTION many_models.set_pipeline(model_set text, pipeline jsonb) RETURNS void
    AS 'MODULE_PATHNAME', 'many_set_pipeline' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.set_pipeline(text, jsonb) IS
    'stores what run_pipeline does for a model set: an object with the steps train or refresh, promote, score, evaluate, retention, each with the arguments of its function, and notify; NULL forgets it';

CREATE FUNCTION many_models.run_pipeline(model_set text)
    RETURNS TABLE (step text, detail jsonb, elapsed interval)
    AS 'MODULE_PATHNAME', 'many_run_pipeline' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.run_pipeline(text) IS
    'runs the pipeline of a model set: all steps in one transaction, one row per step; fails with 55006 when it is running already';

CREATE FUNCTION many_models.note_schedule(model_set text, schedule text, job_id bigint)
    RETURNS boolean
    AS 'MODULE_PATHNAME', 'many_set_schedule' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.note_schedule(text, text, bigint) IS
    'what schedule and unschedule write down; called by them';

-- Without a search_path of its own: set_pipeline stores the caller's. Hence every name qualified.
CREATE FUNCTION many_models.schedule(model_set text, cron text, pipeline jsonb DEFAULT NULL)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE
    AS $$
DECLARE
    job bigint;
    command CONSTANT text := pg_catalog.format('SELECT * FROM many_models.run_pipeline(%L)', model_set);
BEGIN
    IF model_set IS NULL OR cron IS NULL THEN
        RAISE EXCEPTION 'model_set and cron must not be NULL' USING ERRCODE = '22004';
    END IF;
    IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_extension AS e WHERE e.extname OPERATOR(pg_catalog.=) 'pg_cron') THEN
        RAISE EXCEPTION 'pg_cron is not installed in this database' USING ERRCODE = '0A000',
            HINT = pg_catalog.format('Any scheduler can run: %s', command);
    END IF;
    IF pipeline IS NOT NULL THEN
        PERFORM many_models.set_pipeline(model_set, pipeline);
    END IF;
    IF NOT EXISTS (SELECT 1 FROM many_models.pipelines AS p
                   WHERE p.model_set OPERATOR(pg_catalog.=) schedule.model_set) THEN
        RAISE EXCEPTION 'model set "%" has no pipeline', model_set USING ERRCODE = '42704',
            HINT = 'Give it as the third argument, or store it with many_models.set_pipeline.';
    END IF;
    EXECUTE 'SELECT cron.schedule($1, $2, $3)' INTO job
        USING pg_catalog.format('many_models: %s', model_set), cron, command;
    PERFORM many_models.note_schedule(model_set, cron, job);
    RETURN job;
END
$$;
COMMENT ON FUNCTION many_models.schedule(text, text, jsonb) IS
    'has pg_cron run the pipeline of a model set, as the caller; stores the pipeline if one is given; returns the job''s id';

CREATE FUNCTION many_models.unschedule(model_set text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    job bigint;
BEGIN
    SELECT p.job_id INTO job FROM many_models.pipelines AS p
    WHERE p.model_set = unschedule.model_set AND p.schedule IS NOT NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM many_models.note_schedule(model_set, NULL, NULL);
    IF EXISTS (SELECT 1 FROM pg_extension AS e WHERE e.extname = 'pg_cron') THEN
        EXECUTE 'SELECT cron.unschedule(j.jobid) FROM cron.job AS j WHERE j.jobid = $1' USING job;
    END IF;
    RETURN true;
END
$$;
COMMENT ON FUNCTION many_models.unschedule(text) IS
    'takes the pipeline of a model set off pg_cron; false if it was not scheduled';

REVOKE ALL ON FUNCTION many_models.set_pipeline(text, jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION many_models.run_pipeline(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION many_models.note_schedule(text, text, bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION many_models.schedule(text, text, jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION many_models.unschedule(text) FROM PUBLIC;
