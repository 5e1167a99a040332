-- The model value and what can be read from it.

CREATE FUNCTION many_models.model_in(cstring) RETURNS many_models.model
    AS 'MODULE_PATHNAME', 'many_model_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION many_models.model_out(many_models.model) RETURNS cstring
    AS 'MODULE_PATHNAME', 'many_model_out' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION many_models.model_recv(internal) RETURNS many_models.model
    AS 'MODULE_PATHNAME', 'many_model_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION many_models.model_send(many_models.model) RETURNS bytea
    AS 'MODULE_PATHNAME', 'many_model_send' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

CREATE TYPE many_models.model (
    INPUT = many_models.model_in,
    OUTPUT = many_models.model_out,
    RECEIVE = many_models.model_recv,
    SEND = many_models.model_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = int4,
    STORAGE = external
);
COMMENT ON TYPE many_models.model IS
    'a fitted model: compact, versioned, checksummed; text form is hexadecimal';
COMMENT ON FUNCTION many_models.model_in(cstring) IS 'input function; checks version and checksum';
COMMENT ON FUNCTION many_models.model_out(many_models.model) IS 'output function';
COMMENT ON FUNCTION many_models.model_recv(internal) IS 'binary input function; checks version and checksum';
COMMENT ON FUNCTION many_models.model_send(many_models.model) IS 'binary output function';

CREATE FUNCTION many_models.model_check(model many_models.model) RETURNS boolean
    AS 'MODULE_PATHNAME', 'many_model_check' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION many_models.model_check(many_models.model) IS
    'whether a model value is intact: format version, lengths and checksum';

CREATE FUNCTION many_models.model_error(model many_models.model) RETURNS text
    AS 'MODULE_PATHNAME', 'many_model_error' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION many_models.model_error(many_models.model) IS
    'why fit gave no model for the group; NULL for a fitted model';

CREATE FUNCTION many_models.model_algorithm(model many_models.model) RETURNS text
    AS 'MODULE_PATHNAME', 'many_model_algorithm' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION many_models.model_algorithm(many_models.model) IS
    'the algorithm that fitted the model';

CREATE FUNCTION many_models.model_bytes(model many_models.model) RETURNS integer
    AS 'MODULE_PATHNAME', 'many_model_bytes' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION many_models.model_bytes(many_models.model) IS 'size of the model in bytes';

CREATE FUNCTION many_models.model_metric(model many_models.model, split text, metric text)
    RETURNS double precision
    AS 'MODULE_PATHNAME', 'many_model_metric' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION many_models.model_metric(many_models.model, text, text) IS
    'a metric (n_rows, rmse, mae, mape, smape, r2, bias, mase) on a split (train, holdout, cv); NULL where it does not apply';

CREATE FUNCTION many_models.model_statistic(model many_models.model, name text)
    RETURNS double precision
    AS 'MODULE_PATHNAME', 'many_model_statistic' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION many_models.model_statistic(many_models.model, text) IS
    'a statistic of the fit: n_rows, n_parameters, df_residual, sigma, r2, adj_r2, log_likelihood, aic, aicc, bic, deviance, condition_number, lambda, alpha, rank';

CREATE FUNCTION many_models.model_coefficients(
    model    many_models.model,
    features text[] DEFAULT NULL,
    level    double precision DEFAULT 0.95
) RETURNS TABLE (
    term      text,
    estimate  double precision,
    std_error double precision,
    t_value   double precision,
    p_value   double precision,
    lower     double precision,
    upper     double precision
)
    AS 'MODULE_PATHNAME', 'many_model_coefficients' LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 10;
COMMENT ON FUNCTION many_models.model_coefficients(many_models.model, text[], double precision) IS
    'the terms of a model with their inference, the intercept first; features: names to use for x1, x2, ...; a dropped collinear term keeps its row';
