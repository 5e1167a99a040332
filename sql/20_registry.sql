-- The registry: model sets, runs, models, failures.
--
-- Physical tables hold what cannot be derived, one row per model. What BI tools read (models,
-- metrics, coefficients, fit_statistics, failures) are views over them, all with the rights of
-- the reader (security_invoker), so that row-level security decides what a role sees.
--
-- Models and failures are partitioned by `storage`: a run of many groups gets partitions of its
-- own, which dropping a version drops whole (no dead rows); small runs share the partition 0.

CREATE TABLE many_models.model_sets (
    model_set      text PRIMARY KEY CHECK (model_set <> ''),
    owner          regrole NOT NULL,
    source         text NOT NULL,
    partition_by   text[] NOT NULL,
    target         text NOT NULL,
    features       text[],
    algorithm      text NOT NULL,
    time_column    text,
    options        jsonb NOT NULL DEFAULT '{}',
    tags           jsonb NOT NULL DEFAULT '{}',
    latest_version integer NOT NULL DEFAULT 0,
    created_at     timestamptz NOT NULL DEFAULT now()
);

CREATE SEQUENCE many_models.run_id_seq;
CREATE SEQUENCE many_models.model_id_seq;

CREATE TABLE many_models.runs (
    run_id            bigint PRIMARY KEY DEFAULT pg_catalog.nextval('many_models.run_id_seq'),
    model_set         text NOT NULL,
    kind              text NOT NULL CHECK (kind IN ('train', 'score', 'evaluate', 'import', 'backtest')),
    version           integer,
    status            text NOT NULL,
    run_by            regrole NOT NULL,
    started_at        timestamptz NOT NULL,
    finished_at       timestamptz,
    elapsed           interval,
    groups            bigint,
    trained           bigint,
    failed            bigint,
    skipped           bigint,
    rows_read         bigint,
    rows_skipped      bigint,
    workers           integer,
    algorithm         text,
    source            text NOT NULL,
    partition_by      text[] NOT NULL,
    key_types         text[] NOT NULL,
    key_collations    text[],
    target            text,
    features          text[],
    feature_types     text[],
    time_column       text,
    options           jsonb NOT NULL DEFAULT '{}',
    tags              jsonb NOT NULL DEFAULT '{}',
    storage           bigint NOT NULL DEFAULT 0,
    nullable_keys     boolean[],
    into_table        text,
    details           jsonb NOT NULL DEFAULT '{}',
    extension_version text NOT NULL,
    server_version    text NOT NULL,
    -- Of the details, so that they have types and can be summed.
    cpu_seconds       double precision GENERATED ALWAYS AS
        ((details ->> 'cpu_seconds')::double precision) STORED,
    peak_memory_bytes bigint GENERATED ALWAYS AS
        (coalesce(details ->> 'peak_memory_bytes', details ->> 'peak_group_bytes')::bigint) STORED,
    temp_bytes        bigint GENERATED ALWAYS AS ((details ->> 'temp_bytes')::bigint) STORED,
    wal_bytes         bigint GENERATED ALWAYS AS ((details ->> 'wal_bytes')::bigint) STORED
);
CREATE INDEX runs_model_set_idx ON many_models.runs (model_set, kind, version);
ALTER SEQUENCE many_models.run_id_seq OWNED BY many_models.runs.run_id;

CREATE TABLE many_models.model_store (
    storage       bigint NOT NULL,
    run_id        bigint NOT NULL,
    model_id      bigint NOT NULL,
    key_hash      bigint NOT NULL,
    partition_key jsonb NOT NULL,
    n_rows        bigint NOT NULL,
    seconds       real NOT NULL,
    first_time    text,
    last_time     text,
    model         many_models.model NOT NULL,
    sums          bytea,
    comparison    double precision[],
    compared_with bigint,
    fingerprint   bytea
) PARTITION BY LIST (storage);
-- Out of line, so that readers of models do not read them.
ALTER TABLE many_models.model_store ALTER sums SET STORAGE EXTERNAL;
CREATE TABLE many_models.model_store_shared
    PARTITION OF many_models.model_store FOR VALUES IN (0);
-- Indexes belong to the partitions: one of the parent would index a run's partition when a dump
-- attaches it, and once more by the dump's own statement.
CREATE INDEX model_store_shared_key_idx ON many_models.model_store_shared (run_id, key_hash);
CREATE INDEX model_store_shared_id_idx ON many_models.model_store_shared (model_id);

CREATE TABLE many_models.failure_store (
    storage       bigint NOT NULL,
    run_id        bigint NOT NULL,
    partition_key jsonb NOT NULL,
    status        text NOT NULL CHECK (status IN ('failed', 'skipped')),
    sqlstate      text NOT NULL,
    message       text NOT NULL,
    hint          text,
    attempt       integer NOT NULL DEFAULT 1,
    n_rows        bigint NOT NULL,
    seconds       real NOT NULL,
    sums          bytea,
    fingerprint   bytea
) PARTITION BY LIST (storage);
ALTER TABLE many_models.failure_store ALTER sums SET STORAGE EXTERNAL;
CREATE TABLE many_models.failure_store_shared
    PARTITION OF many_models.failure_store FOR VALUES IN (0);
CREATE INDEX failure_store_shared_run_idx ON many_models.failure_store_shared (run_id);
-- Rows are deleted here by drop_models, and a publication of all tables refuses that without an identity.
ALTER TABLE many_models.model_store_shared REPLICA IDENTITY FULL;
ALTER TABLE many_models.failure_store_shared REPLICA IDENTITY FULL;

COMMENT ON TABLE many_models.model_sets IS
    'model sets and their stored definitions: what train_many_models(model_set) runs again';
COMMENT ON COLUMN many_models.model_sets.features IS
    'as given; NULL: every usable column that is not a key, the target or the time';
-- runs.model_set names a set, without a foreign key: restoring a dump in parallel would check it before
-- the sets are there. drop_models deletes both; runs are made while the set's row is locked.
COMMENT ON TABLE many_models.runs IS
    'every training, import, scoring, evaluation and backtest: definition as used, counts, timing';
COMMENT ON COLUMN many_models.runs.kind IS
    'train and import made a version; score used one, evaluate compared its predictions, backtest made none';
COMMENT ON COLUMN many_models.runs.version IS
    'the version made or used; NULL: none (evaluate, backtest), or of scoring the models in production';
COMMENT ON COLUMN many_models.runs.status IS 'succeeded; a failed or cancelled run leaves no row';
COMMENT ON COLUMN many_models.runs.features IS 'the features as used, in order';
COMMENT ON COLUMN many_models.runs.key_types IS 'types of the partition columns, in order';
COMMENT ON COLUMN many_models.runs.key_collations IS
    'collations of the partition columns by which training compared them; empty: none';
COMMENT ON COLUMN many_models.runs.storage IS
    'partition of model_store and failure_store that holds the results; 0 is shared by small runs';
COMMENT ON COLUMN many_models.runs.nullable_keys IS
    'per partition column: whether some group has NULL there';
COMMENT ON COLUMN many_models.runs.details IS
    'exchange used, seconds per phase, bytes spilled, buckets; of backtests also folds, points, reasons (groups without a backtest by SQLSTATE), of_set (whether there was a model set of the name)';
COMMENT ON TABLE many_models.model_store IS
    'models by run; read it through the views models, metrics, coefficients and fit_statistics';
COMMENT ON COLUMN many_models.model_store.key_hash IS
    'hash of the canonical partition key; stable across servers and versions';
COMMENT ON COLUMN many_models.model_store.sums IS
    'option append_only: the sums of the group''s rows, to which refresh_many_models adds those of new rows';
COMMENT ON COLUMN many_models.model_store.comparison IS
    'on the rows held out: rmse, mae, mape, smape, r2, bias of the baseline (mean of the training split); then n_rows and the same of the model in production; then mean and standard deviation, by row, of squared error of production - candidate, and of absolute error; NULL: nothing was held out';
COMMENT ON COLUMN many_models.model_store.compared_with IS
    'model_id of the model that was in production at training; NULL: none, or not comparable';
COMMENT ON COLUMN many_models.model_store.fingerprint IS
    'of all rows of the group that training read: number, last time, sum of hashes, 8 bytes each; by it refresh_many_models tells whether the group changed';
COMMENT ON TABLE many_models.failure_store IS
    'groups without a model, by run; read it through the view failures';
COMMENT ON COLUMN many_models.failure_store.sums IS 'as in model_store: the group may have enough rows later';
COMMENT ON COLUMN many_models.failure_store.fingerprint IS 'as in model_store';
COMMENT ON TABLE many_models.model_store_shared IS 'models of small runs';
COMMENT ON TABLE many_models.failure_store_shared IS 'failures of small runs';
COMMENT ON SEQUENCE many_models.run_id_seq IS 'ids of runs';
COMMENT ON SEQUENCE many_models.model_id_seq IS 'ids of models';

-- What a role sees is decided by the policies in 25_access.sql.
ALTER TABLE many_models.model_sets ENABLE ROW LEVEL SECURITY;
ALTER TABLE many_models.runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE many_models.model_store ENABLE ROW LEVEL SECURITY;
ALTER TABLE many_models.failure_store ENABLE ROW LEVEL SECURITY;
ALTER TABLE many_models.model_store_shared ENABLE ROW LEVEL SECURITY;
ALTER TABLE many_models.failure_store_shared ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON ALL TABLES IN SCHEMA many_models FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA many_models FROM PUBLIC;
GRANT USAGE ON SCHEMA many_models TO PUBLIC;
GRANT SELECT ON many_models.model_sets, many_models.runs TO PUBLIC;
-- All but sums and fingerprints: those of a group of one row tell that row.
GRANT SELECT (storage, run_id, model_id, key_hash, partition_key, n_rows, seconds, first_time, last_time, model, comparison, compared_with)
    ON many_models.model_store TO PUBLIC;
GRANT SELECT (storage, run_id, partition_key, status, sqlstate, message, hint, attempt, n_rows, seconds)
    ON many_models.failure_store TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('many_models.model_sets', '');
SELECT pg_catalog.pg_extension_config_dump('many_models.runs', '');
SELECT pg_catalog.pg_extension_config_dump('many_models.run_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('many_models.model_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('many_models.model_store_shared', '');
SELECT pg_catalog.pg_extension_config_dump('many_models.failure_store_shared', '');
