-- Real-time serving: predictions of many rows in one call, and what sessions share.

CREATE FUNCTION many_models.predict_many(
    model_set text,
    keys      jsonb[],
    features  jsonb[],
    version   integer DEFAULT NULL
) RETURNS double precision[]
    AS 'MODULE_PATHNAME', 'many_predict_many' LANGUAGE C STABLE PARALLEL SAFE COST 1000;
COMMENT ON FUNCTION many_models.predict_many(text, jsonb[], jsonb[], integer) IS
    'predict for each element of keys and features, in their order, all from one state of the registry; version NULL: as predict';

CREATE FUNCTION many_models.predict_many_interval(
    model_set text,
    keys      jsonb[],
    features  jsonb[],
    level     double precision DEFAULT 0.95,
    version   integer DEFAULT NULL
) RETURNS TABLE (
    ordinality    bigint,
    prediction    double precision,
    lower         double precision,
    upper         double precision,
    model_version integer,
    model_level   text,
    reason        text
)
    AS 'MODULE_PATHNAME', 'many_predict_many_interval' LANGUAGE C STABLE PARALLEL SAFE COST 1000 ROWS 100;
COMMENT ON FUNCTION many_models.predict_many_interval(text, jsonb[], jsonb[], double precision, integer) IS
    'predict_interval for each element of keys and features, a row each, numbered from 1 in their order; reason says why a prediction is missing or not what it could be';

CREATE FUNCTION many_models.shared_cache_statistics(
    OUT size_bytes bigint,
    OUT models     bigint,
    OUT hits       bigint,
    OUT misses     bigint,
    OUT insertions bigint,
    OUT evictions  bigint
)
    AS 'MODULE_PATHNAME', 'many_shared_cache_statistics' LANGUAGE C VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION many_models.shared_cache_statistics() IS
    'the models that all sessions of the server share (setting many_models.shared_cache_size): size 0 without it; counts since the server started';
REVOKE ALL ON FUNCTION many_models.shared_cache_statistics() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION many_models.shared_cache_statistics() TO pg_read_all_stats;
