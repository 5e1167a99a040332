-- Methods that are asked for with a season, over series that have none or less than two of it: one rung
-- down, and said so in the model and in each row of the forecast.
CREATE SCHEMA ladder;
SET search_path = ladder, public;
SET client_min_messages = warning;

CREATE TABLE series AS
SELECT g, (DATE '2020-01-01' + i * INTERVAL '1 month')::date AS t, 100 + i + 20 * sin(i * pi() / 6) + i * i * 7 % 11 AS y
FROM (VALUES ('one', 1), ('three', 3), ('one season', 12), ('almost two', 23), ('two', 24), ('four', 48)) AS s (g, n), generate_series(0, n - 1) AS i;
CREATE TABLE methods AS
SELECT row_number() OVER () AS place, m.*
FROM (VALUES ('seasonal_naive', '{}'::jsonb), ('seasonal_window_average', '{}'), ('holt_winters', '{}'), ('holt_winters', '{"season": "multiplicative"}'), ('mstl', '{}'),
             ('ets', '{"form": "ANA"}'), ('ets', '{"form": "MAdM"}'), ('arima', '{"order": [0, 1, 1], "seasonal_order": [0, 1, 1]}'), ('arima', '{"order": [1, 0, 0], "seasonal_order": [1, 0, 0]}')) AS m (algorithm, own);

CREATE FUNCTION run(algorithm text, options jsonb) RETURNS TABLE (g text, method text, label text, stepped_down text, reasons text)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM many_models.train_many_models('l', 'series', '{g}', 'y', algorithm => algorithm, time_column => 't', options => options);
    RETURN QUERY SELECT f.partition_key ->> 'g', f.method, f.label, f.stepped_down,
                        (SELECT string_agg(DISTINCT coalesce(r.reason, ''), ', ') FROM many_models.forecast('l', f.partition_key, 3) AS r)
                 FROM many_models.forecasters AS f WHERE f.model_set = 'l' AND f.version = (SELECT max(version) FROM many_models.forecasters WHERE model_set = 'l');
END $$;

-- Without a season: all of them go without, none fails.
SELECT m.algorithm, m.own, r.method, r.stepped_down, r.reasons, count(*), array_agg(DISTINCT r.label COLLATE "C") AS labels
FROM methods AS m, LATERAL run(m.algorithm, m.own || '{"season_length": 1, "frequency": "month", "holdout": {"rows": 0}}') AS r
GROUP BY m.place, m.algorithm, m.own, r.method, r.stepped_down, r.reasons ORDER BY m.place, r.method COLLATE "C";
-- With a season of 12 months: by length.
SELECT m.algorithm, m.own, r.g, r.method, r.stepped_down, r.reasons
FROM methods AS m, LATERAL run(m.algorithm, m.own || '{"frequency": "month", "holdout": {"rows": 0}}') AS r
JOIN (SELECT g, count(*) AS n FROM series GROUP BY g) AS s USING (g) ORDER BY m.place, s.n;
-- What finds a season by itself has not stepped down when it found none.
SELECT a.algorithm, array_agg(DISTINCT r.stepped_down) AS stepped_down, count(*)
FROM unnest('{naive2,ets,theta,arima,ces,autoregression,ensemble,auto_forecast}'::text[]) WITH ORDINALITY AS a (algorithm, place),
     LATERAL run(a.algorithm, '{"season_length": 1, "frequency": "month", "holdout": {"rows": 0}}') AS r WHERE r.g <> 'one'
GROUP BY a.place, a.algorithm ORDER BY a.place;

-- Strictly.
SELECT trained, failed, skipped FROM many_models.train_many_models('strict', 'series', '{g}', 'y', algorithm => 'holt_winters', time_column => 't',
    options => '{"season_length": 1, "frequency": "month", "step_down": false}');
SELECT DISTINCT message, hint FROM many_models.failures WHERE model_set = 'strict';
SELECT trained, failed, skipped FROM many_models.train_many_models('strict', 'series', '{g}', 'y', algorithm => 'holt_winters', time_column => 't',
    options => '{"frequency": "month", "step_down": false, "holdout": {"rows": 0}}');
SELECT message, hint FROM many_models.failures WHERE model_set = 'strict' AND version = 2 ORDER BY length(message), message;

-- A set without seasons is updated where it stepped down: more rows bring no season.
SELECT trained FROM many_models.train_many_models('moved', 'series', '{g}', 'y', algorithm => 'holt_winters', time_column => 't',
    options => '{"season_length": 1, "frequency": "month", "alpha": 0.3, "beta": 0.1, "refresh": "update", "holdout": {"rows": 0}}');
SELECT DISTINCT term, estimate FROM many_models.forecast_terms WHERE model_set = 'moved' AND term IN ('alpha', 'beta') ORDER BY 1;

SELECT many_models.drop_models(m) > 0 AS dropped FROM unnest('{l,strict,moved}'::text[]) AS m;
SET client_min_messages = error;
DROP SCHEMA ladder CASCADE;
