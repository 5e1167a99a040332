-- Background runs: start, watch, pause, resume, cancel. See src/engine/background.h.
--
-- The physical table has what a run needs to go on after its process, or the server, has gone; the
-- view background_runs is what users read: it knows which runs have a living process.

CREATE TABLE many_models.background_store (
    run_id         bigint PRIMARY KEY,
    model_set      text NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('train', 'score')),
    status         text NOT NULL CHECK (status IN
        ('queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled')),
    run_by         regrole NOT NULL,
    source         text,
    partition_by   text[],
    target         text,
    features       text[],
    algorithm      text,
    time_column    text,
    options        jsonb,
    tags           jsonb,
    into_table     text,
    id_columns     text[],
    version        integer,
    horizon        integer,
    level          double precision,
    workers        integer,
    settings       jsonb NOT NULL,
    requested_at   timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    started_at     timestamptz,
    finished_at    timestamptz,
    starts         integer NOT NULL DEFAULT 1,
    pid            integer,
    segment        bigint,
    columns_read   text[],
    features_read  text[],
    buckets_done   boolean[],
    trained        bigint NOT NULL DEFAULT 0,
    failed         bigint NOT NULL DEFAULT 0,
    skipped        bigint NOT NULL DEFAULT 0,
    rows_skipped   bigint NOT NULL DEFAULT 0,
    processes      integer,
    nullable_keys  boolean[],
    sqlstate       text,
    message        text,
    detail         text,
    hint           text
);
CREATE INDEX background_store_model_set_idx ON many_models.background_store (model_set);

COMMENT ON TABLE many_models.background_store IS
    'background runs, as they were asked for and how far they came; read the view background_runs';
COMMENT ON COLUMN many_models.background_store.status IS
    'as last written; a queued or running one whose process is gone is shown as interrupted by background_runs';
COMMENT ON COLUMN many_models.background_store.settings IS
    'settings of the session that asked for the run, under which it works';
COMMENT ON COLUMN many_models.background_store.version IS
    'of a scoring run: the version asked for; of a training run that succeeded: the version made';
COMMENT ON COLUMN many_models.background_store.segment IS
    'handle of the shared memory of the process at work';
COMMENT ON COLUMN many_models.background_store.columns_read IS
    'columns of the source and their types, as the first start found them: a resumed run must find the same';
COMMENT ON COLUMN many_models.background_store.features_read IS
    'the features as used, in order';
COMMENT ON COLUMN many_models.background_store.buckets_done IS
    'per bucket of groups: whether its results are stored';

-- Whoever may use the role that the run works as, and whoever sees the set.
ALTER TABLE many_models.background_store ENABLE ROW LEVEL SECURITY;
CREATE POLICY owner_reads ON many_models.background_store FOR SELECT
    USING (pg_catalog.pg_has_role(run_by::oid, 'USAGE')
        OR model_set IN (SELECT s.model_set FROM many_models.model_sets AS s));
REVOKE ALL ON many_models.background_store FROM PUBLIC;
-- All but the settings, which may hold an application's secrets.
GRANT SELECT (run_id, model_set, kind, status, run_by, source, partition_by, target, features,
    algorithm, time_column, options, tags, into_table, id_columns, version, horizon, level, workers,
    requested_at, started_at, finished_at, starts, pid, buckets_done, trained, failed, skipped,
    rows_skipped, processes, sqlstate, message, detail, hint)
    ON many_models.background_store TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('many_models.background_store', '');

CREATE FUNCTION many_models.background_status(run_id bigint, status text) RETURNS text
    AS 'MODULE_PATHNAME', 'many_background_status' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION many_models.background_status(bigint, text) IS
    'the status of a background run: the one given, or interrupted when it should have a process and has none';

CREATE VIEW many_models.background_runs WITH (security_invoker = true) AS
SELECT s.run_id,
       s.model_set,
       s.kind,
       s.actual AS status,
       s.run_by,
       s.version,
       s.requested_at,
       s.started_at,
       s.finished_at,
       s.starts,
       CASE WHEN s.actual IN ('queued', 'running') THEN s.pid END AS pid,
       pg_catalog.cardinality(pg_catalog.array_positions(s.buckets_done, true)) AS buckets_done,
       pg_catalog.cardinality(s.buckets_done) AS buckets,
       s.trained,
       s.failed,
       s.skipped,
       s.source,
       s.into_table,
       s.sqlstate,
       s.message,
       s.detail,
       s.hint
FROM (SELECT b.run_id, b.model_set, b.kind, b.run_by, b.version, b.requested_at, b.started_at,
             b.finished_at, b.starts, b.pid, b.buckets_done, b.trained, b.failed, b.skipped,
             b.source, b.into_table, b.sqlstate, b.message, b.detail, b.hint,
             many_models.background_status(b.run_id, b.status) AS actual
      FROM many_models.background_store AS b
      OFFSET 0) AS s;
COMMENT ON VIEW many_models.background_runs IS
    'runs of start_training and start_scoring that the role may see, with their status now';
COMMENT ON COLUMN many_models.background_runs.status IS
    'queued, running, paused, interrupted (its process is gone: resume_run), succeeded, failed (resume_run where buckets_done is given), cancelled';
COMMENT ON COLUMN many_models.background_runs.starts IS 'how often a process began to work on it';
COMMENT ON COLUMN many_models.background_runs.buckets_done IS
    'parts of the run whose results are stored: what resume_run need not do again';
COMMENT ON COLUMN many_models.background_runs.message IS 'of a failed run: the error';
GRANT SELECT ON many_models.background_runs TO PUBLIC;

CREATE FUNCTION many_models.start_training(
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
) RETURNS bigint
    AS 'MODULE_PATHNAME', 'many_start_training' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.start_training(text, text, text[], text, text[], text, text,
    jsonb, jsonb, integer) IS
    'train_many_models in the background, from the end of the transaction on; returns the run_id';

CREATE FUNCTION many_models.start_scoring(
    model_set  text,
    source     text    DEFAULT NULL,
    into_table text    DEFAULT NULL,
    id_columns text[]  DEFAULT NULL,
    version    integer DEFAULT NULL,
    horizon    integer DEFAULT NULL,
    level      double precision DEFAULT 0.95,
    options    jsonb   DEFAULT '{}',
    workers    integer DEFAULT NULL
) RETURNS bigint
    AS 'MODULE_PATHNAME', 'many_start_scoring' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.start_scoring(text, text, text, text[], integer, integer,
    double precision, jsonb, integer) IS
    'score_many_models in the background, from the end of the transaction on; returns the run_id';

CREATE FUNCTION many_models.cancel_run(run_id bigint) RETURNS boolean
    AS 'MODULE_PATHNAME', 'many_cancel_run' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.cancel_run(bigint) IS
    'ends a background run, or gives up one that is paused, interrupted or failed halfway; nothing of it remains; false if it had ended';

CREATE FUNCTION many_models.pause_run(run_id bigint) RETURNS boolean
    AS 'MODULE_PATHNAME', 'many_pause_run' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.pause_run(bigint) IS
    'lets a background training end after what it is at, keeping what is stored, and a scoring at once, to start anew; false if it has no process';

CREATE FUNCTION many_models.resume_run(run_id bigint) RETURNS void
    AS 'MODULE_PATHNAME', 'many_resume_run' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.resume_run(bigint) IS
    'lets a background run go on that is paused, interrupted or failed halfway, from the end of the transaction on';

CREATE FUNCTION many_models.wait_for_run(run_id bigint, timeout interval DEFAULT NULL) RETURNS text
    AS 'MODULE_PATHNAME', 'many_wait_for_run' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.wait_for_run(bigint, interval) IS
    'waits until a background run has no process any more, or the time is over; returns its status';

REVOKE ALL ON FUNCTION many_models.start_training(text, text, text[], text, text[], text, text,
    jsonb, jsonb, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION many_models.start_scoring(text, text, text, text[], integer, integer,
    double precision, jsonb, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION many_models.cancel_run(bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION many_models.pause_run(bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION many_models.resume_run(bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION many_models.wait_for_run(bigint, interval) FROM PUBLIC;
