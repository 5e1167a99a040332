-- New versions that train some groups again and carry the models of the others forward.

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
