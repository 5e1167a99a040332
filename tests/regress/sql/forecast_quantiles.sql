-- Quantiles of forecasts: columns of the predictions table, arrays of forecast and model_forecast.
CREATE SCHEMA forecast_quantiles;
SET search_path = forecast_quantiles, public;
SET client_min_messages = warning;

-- naive: errors of -2 and 2, so sigma is 2 and the quantile h steps ahead 12 + z * 2 * sqrt(h).
CREATE TABLE waves AS SELECT 'a' AS g, t, 10 + 2 * (t % 2) AS y FROM generate_series(1, 11) AS t;
SELECT trained FROM many_models.train_many_models('waves', 'waves', '{g}', 'y', algorithm => 'naive', time_column => 't', options => '{"holdout": {"rows": 0}, "season_length": 1}');
SELECT trained, failed FROM many_models.score_many_models('waves', horizon => 2, level => 0.8, options => '{"quantiles": [0.001, 0.025, 0.1, 0.50, 0.9]}');
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'waves_predictions'::regclass AND attnum BETWEEN 1 AND 9 ORDER BY attnum;
SELECT t, horizon_step, round(p0_1::numeric, 8) AS p0_1, round(p2_5::numeric, 8) AS p2_5, round(p10::numeric, 8) AS p10, p50, round(p90::numeric, 8) AS p90, prediction FROM waves_predictions ORDER BY 1;
-- By hand, with the quantiles of the normal distribution; and the ends of the interval are quantiles.
SELECT bool_and(abs(p0_1 - (12 - 3.090232306167813 * 2 * sqrt(horizon_step))) < 1e-9
            AND abs(p2_5 - (12 - 1.959963984540054 * 2 * sqrt(horizon_step))) < 1e-9
            AND abs(p10 - (12 - 1.2815515655446004 * 2 * sqrt(horizon_step))) < 1e-9
            AND p50 = prediction
            AND abs(p90 - (12 + 1.2815515655446004 * 2 * sqrt(horizon_step))) < 1e-9
            AND abs(lower - p10) < 1e-9 AND abs(upper - p90) < 1e-9) FROM waves_predictions;

-- The same in real time, in the order asked for; NULL when not asked.
SELECT horizon_step, prediction, quantiles[1] = (SELECT p10 FROM waves_predictions AS p WHERE p.horizon_step = f.horizon_step) AS same, quantiles[2], array_length(quantiles, 1)
FROM many_models.forecast('waves', '{"g": "a"}', 2, quantiles => '{0.1, 0.5}') AS f;
SELECT horizon_step, quantiles FROM many_models.forecast('waves', '{"g": "a"}', 1, 0.8, NULL, NULL);
SELECT f.* FROM many_models.model_store AS s JOIN many_models.models AS m USING (model_id), LATERAL many_models.model_forecast(s.model, 1, 0.8, NULL::int, '{0.5}') AS f WHERE m.model_set = 'waves';
SELECT f.quantiles FROM many_models.model_store AS s JOIN many_models.models AS m USING (model_id), LATERAL many_models.model_forecast(s.model, 1, 0.8, NULL::int) AS f WHERE m.model_set = 'waves';
-- A group without a model has none.
SELECT reason, quantiles FROM many_models.forecast('waves', '{"g": "z"}', 1, quantiles => '{0.1}');

-- mean: Student's t with 4 degrees of freedom of 1 .. 5: 3 + 1.53320627405894 * s * sqrt(1 + 1/5).
CREATE TABLE five AS SELECT 'a' AS g, t, t AS y FROM generate_series(1, 5) AS t;
SELECT trained FROM many_models.train_many_models('student', 'five', '{g}', 'y', algorithm => 'mean', time_column => 't', options => '{"holdout": {"rows": 0}}');
SELECT prediction, quantiles[2] AS median, abs(quantiles[1] - (3 - 1.53320627405894 * sqrt(2.5 * 1.2))) < 1e-9 AS low, abs(quantiles[3] - (3 + 1.53320627405894 * sqrt(2.5 * 1.2))) < 1e-9 AS high
FROM many_models.forecast('student', '{"g": "a"}', 1, quantiles => '{0.1, 0.5, 0.9}');

-- Gaussian methods: all quantiles at their places in units of the standard error, which at step 1 is sigma;
-- of ETS(A,N,N) it is sigma * sqrt(1 + (h - 1) * alpha^2) at step h.
CREATE TABLE monthly AS SELECT 'a' AS g, t, 100 + t + 10 * sin(t) + (t * 7 % 11) AS y FROM generate_series(1, 60) AS t;
SELECT trained FROM unnest('{ses,theta}'::text[]) AS m, LATERAL many_models.train_many_models('q_' || m, 'monthly', '{g}', 'y', algorithm => m, time_column => 't', options => '{"holdout": {"rows": 0}, "season_length": 1, "alpha": 0.5}');
SELECT trained FROM many_models.train_many_models('q_ets', 'monthly', '{g}', 'y', algorithm => 'ets', time_column => 't', options => '{"holdout": {"rows": 0}, "season_length": 1, "form": "ANN", "alpha": 0.5}');
SELECT m, horizon_step, quantiles[2] = prediction AS median,
       round(((quantiles[1] - prediction) / (quantiles[3] - prediction))::numeric, 9) AS "-1.281551566 / 1.644853627",
       CASE WHEN m <> 'theta' THEN round(((quantiles[3] - prediction) / s.sigma)::numeric, 9) END AS "1.644853627 * root"
FROM unnest('{ets,ses,theta}'::text[]) AS m JOIN many_models.fit_statistics AS s ON s.model_set = 'q_' || m,
     LATERAL many_models.forecast('q_' || m, '{"g": "a"}', 2, quantiles => '{0.1, 0.5, 0.95}') ORDER BY 1, 2;

-- conformal: a naive forecast of a line is h too low at step h, always.
CREATE TABLE line AS SELECT 'a' AS g, t, 5 + t AS y FROM generate_series(1, 60) AS t;
SELECT trained FROM many_models.train_many_models('line', 'line', '{g}', 'y', algorithm => 'naive', time_column => 't', options => '{"holdout": {"rows": 0}, "season_length": 1, "interval": "conformal", "horizon": 3}');
SELECT horizon_step, prediction, lower, upper, quantiles FROM many_models.forecast('line', '{"g": "a"}', 3, 0.8, quantiles => '{0.1, 0.4, 0.5, 0.6, 0.9}');

-- Bounds, whole numbers: outward, then cut, in order.
SELECT trained FROM many_models.train_many_models('cut', 'waves', '{g}', 'y', algorithm => 'naive', time_column => 't', options => '{"holdout": {"rows": 0}, "season_length": 1, "lower_bound": 8.5, "upper_bound": 14, "round": true}');
SELECT quantiles FROM many_models.forecast('cut', '{"g": "a"}', 1, quantiles => '{0.001, 0.025, 0.4, 0.5, 0.6, 0.975}');

-- bootstrap: quantiles of the paths.
SELECT trained FROM many_models.train_many_models('paths', 'waves', '{g}', 'y', algorithm => 'naive', time_column => 't', options => '{"holdout": {"rows": 0}, "season_length": 1, "interval": "bootstrap"}');
SELECT horizon_step, prediction, quantiles FROM many_models.forecast('paths', '{"g": "a"}', 2, quantiles => '{0.05, 0.25, 0.75, 0.95}');

-- No interval, no quantiles: not the median either.
SELECT trained FROM many_models.train_many_models('none', 'waves', '{g}', 'y', algorithm => 'croston', time_column => 't', options => '{"holdout": {"rows": 0}}');
SELECT prediction IS NOT NULL AS has, lower, quantiles FROM many_models.forecast('none', '{"g": "a"}', 1, quantiles => '{0.1, 0.5}');
SELECT failed FROM many_models.score_many_models('none', horizon => 1, options => '{"quantiles": [0.5]}');
SELECT prediction IS NOT NULL AS has, p50 FROM none_predictions;

-- Mistakes. A table of another shape is refused.
SELECT many_models.score_many_models('waves', horizon => 2);
SELECT many_models.score_many_models('waves', horizon => 2, options => '{"quantiles": [0.1, 0.2, 0.3]}');
SELECT rows_read FROM many_models.score_many_models('waves', horizon => 2, into_table => 'plain');
SELECT many_models.score_many_models('waves', horizon => 2, into_table => 'plain', options => '{"quantiles": [0.1]}');
SELECT many_models.score_many_models('waves', options => '{"quantiles": [0.5, 0.1]}');
SELECT * FROM many_models.forecast('waves', '{"g": "a"}', quantiles => '{0.5, 0.1}');
\set VERBOSITY sqlstate
SELECT many_models.score_many_models('waves', options => '{"quantiles": []}');
SELECT many_models.score_many_models('waves', options => '{"quantiles": 0.5}');
SELECT many_models.score_many_models('waves', options => '{"quantiles": null}');
SELECT many_models.score_many_models('waves', options => '{"quantiles": {"a": 0.5}}');
SELECT many_models.score_many_models('waves', options => '{"quantiles": ["0.5"]}');
SELECT many_models.score_many_models('waves', options => '{"quantiles": [[0.5]]}');
SELECT many_models.score_many_models('waves', options => '{"quantiles": [0]}');
SELECT many_models.score_many_models('waves', options => '{"quantiles": [1]}');
SELECT many_models.score_many_models('waves', options => '{"quantiles": [-0.5, 0.5]}');
SELECT many_models.score_many_models('waves', options => '{"quantiles": [0.5, 0.50]}');
SELECT many_models.score_many_models('waves', options => '{"quantiles": [1e-400]}');
SELECT many_models.score_many_models('waves', options => '{"quantiles": [0.1234567890123]}');
SELECT many_models.score_many_models('waves', options => jsonb_build_object('quantiles', (SELECT jsonb_agg(i / 25.0) FROM generate_series(1, 20) AS i)));
SELECT quantiles FROM many_models.forecast('waves', '{"g": "a"}', quantiles => '{}');
SELECT quantiles FROM many_models.forecast('waves', '{"g": "a"}', quantiles => '{NULL}');
SELECT quantiles FROM many_models.forecast('waves', '{"g": "a"}', quantiles => '{0.5, NaN}');
SELECT quantiles FROM many_models.forecast('waves', '{"g": "a"}', quantiles => '{0, 0.5}');
SELECT quantiles FROM many_models.forecast('waves', '{"g": "a"}', quantiles => '{0.5, 1}');
SELECT quantiles FROM many_models.forecast('waves', '{"g": "a"}', quantiles => '{{0.1, 0.5}}');
SELECT quantiles FROM many_models.forecast('waves', '{"g": "a"}', quantiles => (SELECT array_agg(i / 25.0) FROM generate_series(1, 20) AS i));
\set VERBOSITY default
-- 19 are not too many; in real time any number is good.
SELECT trained FROM many_models.score_many_models('waves', horizon => 1, into_table => 'many', options => jsonb_build_object('quantiles', (SELECT jsonb_agg(i / 20.0) FROM generate_series(1, 19) AS i)));
SELECT p5 < p50 AND p50 < p95 AS ascending FROM many;
SELECT quantiles[1] < quantiles[2] AS ascending FROM many_models.forecast('waves', '{"g": "a"}', 1, quantiles => '{1e-300, 0.999999999999999}');
-- Not for models of rows; not beside a partition column of that name.
SELECT trained FROM many_models.train_many_models('rows', 'line', '{g}', 'y', '{t}');
SELECT many_models.score_many_models('rows', options => '{"quantiles": [0.5]}');
CREATE TABLE clash AS SELECT 'a' AS p50, t AS p10, y FROM line;
SELECT trained FROM many_models.train_many_models('clash', 'clash', '{p50}', 'y', algorithm => 'naive', time_column => 'p10');
SELECT many_models.score_many_models('clash', options => '{"quantiles": [0.5]}');
SELECT many_models.score_many_models('clash', options => '{"quantiles": [0.1]}');

-- A pipeline passes them on.
SELECT many_models.set_pipeline('waves', '{"score": {"into_table": "piped", "horizon": 1, "options": {"quantiles": [0.5], "on_existing": "replace"}}}');
SELECT step FROM many_models.run_pipeline('waves');
SELECT p50 FROM piped;
SELECT many_models.set_pipeline('waves', NULL);

SELECT many_models.drop_models(m) FROM unnest('{waves,student,q_ses,q_theta,q_ets,line,cut,paths,none,rows,clash}'::text[]) AS m;
SET client_min_messages = error;
DROP SCHEMA forecast_quantiles CASCADE;
