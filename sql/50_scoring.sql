-- Scoring: score_many_models (a table of predictions) and predict by model set (one row).

CREATE TYPE many_models.score;
CREATE FUNCTION many_models.score_in(cstring) RETURNS many_models.score
    AS 'MODULE_PATHNAME', 'many_score_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION many_models.score_out(many_models.score) RETURNS cstring
    AS 'MODULE_PATHNAME', 'many_score_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE TYPE many_models.score (
    INPUT = many_models.score_in,
    OUTPUT = many_models.score_out,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = int4,
    STORAGE = external
);
COMMENT ON TYPE many_models.score IS
    'prediction, interval and reason code of one row, on the way to the predictions table';
COMMENT ON FUNCTION many_models.score_in(cstring) IS 'input function; accepts nothing';
COMMENT ON FUNCTION many_models.score_out(many_models.score) IS 'output function';

-- What score_many_models puts around each source row. Stable: they read the models. `models` has storage
-- and run_id of a version, then layer and storage of what is in production.
CREATE FUNCTION many_models.score_row(models bigint[], level double precision, keys text[], features text[], VARIADIC columns "any")
    RETURNS many_models.score
    AS 'MODULE_PATHNAME', 'many_score_row' LANGUAGE C STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION many_models.score_row(bigint[], double precision, text[], text[], "any") IS
    'scores one row with the model of its group; columns: the partition columns, then the features';

CREATE FUNCTION many_models.score_record(models bigint[], level double precision, keys text[], features text[], columns record)
    RETURNS many_models.score
    AS 'MODULE_PATHNAME', 'many_score_record' LANGUAGE C STABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION many_models.score_record(bigint[], double precision, text[], text[], record) IS
    'score_row for more columns than a function has arguments';

-- Volatile: evaluated where it stands, below the join, once per model.
CREATE FUNCTION many_models.open_model(model many_models.model, level double precision)
    RETURNS many_models.model
    AS 'MODULE_PATHNAME', 'many_open_model' LANGUAGE C VOLATILE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION many_models.open_model(many_models.model, double precision) IS
    'a model verified, in memory and ready for prediction intervals of a level';

CREATE FUNCTION many_models.score_joined(model_id bigint, version integer, model many_models.model, places integer[], features record)
    RETURNS many_models.score
    AS 'MODULE_PATHNAME', 'many_score_joined' LANGUAGE C IMMUTABLE PARALLEL SAFE COST 10;
COMMENT ON FUNCTION many_models.score_joined(bigint, integer, many_models.model, integer[], record) IS
    'scores one row with the model that a join found for it; places: of the model''s features among those of the row';

CREATE FUNCTION many_models.score_many_models(
    model_set  text,
    source     text    DEFAULT NULL,
    into_table text    DEFAULT NULL,
    id_columns text[]  DEFAULT NULL,
    version    integer DEFAULT NULL,
    horizon    integer DEFAULT NULL,
    level      double precision DEFAULT 0.95,
    options    jsonb   DEFAULT '{}',
    workers    integer DEFAULT NULL
) RETURNS many_models.run_summary
    AS 'MODULE_PATHNAME', 'many_score_many_models' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.score_many_models(text, text, text, text[], integer, integer,
    double precision, jsonb, integer) IS
    'scores every row of the source with the model of its group into a table; in the summary, trained is the number of models and failed the number of rows without a prediction; options: on_existing (append, replace), row_security, and quantiles of forecasters';
REVOKE ALL ON FUNCTION many_models.score_many_models(text, text, text, text[], integer, integer,
    double precision, jsonb, integer) FROM PUBLIC;

CREATE FUNCTION many_models.predict(model_set text, key jsonb, features jsonb)
    RETURNS double precision
    AS 'MODULE_PATHNAME', 'many_predict_set' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION many_models.predict(text, jsonb, jsonb) IS
    'the prediction of the model of one group: key has the partition columns, features every feature by name; NULL when the group has no model, a feature is NULL or a level is unknown';

CREATE FUNCTION many_models.predict_interval(
    model_set text,
    key       jsonb,
    features  jsonb,
    level     double precision DEFAULT 0.95,
    OUT prediction    double precision,
    OUT lower         double precision,
    OUT upper         double precision,
    OUT model_version integer,
    OUT model_level   text
)
    AS 'MODULE_PATHNAME', 'many_predict_interval_set' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION many_models.predict_interval(text, jsonb, jsonb, double precision) IS
    'the prediction of the model of one group with its interval; model_level is group, or none when the group has no model';
