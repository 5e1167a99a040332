-- Accuracy over time: predictions against the actuals that have arrived, and drift.

CREATE FUNCTION many_models.number_of(value "any") RETURNS double precision
    AS 'MODULE_PATHNAME', 'many_number_of' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION many_models.number_of("any") IS
    'the number that training reads a value as: dates in days and timestamps in seconds since 1970-01-01, booleans 0 and 1';

-- What a model was trained on, and judged by.
CREATE FUNCTION many_models.model_moments(model many_models.model, features text[] DEFAULT NULL)
    RETURNS TABLE (term text, mean double precision, sd double precision)
    AS 'MODULE_PATHNAME', 'many_model_moments' LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 10;
COMMENT ON FUNCTION many_models.model_moments(many_models.model, text[]) IS
    'mean and standard deviation (divisor n) of each term over the rows of the fit; of feature=level the share of the level';

CREATE FUNCTION many_models.model_reference(
    model many_models.model,
    OUT reference text,
    OUT rmse      double precision,
    OUT n_rows    bigint
)
    AS 'MODULE_PATHNAME', 'many_model_reference' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION many_models.model_reference(many_models.model) IS
    'the error that later errors are compared with: of the holdout, else of cross-validation (cv), else the residual standard deviation (fit)';

CREATE FUNCTION many_models.model_checksum(model many_models.model) RETURNS bigint
    AS 'MODULE_PATHNAME', 'many_model_checksum' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION many_models.model_checksum(many_models.model) IS
    'the checksum in a model''s head: a model that is carried forward or promoted keeps it';

CREATE FUNCTION many_models.feature_shift(
    model    many_models.model,
    features text[],
    left_out text[],
    numbers  double precision[],
    levels   jsonb,
    OUT psi     double precision,
    OUT feature text,
    OUT noise   double precision
)
    AS 'MODULE_PATHNAME', 'many_feature_shift' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION many_models.feature_shift(many_models.model, text[], text[], double precision[], jsonb) IS
    'population stability index of the feature that moved most; numbers: count, mean and standard deviation of each feature, levels: rows per level; called by evaluate_many_models';

-- Metrics of any predictions, by the code that judges the holdout.
CREATE TYPE many_models.accuracy_summary AS (
    n_rows   bigint,
    rmse     double precision,
    mae      double precision,
    mape     double precision,
    smape    double precision,
    r2       double precision,
    bias     double precision,
    coverage double precision
);
COMMENT ON TYPE many_models.accuracy_summary IS
    'metrics of predictions against actuals; coverage: the share of actuals within the interval';

CREATE FUNCTION many_models.accuracy_accum(bytea, double precision, double precision) RETURNS bytea
    AS 'MODULE_PATHNAME', 'many_accuracy_accum' LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION many_models.accuracy_accum(bytea, double precision, double precision, double precision, double precision)
    RETURNS bytea
    AS 'MODULE_PATHNAME', 'many_accuracy_accum' LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION many_models.accuracy_combine(bytea, bytea) RETURNS bytea
    AS 'MODULE_PATHNAME', 'many_accuracy_combine' LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION many_models.accuracy_final(bytea) RETURNS many_models.accuracy_summary
    AS 'MODULE_PATHNAME', 'many_accuracy_final' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION many_models.accuracy_accum(bytea, double precision, double precision) IS
    'transition function of the aggregate accuracy';
COMMENT ON FUNCTION many_models.accuracy_accum(bytea, double precision, double precision, double precision, double precision) IS
    'transition function of the aggregate accuracy';
COMMENT ON FUNCTION many_models.accuracy_combine(bytea, bytea) IS 'combine function of the aggregate accuracy';
COMMENT ON FUNCTION many_models.accuracy_final(bytea) IS 'final function of the aggregate accuracy';
CREATE AGGREGATE many_models.accuracy(prediction double precision, actual double precision) (
    SFUNC = many_models.accuracy_accum,
    STYPE = bytea,
    SSPACE = 320,
    COMBINEFUNC = many_models.accuracy_combine,
    FINALFUNC = many_models.accuracy_final,
    PARALLEL = SAFE
);
CREATE AGGREGATE many_models.accuracy(prediction double precision, actual double precision, lower double precision, upper double precision) (
    SFUNC = many_models.accuracy_accum,
    STYPE = bytea,
    SSPACE = 320,
    COMBINEFUNC = many_models.accuracy_combine,
    FINALFUNC = many_models.accuracy_final,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE many_models.accuracy(double precision, double precision) IS
    'metrics of predictions against actuals; rows with a NULL or a value that is not finite are left out';
COMMENT ON AGGREGATE many_models.accuracy(double precision, double precision, double precision, double precision) IS
    'metrics of predictions and their intervals against actuals; rows with a NULL or a value that is not finite are left out';

-- The aggregates of evaluate_many_models: rows of one id, then pairs of a group.
CREATE FUNCTION many_models.pair_accum(bytea, bigint, double precision, double precision, double precision, bigint, integer, double precision)
    RETURNS bytea
    AS 'MODULE_PATHNAME', 'many_pair_accum' LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION many_models.pair_version(bytea) RETURNS integer
    AS 'MODULE_PATHNAME', 'many_pair_version' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION many_models.pair_model(bytea) RETURNS bigint
    AS 'MODULE_PATHNAME', 'many_pair_model' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
-- Without a combine function: ids are as many as rows, so that partial aggregates would only cost.
CREATE AGGREGATE many_models.pair(run_id bigint, prediction double precision, lower double precision, upper double precision, model_id bigint, model_version integer, actual double precision) (
    SFUNC = many_models.pair_accum,
    STYPE = bytea,
    SSPACE = 80,
    PARALLEL = SAFE
);
CREATE FUNCTION many_models.evaluate_accum(bytea, bytea) RETURNS bytea
    AS 'MODULE_PATHNAME', 'many_evaluate_accum' LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE FUNCTION many_models.evaluate_final(bytea) RETURNS double precision[]
    AS 'MODULE_PATHNAME', 'many_evaluate_final' LANGUAGE C IMMUTABLE PARALLEL SAFE;
CREATE AGGREGATE many_models.evaluate_pairs(pair bytea) (
    SFUNC = many_models.evaluate_accum,
    STYPE = bytea,
    SSPACE = 320,
    COMBINEFUNC = many_models.accuracy_combine,
    FINALFUNC = many_models.evaluate_final,
    PARALLEL = SAFE
);
COMMENT ON FUNCTION many_models.pair_accum(bytea, bigint, double precision, double precision, double precision, bigint, integer, double precision) IS
    'transition function of the aggregate pair';
COMMENT ON FUNCTION many_models.pair_version(bytea) IS 'version that predicted a pair';
COMMENT ON FUNCTION many_models.pair_model(bytea) IS 'model that predicted a pair';
COMMENT ON AGGREGATE many_models.pair(bigint, double precision, double precision, double precision, bigint, integer, double precision) IS
    'the rows of one id as a pair of prediction and actual; used by evaluate_many_models';
COMMENT ON FUNCTION many_models.evaluate_accum(bytea, bytea) IS 'transition function of the aggregate evaluate_pairs';
COMMENT ON FUNCTION many_models.evaluate_final(bytea) IS 'final function of the aggregate evaluate_pairs';
COMMENT ON AGGREGATE many_models.evaluate_pairs(bytea) IS
    'counts and metrics of pairs; used by evaluate_many_models';

-- Results: one row per group, period and version.
CREATE TABLE many_models.evaluations (
    run_id               bigint NOT NULL,
    model_set            text NOT NULL,
    partition_key        jsonb NOT NULL,
    key_hash             bigint NOT NULL,
    period               text,
    period_start         timestamp,
    model_version        integer,
    model_id             bigint,
    model_checksum       bigint,
    n_predictions        bigint NOT NULL,
    n_rows               bigint NOT NULL,
    n_without_actual     bigint NOT NULL,
    n_without_prediction bigint NOT NULL,
    n_not_scored         bigint NOT NULL,
    rmse                 double precision,
    mae                  double precision,
    mape                 double precision,
    smape                double precision,
    r2                   double precision,
    bias                 double precision,
    coverage             double precision,
    reference            text,
    reference_rmse       double precision,
    reference_rows       bigint,
    psi                  double precision,
    psi_feature          text,
    psi_noise            double precision
);
ALTER TABLE many_models.evaluations REPLICA IDENTITY FULL;
CREATE INDEX evaluations_key_idx ON many_models.evaluations (model_set, key_hash);
CREATE INDEX evaluations_period_idx ON many_models.evaluations (model_set, period, period_start);
COMMENT ON TABLE many_models.evaluations IS
    'accuracy of stored predictions per group, period and version of the models; written by evaluate_many_models, which replaces rows of the same';
COMMENT ON COLUMN many_models.evaluations.run_id IS 'the evaluation, as in runs; the newest that covered the row';
COMMENT ON COLUMN many_models.evaluations.key_hash IS 'as in model_store';
COMMENT ON COLUMN many_models.evaluations.period IS 'unit of the periods; NULL: one period';
COMMENT ON COLUMN many_models.evaluations.period_start IS
    'start of the period; of timestamptz in the time zone of the evaluation, UTC unless told otherwise';
COMMENT ON COLUMN many_models.evaluations.model_version IS
    'version of the model that predicted; NULL where the group had none';
COMMENT ON COLUMN many_models.evaluations.model_id IS 'the model, as in models, unless it was dropped since';
COMMENT ON COLUMN many_models.evaluations.model_checksum IS
    'model_checksum of the model: by it drift knows the model in later versions that carried it forward';
COMMENT ON COLUMN many_models.evaluations.n_predictions IS
    'rows of predictions: n_rows + n_without_actual + n_without_prediction';
COMMENT ON COLUMN many_models.evaluations.n_rows IS 'predictions with an actual, which the metrics are of';
COMMENT ON COLUMN many_models.evaluations.n_without_actual IS 'predictions whose actual has not arrived';
COMMENT ON COLUMN many_models.evaluations.n_without_prediction IS 'rows that scoring left without a prediction';
COMMENT ON COLUMN many_models.evaluations.n_not_scored IS
    'actuals of the group and period, whatever the version, that were never scored';
COMMENT ON COLUMN many_models.evaluations.coverage IS 'share of the actuals within the prediction interval';
COMMENT ON COLUMN many_models.evaluations.reference IS
    'what reference_rmse is of: holdout, cv, or fit (the residual standard deviation)';
COMMENT ON COLUMN many_models.evaluations.psi IS
    'population stability index of the feature that moved most against the training; with option features';
COMMENT ON COLUMN many_models.evaluations.psi_noise IS
    'what the index of unchanged features exceeds by chance in 1 of 100 cases';

CREATE TABLE many_models.drift_thresholds (
    model_set   text PRIMARY KEY,
    error_ratio double precision,
    psi         double precision,
    periods     integer NOT NULL
);
COMMENT ON TABLE many_models.drift_thresholds IS
    'when groups of a set count as drifted, where set_drift_threshold changed it';
COMMENT ON COLUMN many_models.drift_thresholds.error_ratio IS
    'largest rmse over reference_rmse; NULL: not considered';
COMMENT ON COLUMN many_models.drift_thresholds.psi IS
    'largest population stability index; NULL: not considered';
COMMENT ON COLUMN many_models.drift_thresholds.periods IS 'number of the latest periods that count';

ALTER TABLE many_models.evaluations ENABLE ROW LEVEL SECURITY;
ALTER TABLE many_models.drift_thresholds ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_granted_key ON many_models.evaluations FOR SELECT
    USING (model_set IN (SELECT s.model_set FROM many_models.model_sets AS s)
        AND many_models.key_is_granted(model_set, partition_key));
CREATE POLICY of_visible_set ON many_models.drift_thresholds FOR SELECT
    USING (model_set IN (SELECT s.model_set FROM many_models.model_sets AS s));
REVOKE ALL ON many_models.evaluations, many_models.drift_thresholds FROM PUBLIC;
GRANT SELECT ON many_models.evaluations, many_models.drift_thresholds TO PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('many_models.evaluations', '');
SELECT pg_catalog.pg_extension_config_dump('many_models.drift_thresholds', '');

CREATE TYPE many_models.evaluation_summary AS (
    run_id             bigint,
    model_set          text,
    groups             bigint,
    periods            bigint,
    predictions        bigint,
    evaluated          bigint,
    without_actual     bigint,
    without_prediction bigint,
    not_scored         bigint,
    drifted            bigint,
    elapsed            interval
);
COMMENT ON TYPE many_models.evaluation_summary IS
    'what an evaluation found: one row, returned by evaluate_many_models';

CREATE FUNCTION many_models.evaluate_many_models(
    model_set   text,
    source      text   DEFAULT NULL,
    predictions text   DEFAULT NULL,
    id_columns  text[] DEFAULT NULL,
    target      text   DEFAULT NULL,
    period      text   DEFAULT 'month',
    run_id      bigint DEFAULT NULL,
    options     jsonb  DEFAULT '{}'
) RETURNS many_models.evaluation_summary
    AS 'MODULE_PATHNAME', 'many_evaluate_many_models' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.evaluate_many_models(text, text, text, text[], text, text, bigint, jsonb) IS
    'compares stored predictions with the actuals that have arrived and records metrics per group, period and version; options: features, since, until, time_zone';
REVOKE ALL ON FUNCTION many_models.evaluate_many_models(text, text, text, text[], text, text, bigint, jsonb)
    FROM PUBLIC;

CREATE FUNCTION many_models.set_drift_threshold(
    model_set   text,
    error_ratio double precision DEFAULT 1.5,
    psi         double precision DEFAULT 0.25,
    periods     integer DEFAULT 2
) RETURNS void
    AS 'MODULE_PATHNAME', 'many_set_drift_threshold' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION many_models.set_drift_threshold(text, double precision, double precision, integer) IS
    'sets when groups of a model set count as drifted: error against the reference, population stability index (NULL: not considered), over how many of the latest periods';
REVOKE ALL ON FUNCTION many_models.set_drift_threshold(text, double precision, double precision, integer)
    FROM PUBLIC;

-- The models in use against the latest evaluations of their predictions.
CREATE VIEW many_models.drift WITH (security_invoker = true) AS
WITH newest AS (
    -- Of each set, its thresholds and the unit of its latest evaluation.
    SELECT s.model_set,
           CASE WHEN h.model_set IS NULL THEN 1.5 ELSE h.error_ratio END AS error_threshold,
           CASE WHEN h.model_set IS NULL THEN 0.25 ELSE h.psi END AS psi_threshold,
           coalesce(h.periods, 2) AS periods,
           e.details ->> 'period' AS period
    FROM many_models.model_sets AS s
    LEFT JOIN LATERAL (SELECT r.details FROM many_models.runs AS r
                       WHERE r.model_set = s.model_set AND r.kind = 'evaluate'
                       ORDER BY r.run_id DESC LIMIT 1) AS e ON true
    LEFT JOIN many_models.drift_thresholds AS h ON h.model_set = s.model_set
), since AS (
    SELECT n.model_set, n.period, min(p.period_start) AS period_start
    FROM newest AS n
    LEFT JOIN LATERAL (SELECT DISTINCT e.period_start FROM many_models.evaluations AS e
                       WHERE e.model_set = n.model_set AND e.period = n.period AND e.n_rows > 0
                       ORDER BY e.period_start DESC LIMIT n.periods) AS p ON true
    GROUP BY n.model_set, n.period
), recent AS (
    SELECT e.model_set, e.key_hash, e.partition_key, e.model_checksum,
           min(e.period_start) AS first_period,
           max(e.period_start) AS last_period,
           sum(e.n_rows)::bigint AS n_rows,
           sqrt(sum(e.n_rows * e.rmse ^ 2) / sum(e.n_rows)) AS rmse,
           sum(e.n_rows * e.bias) / sum(e.n_rows) AS bias,
           sum(e.n_rows * e.coverage) / nullif(sum(e.n_rows) FILTER (WHERE e.coverage IS NOT NULL), 0) AS coverage,
           min(e.reference) AS reference,
           min(e.reference_rmse) AS reference_rmse,
           min(e.reference_rows) AS reference_rows,
           (array_agg(e.psi ORDER BY e.n_rows DESC, e.period_start DESC) FILTER (WHERE e.psi IS NOT NULL))[1] AS psi,
           (array_agg(e.psi_feature ORDER BY e.n_rows DESC, e.period_start DESC) FILTER (WHERE e.psi IS NOT NULL))[1] AS psi_feature,
           (array_agg(e.psi_noise ORDER BY e.n_rows DESC, e.period_start DESC) FILTER (WHERE e.psi IS NOT NULL))[1] AS psi_noise
    FROM many_models.evaluations AS e
    JOIN since AS w ON w.model_set = e.model_set AND w.period IS NOT DISTINCT FROM e.period
        AND (e.period IS NULL OR e.period_start >= w.period_start)
    WHERE e.n_rows > 0 AND e.rmse < 1e150
    GROUP BY e.model_set, e.key_hash, e.partition_key, e.model_checksum
), models AS (
    SELECT u.model_set, u.version, u.model_id, u.key_hash, u.partition_key, u.in_production,
           many_models.model_checksum(u.model) AS checksum
    FROM many_models.models_in_use AS u
), measured AS (
    SELECT m.model_set, m.version, m.model_id, m.partition_key, m.in_production, n.period,
           r.first_period, r.last_period, r.n_rows, r.rmse, r.bias, r.coverage,
           r.reference, r.reference_rmse, r.reference_rows,
           CASE WHEN r.reference_rmse > 0 THEN r.rmse / r.reference_rmse END AS error_ratio,
           CASE WHEN r.reference_rows > 0
               THEN exp(2.3263::double precision * sqrt(0.5 / r.n_rows::double precision + 0.5 / r.reference_rows::double precision)) END AS error_noise,
           n.error_threshold, r.psi, r.psi_feature, r.psi_noise, n.psi_threshold
    FROM models AS m
    JOIN newest AS n ON n.model_set = m.model_set
    LEFT JOIN recent AS r ON r.model_set = m.model_set AND r.key_hash = m.key_hash
        AND r.model_checksum = m.checksum AND r.partition_key = m.partition_key
)
SELECT d.*,
       coalesce(d.error_ratio > greatest(d.error_threshold, d.error_noise) AND d.error_threshold IS NOT NULL, false) AS error_drifted,
       coalesce(d.psi > greatest(d.psi_threshold, d.psi_noise) AND d.psi_threshold IS NOT NULL, false) AS psi_drifted,
       coalesce(d.error_ratio > greatest(d.error_threshold, d.error_noise) AND d.error_threshold IS NOT NULL, false)
           OR coalesce(d.psi > greatest(d.psi_threshold, d.psi_noise) AND d.psi_threshold IS NOT NULL, false) AS drifted
FROM measured AS d;
COMMENT ON VIEW many_models.drift IS
    'one row per model in use (in production, or of the latest version): the error of its latest predictions against that of its holdout, and how far the features moved';
COMMENT ON COLUMN many_models.drift.in_production IS
    'whether the model is in production; else it is of the latest version';
COMMENT ON COLUMN many_models.drift.n_rows IS
    'predictions with an actual in the latest periods; NULL where the model has none yet';
COMMENT ON COLUMN many_models.drift.error_ratio IS 'rmse / reference_rmse';
COMMENT ON COLUMN many_models.drift.error_noise IS
    'what the ratio of an unchanged error exceeds by chance in 1 of 100 cases';
COMMENT ON COLUMN many_models.drift.psi IS
    'of the recent period with most rows; see evaluations';
COMMENT ON COLUMN many_models.drift.drifted IS
    'error_ratio or psi is above its threshold, and above what chance explains';
GRANT SELECT ON many_models.drift TO PUBLIC;

CREATE FUNCTION many_models.drifted_keys(model_set text) RETURNS SETOF jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
        SELECT d.partition_key FROM many_models.drift AS d
        WHERE d.model_set = drifted_keys.model_set AND d.drifted;
    END;
COMMENT ON FUNCTION many_models.drifted_keys(text) IS
    'the groups of a model set whose models drifted, by the view drift';
