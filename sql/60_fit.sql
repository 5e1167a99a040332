-- The building block: an aggregate that fits a model per group of any query, and its predictions.

CREATE FUNCTION many_models.fit_accum(state bytea, options jsonb, target double precision, features double precision[])
    RETURNS bytea
    AS 'MODULE_PATHNAME', 'many_fit_accum' LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION many_models.fit_combine(state bytea, other bytea) RETURNS bytea
    AS 'MODULE_PATHNAME', 'many_fit_combine' LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION many_models.fit_final(state bytea) RETURNS many_models.model
    AS 'MODULE_PATHNAME', 'many_fit_final' LANGUAGE C IMMUTABLE PARALLEL SAFE;

CREATE AGGREGATE many_models.fit(options jsonb, target double precision, features double precision[]) (
    SFUNC = many_models.fit_accum,
    STYPE = bytea,
    SSPACE = 4096,
    COMBINEFUNC = many_models.fit_combine,
    FINALFUNC = many_models.fit_final,
    PARALLEL = SAFE
);

COMMENT ON FUNCTION many_models.fit_accum(bytea, jsonb, double precision, double precision[]) IS
    'transition function of the aggregate fit';
COMMENT ON FUNCTION many_models.fit_combine(bytea, bytea) IS 'combine function of the aggregate fit';
COMMENT ON FUNCTION many_models.fit_final(bytea) IS 'final function of the aggregate fit';
COMMENT ON AGGREGATE many_models.fit(jsonb, double precision, double precision[]) IS
    'fits a model to the rows of a group; options: algorithm, fit_intercept, standardize, lambda, alpha, cv_folds, min_rows, seed; rows with a NULL are skipped; a group that cannot be fitted gives a value with model_error';

CREATE FUNCTION many_models.predict(model many_models.model, features double precision[])
    RETURNS double precision
    AS 'MODULE_PATHNAME', 'many_predict_model' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION many_models.predict(many_models.model, double precision[]) IS
    'the prediction of a model for one row of features, in the order of the fit; NULL when a feature is NULL or the value carries an error';

-- Not an overload of predict_interval(model_set, key, features): calls of that with plain literals
-- would be ambiguous.
CREATE FUNCTION many_models.prediction_interval(
    model    many_models.model,
    features double precision[],
    level    double precision DEFAULT 0.95,
    OUT prediction double precision,
    OUT lower      double precision,
    OUT upper      double precision
)
    AS 'MODULE_PATHNAME', 'many_prediction_interval' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION many_models.prediction_interval(many_models.model, double precision[], double precision) IS
    'the prediction and its interval: where a new observation falls with probability level; lower and upper are NULL for penalised models';
