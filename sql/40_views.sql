-- What analysts, BI tools and DBAs read: views with the rights of the reader.

CREATE VIEW many_models.models WITH (security_invoker = true) AS
SELECT m.model_id,
       r.model_set,
       r.version,
       m.run_id,
       m.partition_key,
       many_models.model_algorithm(m.model) AS algorithm,
       m.n_rows,
       r.finished_at AS trained_at,
       m.seconds,
       many_models.model_bytes(m.model) AS bytes,
       'trained'::text AS status,
       m.first_time,
       m.last_time
FROM many_models.model_store AS m
JOIN many_models.runs AS r ON r.run_id = m.run_id AND r.storage = m.storage;

CREATE VIEW many_models.metrics WITH (security_invoker = true) AS
SELECT m.model_id,
       r.model_set,
       r.version,
       m.run_id,
       m.partition_key,
       s.split,
       s.n_rows::bigint AS n_rows,
       many_models.model_metric(m.model, s.split, 'rmse') AS rmse,
       many_models.model_metric(m.model, s.split, 'mae') AS mae,
       many_models.model_metric(m.model, s.split, 'mape') AS mape,
       many_models.model_metric(m.model, s.split, 'smape') AS smape,
       many_models.model_metric(m.model, s.split, 'mase') AS mase,
       many_models.model_metric(m.model, s.split, 'r2') AS r2,
       many_models.model_metric(m.model, s.split, 'bias') AS bias,
       NULL::double precision AS accuracy,
       NULL::double precision AS log_loss,
       NULL::double precision AS auc,
       NULL::double precision AS f1
FROM many_models.model_store AS m
JOIN many_models.runs AS r ON r.run_id = m.run_id AND r.storage = m.storage
CROSS JOIN LATERAL (
    SELECT v.split, many_models.model_metric(m.model, v.split, 'n_rows') AS n_rows
    FROM (VALUES ('train'::text), ('holdout'), ('cv')) AS v (split)
) AS s
WHERE s.n_rows IS NOT NULL;

CREATE VIEW many_models.coefficients WITH (security_invoker = true) AS
SELECT m.model_id,
       r.model_set,
       r.version,
       m.run_id,
       m.partition_key,
       c.term,
       c.estimate,
       c.std_error,
       c.t_value,
       c.p_value,
       c.lower,
       c.upper
FROM many_models.model_store AS m
JOIN many_models.runs AS r ON r.run_id = m.run_id AND r.storage = m.storage
CROSS JOIN LATERAL many_models.model_coefficients(m.model, r.features) AS c;

CREATE VIEW many_models.fit_statistics WITH (security_invoker = true) AS
SELECT m.model_id,
       r.model_set,
       r.version,
       m.run_id,
       m.partition_key,
       many_models.model_statistic(m.model, 'n_rows')::bigint AS n_rows,
       many_models.model_statistic(m.model, 'n_parameters')::integer AS n_parameters,
       many_models.model_statistic(m.model, 'df_residual')::bigint AS df_residual,
       many_models.model_statistic(m.model, 'sigma') AS sigma,
       many_models.model_statistic(m.model, 'r2') AS r2,
       many_models.model_statistic(m.model, 'adj_r2') AS adj_r2,
       many_models.model_statistic(m.model, 'log_likelihood') AS log_likelihood,
       many_models.model_statistic(m.model, 'aic') AS aic,
       many_models.model_statistic(m.model, 'bic') AS bic,
       many_models.model_statistic(m.model, 'deviance') AS deviance,
       many_models.model_statistic(m.model, 'condition_number') AS condition_number,
       many_models.model_statistic(m.model, 'lambda') AS lambda,
       many_models.model_statistic(m.model, 'alpha') AS alpha,
       many_models.model_statistic(m.model, 'aicc') AS aicc
FROM many_models.model_store AS m
JOIN many_models.runs AS r ON r.run_id = m.run_id AND r.storage = m.storage;

CREATE VIEW many_models.failures WITH (security_invoker = true) AS
SELECT f.run_id,
       r.model_set,
       r.version,
       f.partition_key,
       f.status,
       f.sqlstate,
       f.message,
       f.hint,
       f.attempt,
       f.n_rows,
       f.seconds
FROM many_models.failure_store AS f
JOIN many_models.runs AS r ON r.run_id = f.run_id AND r.storage = f.storage;

COMMENT ON VIEW many_models.models IS 'one row per trained model';
COMMENT ON COLUMN many_models.models.partition_key IS
    'the group: (partition_key ->> ''column'')::type gives a key column back';
COMMENT ON COLUMN many_models.models.n_rows IS 'rows the final model was fitted on';
COMMENT ON COLUMN many_models.models.trained_at IS 'when the run finished';
COMMENT ON COLUMN many_models.models.seconds IS 'time of all fits of this group, that of the training split included';
COMMENT ON COLUMN many_models.models.bytes IS 'size of the model';
COMMENT ON COLUMN many_models.models.first_time IS 'first value of the time column in the group';
COMMENT ON COLUMN many_models.models.last_time IS 'last value of the time column in the group';
COMMENT ON VIEW many_models.metrics IS
    'one row per model and split (train, holdout, cv) that has rows; NULL where a metric does not apply';
COMMENT ON COLUMN many_models.metrics.n_rows IS 'rows of the split';
COMMENT ON COLUMN many_models.metrics.rmse IS 'root of the mean squared error';
COMMENT ON COLUMN many_models.metrics.mae IS 'mean absolute error';
COMMENT ON COLUMN many_models.metrics.mape IS
    'mean of |error / actual|, a fraction, over rows with an actual other than 0';
COMMENT ON COLUMN many_models.metrics.smape IS
    'mean of 2 |error| / (|actual| + |prediction|), from 0 to 2';
COMMENT ON COLUMN many_models.metrics.mase IS
    'mean absolute error divided by that of the seasonal naive forecast within the training part, of forecasters';
COMMENT ON COLUMN many_models.metrics.r2 IS
    'coefficient of determination; negative when worse than the mean';
COMMENT ON COLUMN many_models.metrics.bias IS 'mean of prediction - actual';
COMMENT ON COLUMN many_models.metrics.accuracy IS 'share of right classes, of classifiers';
COMMENT ON VIEW many_models.coefficients IS
    'one row per model and term; NULL where not defined (a dropped collinear term keeps its row)';
COMMENT ON COLUMN many_models.coefficients.term IS
    '(Intercept), the feature''s name, or feature=level for a level of a categorical feature';
COMMENT ON COLUMN many_models.coefficients.lower IS 'lower end of the 95 % confidence interval';
COMMENT ON COLUMN many_models.coefficients.upper IS 'upper end of the 95 % confidence interval';
COMMENT ON VIEW many_models.fit_statistics IS 'one row per model: goodness of fit on all its rows';
COMMENT ON COLUMN many_models.fit_statistics.n_parameters IS
    'parameters estimated, the intercept included';
COMMENT ON COLUMN many_models.fit_statistics.sigma IS 'residual standard deviation';
COMMENT ON COLUMN many_models.fit_statistics.deviance IS 'residual sum of squares';
COMMENT ON COLUMN many_models.fit_statistics.condition_number IS
    'of the design matrix with columns scaled to unit length; above 30: collinearity';
COMMENT ON COLUMN many_models.fit_statistics.lambda IS
    'strength of the penalty, as used (also when chosen by cross-validation)';
COMMENT ON COLUMN many_models.fit_statistics.alpha IS 'mixing of the penalties: 0 ridge, 1 lasso';
COMMENT ON COLUMN many_models.fit_statistics.aicc IS 'AIC corrected for short series, of forecasters';
COMMENT ON VIEW many_models.failures IS 'groups that got no model, with the reason';
COMMENT ON COLUMN many_models.failures.status IS
    'skipped (nothing to fit: too few rows, constant target) or failed (anything else)';

GRANT SELECT ON many_models.models, many_models.metrics, many_models.coefficients,
    many_models.fit_statistics, many_models.failures TO PUBLIC;
