-- Forecasts: of one group in real time, of a model in any query, and what score_many_models puts beside
-- each model.

CREATE FUNCTION many_models.forecast(
    model_set text,
    key       jsonb,
    horizon   integer DEFAULT NULL,
    level     double precision DEFAULT 0.95,
    features  jsonb DEFAULT NULL,
    version   integer DEFAULT NULL,
    quantiles double precision[] DEFAULT NULL
) RETURNS TABLE (
    horizon_step  integer,
    forecast_time text,
    prediction    double precision,
    lower         double precision,
    upper         double precision,
    model_version integer,
    model_level   text,
    reason        text,
    quantiles     double precision[]
)
    AS 'MODULE_PATHNAME', 'many_forecast_set' LANGUAGE C STABLE PARALLEL SAFE COST 1000 ROWS 12;
COMMENT ON FUNCTION many_models.forecast(text, jsonb, integer, double precision, jsonb, integer, double precision[]) IS
    'the forecast of one group, a row for each step behind the end of its series; horizon NULL: as many as suit its frequency; features: an array of objects, one for each step, where the models have features; version NULL: as predict; quantiles: ascending between 0 and 1, in the result in their order';

-- A type to take from an argument cannot be taken from its default: the short form is a function of its own.
CREATE FUNCTION many_models.model_forecast(
    model   many_models.model,
    horizon integer DEFAULT NULL,
    level   double precision DEFAULT 0.95
) RETURNS TABLE (
    forecast_time text,
    horizon_step  integer,
    prediction    double precision,
    lower         double precision,
    upper         double precision,
    quantiles     double precision[]
)
    AS 'MODULE_PATHNAME', 'many_model_forecast' LANGUAGE C STABLE PARALLEL SAFE COST 1000 ROWS 12;
COMMENT ON FUNCTION many_models.model_forecast(many_models.model, integer, double precision) IS
    'the forecast of a model without features, with times as text; horizon NULL: as many steps as suit its frequency';

CREATE FUNCTION many_models.model_forecast(
    model     many_models.model,
    horizon   integer,
    level     double precision,
    time_type anyelement,
    quantiles double precision[] DEFAULT NULL
) RETURNS TABLE (
    forecast_time anyelement,
    horizon_step  integer,
    prediction    double precision,
    lower         double precision,
    upper         double precision,
    quantiles     double precision[]
)
    AS 'MODULE_PATHNAME', 'many_model_forecast' LANGUAGE C STABLE PARALLEL SAFE COST 1000 ROWS 12;
COMMENT ON FUNCTION many_models.model_forecast(many_models.model, integer, double precision, anyelement, double precision[]) IS
    'the forecast of a model without features; time_type: a NULL of the time column''s type, whose values forecast_time has';

-- For score_many_models. Stable: times depend on the server's time zones.
CREATE FUNCTION many_models.forecast_scores(
    model_id     bigint,
    version      integer,
    model        many_models.model,
    horizon      integer,
    level        double precision,
    time_type    anyelement,
    future_times anyarray,
    future       double precision[],
    quantiles    double precision[] DEFAULT NULL
) RETURNS TABLE (
    forecast_time anyelement,
    horizon_step  integer,
    score         many_models.score,
    quantiles     double precision[]
)
    AS 'MODULE_PATHNAME', 'many_forecast_scores' LANGUAGE C STABLE PARALLEL SAFE COST 1000 ROWS 12;
COMMENT ON FUNCTION many_models.forecast_scores(bigint, integer, many_models.model, integer, double precision, anyelement, anyarray, double precision[], double precision[]) IS
    'the steps of one group for the predictions table; future: features at future_times, one feature after the other; a NULL model gives one row that says so';

-- Stable: times depend on the server's time zones.
CREATE FUNCTION many_models.update_forecast(
    model   many_models.model,
    times   anyarray,
    actuals double precision[]
) RETURNS many_models.model
    AS 'MODULE_PATHNAME', 'many_update_forecast' LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION many_models.update_forecast(many_models.model, anyarray, double precision[]) IS
    'a forecaster moved forward by the observations that follow on its series, in any order, without refitting: its parameters stay; an error where it allows none';
