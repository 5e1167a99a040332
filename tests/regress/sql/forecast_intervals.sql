-- Every method with every kind of interval, over series that are short, constant or absurd: no error, no NaN, the
-- forecast within its interval, quantiles in order, all within the bounds.
CREATE SCHEMA forecast_intervals;
SET search_path = forecast_intervals, public;
SET client_min_messages = warning;

CREATE TABLE series (g text, t int, y float8);
INSERT INTO series SELECT 'constant', t, 7 FROM generate_series(1, 24) AS t;
INSERT INTO series SELECT 'zeros', t, 0 FROM generate_series(1, 24) AS t;
INSERT INTO series VALUES ('one', 1, 3), ('two', 1, 1), ('two', 2, 2), ('two equal', 1, 5), ('two equal', 2, 5), ('three', 1, 1), ('three', 2, 4), ('three', 3, 2);
INSERT INTO series SELECT 'season ' || n, t, 10 + t % 4 FROM generate_series(4, 9) AS n, generate_series(1, n) AS t;
INSERT INTO series SELECT 'spike', t, 100 * (t = 12)::int FROM generate_series(1, 24) AS t;
INSERT INTO series SELECT 'last', t, 100 * (t = 24)::int FROM generate_series(1, 24) AS t;
INSERT INTO series SELECT 'huge spike', t, CASE WHEN t = 12 THEN 1e300 ELSE 1 END FROM generate_series(1, 24) AS t;
INSERT INTO series SELECT 'huge', t, 1e300 * (1 + 0.1 * (t % 3)) FROM generate_series(1, 24) AS t;
INSERT INTO series SELECT 'both ways', t, 1e300 * (-1) ^ t FROM generate_series(1, 24) AS t;
INSERT INTO series SELECT 'tiny', t, 1e-300 * (1 + 0.1 * (t % 3)) FROM generate_series(1, 24) AS t;
INSERT INTO series SELECT 'negative', t, -5 - t % 4 - (t * t % 7) FROM generate_series(1, 24) AS t;
INSERT INTO series SELECT 'demand', t, CASE WHEN t * t % 7 = 2 THEN t % 3 + 1 ELSE 0 END FROM generate_series(1, 30) AS t;
INSERT INTO series SELECT 'plain', t, 50 + t % 4 + (t * t * 7 % 11) FROM generate_series(1, 40) AS t;

CREATE TABLE methods AS SELECT m, CASE m WHEN 'arima' THEN '{"order": [1, 0, 0]}'::jsonb WHEN 'auto_forecast' THEN '{"candidates": ["naive", "ses", "theta"]}' WHEN 'ensemble' THEN '{"candidates": ["naive", "ses", "croston"]}' ELSE '{}' END AS options
FROM unnest('{naive,seasonal_naive,mean,drift,window_average,seasonal_window_average,ses,holt,damped_holt,holt_winters,ets,theta,optimised_theta,dynamic_theta,arima,croston,sba,tsb,adida,imapa,mstl,ces,autoregression,naive2,ensemble,auto_forecast}'::text[]) AS m;
CREATE TABLE forecasts (method text, interval_method text, variant text, g text, horizon_step int, prediction float8, lower float8, upper float8, reason text, quantiles float8[]);
DO $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT m.m, i.i, v.v, m.options || v.options || pg_catalog.jsonb_build_object('interval', i.i, 'season_length', 4, 'horizon', 3, 'holdout', '{"rows": 0}'::jsonb) AS options
             FROM methods AS m, unnest('{none,analytic,bootstrap,conformal}'::text[]) AS i(i),
                  (VALUES ('', '{}'::jsonb), ('cut', '{"lower_bound": 2.5, "upper_bound": 60.5, "round": true}')) AS v(v, options)
             WHERE v.v = '' OR m.m IN ('naive', 'croston', 'holt_winters')
    LOOP
        PERFORM many_models.train_many_models('intervals', 'forecast_intervals.series', '{g}', 'y', algorithm => c.m, time_column => 't', options => c.options);
        INSERT INTO forecasts SELECT c.m, c.i, c.v, k.g, f.horizon_step, f.prediction, f.lower, f.upper, f.reason, f.quantiles
        FROM (SELECT DISTINCT s.g FROM series AS s) AS k, LATERAL many_models.forecast('intervals', pg_catalog.jsonb_build_object('g', k.g), 5, quantiles => '{0.01, 0.1, 0.4, 0.5, 0.6, 0.9, 0.99}') AS f;
        PERFORM many_models.drop_models('intervals');
    END LOOP;
END
$$;
-- All there.
SELECT count(DISTINCT (method, interval_method, variant)), count(DISTINCT g) FROM forecasts;
-- Forecasts that are missing, by reason; none of a series of ordinary numbers.
SELECT reason, array_agg(DISTINCT g ORDER BY g), count(DISTINCT method) AS methods FROM forecasts WHERE prediction IS NULL GROUP BY reason;
-- What must not be.
SELECT * FROM forecasts WHERE NOT abs(prediction) < 'Infinity' OR NOT abs(lower) < 'Infinity' OR NOT abs(upper) < 'Infinity' OR (lower IS NULL) <> (upper IS NULL) OR NOT (lower <= prediction AND prediction <= upper)
   OR (prediction IS NULL AND (lower IS NOT NULL OR quantiles IS NOT NULL)) OR (interval_method = 'none' AND (lower IS NOT NULL OR quantiles[4] IS NOT NULL));
SELECT * FROM forecasts AS f WHERE EXISTS (SELECT FROM unnest(f.quantiles) WITH ORDINALITY AS a(q, i) JOIN unnest(f.quantiles) WITH ORDINALITY AS b(q, i) ON a.i < b.i AND NOT a.q <= b.q OR NOT abs(a.q) < 'Infinity');
SELECT * FROM forecasts WHERE interval_method <> 'bootstrap' AND NOT (quantiles[3] <= prediction AND quantiles[4] = prediction AND prediction <= quantiles[5]);
SELECT * FROM forecasts WHERE variant = 'cut' AND NOT (prediction BETWEEN 3 AND 60 AND coalesce(lower, 3) BETWEEN 3 AND 60 AND coalesce(upper, 60) BETWEEN 3 AND 60 AND coalesce(quantiles[1], 3) >= 3 AND coalesce(quantiles[7], 60) <= 60);
-- Which methods have which intervals of an ordinary series.
SELECT method, bool_and(lower IS NOT NULL) FILTER (WHERE interval_method = 'analytic') AS analytic, bool_and(lower IS NOT NULL) FILTER (WHERE interval_method = 'bootstrap') AS bootstrap, bool_and(lower IS NOT NULL) FILTER (WHERE interval_method = 'conformal') AS conformal
FROM forecasts WHERE g = 'plain' AND variant = '' GROUP BY method ORDER BY method;
-- A series that never erred has an interval without width; one value has none.
SELECT interval_method, g, bool_and(lower = prediction AND upper = prediction) FROM forecasts WHERE method = 'naive' AND variant = '' AND g IN ('constant', 'zeros', 'one') GROUP BY 1, 2 ORDER BY 1, 2;

SET client_min_messages = error;
DROP SCHEMA forecast_intervals CASCADE;
