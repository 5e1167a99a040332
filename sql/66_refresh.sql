-- New versions that train some groups again and carry the models of the others forward.

CREATE TABLE many_models.fingerprint_store (
    run_id        bigint NOT NULL,
    partition_key jsonb NOT NULL,
    n_rows        bigint NOT NULL,
    last_time     text,
    checksum      numeric NOT NULL
);
CREATE INDEX fingerprint_store_run_idx ON many_models.fingerprint_store (run_id);
ALTER TABLE many_models.fingerprint_store REPLICA IDENTITY FULL;
COMMENT ON TABLE many_models.fingerprint_store IS
    'what refresh_many_models found in each group of the source: by it the next refresh tells what changed';
COMMENT ON COLUMN many_models.fingerprint_store.checksum IS
    'sum of the hashes of the rows: target, features, time; independent of their order';
ALTER TABLE many_models.fingerprint_store ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON many_models.fingerprint_store FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('many_models.fingerprint_store', '');

CREATE FUNCTION many_models.retrain_failed(
    run_id          bigint,
    include_skipped boolean DEFAULT false,
    workers         integer DEFAULT NULL
) RETURNS many_models.run_summary
    AS 'MODULE_PATHNAME', 'many_retrain_failed' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.retrain_failed(bigint, boolean, integer) IS
    'trains the failed groups of the latest version again and makes a new version with the other groups'' models';

CREATE FUNCTION many_models.refresh_many_models(
    model_set text,
    groups    text    DEFAULT 'changed',
    workers   integer DEFAULT NULL
) RETURNS many_models.run_summary
    AS 'MODULE_PATHNAME', 'many_refresh_many_models' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.refresh_many_models(text, text, integer) IS
    'trains the groups whose rows changed (or that drifted) and makes a new version with the other groups'' models';

REVOKE ALL ON FUNCTION many_models.retrain_failed(bigint, boolean, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION many_models.refresh_many_models(text, text, integer) FROM PUBLIC;
