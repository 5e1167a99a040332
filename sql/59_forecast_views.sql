-- What can be read of forecasters: their methods, parameters and states, and how good they were by step.

CREATE FUNCTION many_models.model_forecaster(model many_models.model)
    RETURNS TABLE (
        method         text,
        label          text,
        combination    text,
        frequency      text,
        season_lengths integer[],
        observations   bigint,
        filled         bigint,
        merged         bigint,
        trimmed        bigint,
        stepped_down   text,
        interval_method text,
        time_zone      text
    )
    AS 'MODULE_PATHNAME', 'many_model_forecaster' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 1;
COMMENT ON FUNCTION many_models.model_forecaster(many_models.model) IS
    'the facts of a forecaster; no row for other models';

CREATE FUNCTION many_models.model_forecast_terms(model many_models.model)
    RETURNS TABLE (
        member    integer,
        method    text,
        weight    double precision,
        kind      text,
        term      text,
        estimate  double precision,
        std_error double precision
    )
    AS 'MODULE_PATHNAME', 'many_model_forecast_terms' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 10;
COMMENT ON FUNCTION many_models.model_forecast_terms(many_models.model) IS
    'parameters, coefficients and states of a forecaster; no row for other models';

CREATE FUNCTION many_models.model_forecast_metrics(model many_models.model)
    RETURNS TABLE (
        split        text,
        horizon_step integer,
        n            bigint,
        rmse         double precision,
        mae          double precision,
        mape         double precision,
        smape        double precision,
        mase         double precision,
        rmsse        double precision,
        owa          double precision,
        bias         double precision,
        coverage     double precision,
        winkler      double precision
    )
    AS 'MODULE_PATHNAME', 'many_model_forecast_metrics' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE ROWS 20;
COMMENT ON FUNCTION many_models.model_forecast_metrics(many_models.model) IS
    'how good a forecaster was, by split and step ahead; no row for other models';

CREATE VIEW many_models.forecasters WITH (security_invoker = true) AS
SELECT m.model_id,
       r.model_set,
       r.version,
       m.run_id,
       m.partition_key,
       f.method,
       f.label,
       f.combination,
       f.frequency,
       f.season_lengths,
       f.observations,
       f.filled,
       f.merged,
       f.trimmed,
       m.first_time,
       m.last_time,
       f.stepped_down,
       f.interval_method,
       f.time_zone
FROM many_models.model_store AS m
JOIN many_models.runs AS r ON r.run_id = m.run_id AND r.storage = m.storage
CROSS JOIN LATERAL many_models.model_forecaster(m.model) AS f;

CREATE VIEW many_models.forecast_terms WITH (security_invoker = true) AS
SELECT m.model_id,
       r.model_set,
       r.version,
       m.run_id,
       m.partition_key,
       t.member,
       t.method,
       t.weight,
       t.kind,
       t.term,
       t.estimate,
       t.std_error
FROM many_models.model_store AS m
JOIN many_models.runs AS r ON r.run_id = m.run_id AND r.storage = m.storage
CROSS JOIN LATERAL many_models.model_forecast_terms(m.model) AS t;

CREATE VIEW many_models.forecast_metrics WITH (security_invoker = true) AS
SELECT m.model_id,
       r.model_set,
       r.version,
       m.run_id,
       m.partition_key,
       t.split,
       t.horizon_step,
       t.n,
       t.rmse,
       t.mae,
       t.mape,
       t.smape,
       t.mase,
       t.rmsse,
       t.owa,
       t.bias,
       t.coverage,
       t.winkler
FROM many_models.model_store AS m
JOIN many_models.runs AS r ON r.run_id = m.run_id AND r.storage = m.storage
CROSS JOIN LATERAL many_models.model_forecast_metrics(m.model) AS t;

COMMENT ON VIEW many_models.forecasters IS 'one row per forecaster: method as fitted, series, frequency';
COMMENT ON COLUMN many_models.forecasters.method IS
    'what was fitted in the end: of auto_forecast the method chosen, of a short series what it stepped down to';
COMMENT ON COLUMN many_models.forecasters.label IS
    'with its form or orders, such as ETS(M,Ad,M) or ARIMA(0,1,1)(0,1,1)[12]; of an ensemble each of its members';
COMMENT ON COLUMN many_models.forecasters.frequency IS 'the step between observations, as given or inferred';
COMMENT ON COLUMN many_models.forecasters.season_lengths IS 'observations of a season; several: of each of them';
COMMENT ON COLUMN many_models.forecasters.observations IS 'of the series on its grid, the filled ones included';
COMMENT ON COLUMN many_models.forecasters.filled IS 'observations that the option fill made';
COMMENT ON COLUMN many_models.forecasters.merged IS 'rows that went into another of the same time, by the option duplicates';
COMMENT ON COLUMN many_models.forecasters.trimmed IS 'leading zeros left out, by the option trim_leading_zeros';
COMMENT ON COLUMN many_models.forecasters.stepped_down IS
    'what a series too short for the algorithm got instead: without season, or naive; NULL: the algorithm as asked';
COMMENT ON VIEW many_models.forecast_terms IS
    'parameters, coefficients and last states of forecasters, one row each';
COMMENT ON COLUMN many_models.forecast_terms.member IS 'of an ensemble: its method, from 1';
COMMENT ON COLUMN many_models.forecast_terms.kind IS 'parameter, state, seasonal (a state of the season), or order (p, d, q, P, D, Q of arima)';
COMMENT ON VIEW many_models.forecast_metrics IS
    'how good forecasters were, by split (train: one step within the series, holdout, cv: the backtest) and step ahead; NULL where a metric does not apply';
COMMENT ON COLUMN many_models.forecast_metrics.horizon_step IS 'steps ahead, from 1; NULL: all of them';
COMMENT ON COLUMN many_models.forecast_metrics.n IS 'forecasts compared with an actual value';
COMMENT ON COLUMN many_models.forecast_metrics.mase IS
    'mean absolute error divided by that of the seasonal naive forecast within the training part (Hyndman and Koehler 2006)';
COMMENT ON COLUMN many_models.forecast_metrics.rmsse IS 'the same of squares, by the naive forecast, as in the M5 competition';
COMMENT ON COLUMN many_models.forecast_metrics.owa IS
    'mean of smape and mase, each divided by that of naive2 on the same values, as in the M4 competition';
COMMENT ON COLUMN many_models.forecast_metrics.bias IS 'mean of forecast - actual';
COMMENT ON COLUMN many_models.forecast_metrics.coverage IS 'share of actual values within the 95 % interval';
COMMENT ON COLUMN many_models.forecast_metrics.winkler IS 'mean interval score of the 95 % interval (Gneiting and Raftery 2007)';

GRANT SELECT ON many_models.forecasters, many_models.forecast_terms, many_models.forecast_metrics TO PUBLIC;
