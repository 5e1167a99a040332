-- plot_forecast: the end of a series from the source of its model, and its forecast.
CREATE SCHEMA plot_forecasting;
SET search_path = plot_forecasting, public;
SET client_min_messages = warning;
SET TIME ZONE 'UTC';
CREATE FUNCTION plot_error(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ': ' || SQLERRM || coalesce(' HINT: ' || nullif(hint, ''), '');
END $$;

-- Months with a season; one month is missing, another has two rows.
CREATE TABLE sales AS
SELECT shop, (DATE '2020-01-01' + m * INTERVAL '1 month')::date AS month, (100 + 2 * m + 30 * (m % 6))::float8 AS units
FROM unnest('{North & South,NULL}'::text[]) AS shop, generate_series(0, 47) AS m WHERE m <> 40;
UPDATE sales SET units = units / 2 WHERE month = '2023-03-01';
INSERT INTO sales SELECT * FROM sales WHERE month = '2023-03-01';
SELECT trained FROM many_models.train_many_models('plotted', 'sales', '{shop}', 'units', algorithm => 'seasonal_naive', time_column => 'month',
    options => '{"season_length": 6, "fill": "interpolate", "duplicates": "sum"}');
\pset format unaligned
\pset tuples_only on
SELECT many_models.plot_forecast('plotted', '{"shop": "North & South"}', 12, 24, 'ascii');
SELECT many_models.plot_forecast('plotted', '{"shop": null}', 6, format => 'text', width => 60, height => 14);
-- Two rows of a month are their sum: of 1 to 6 within 100 to 350, March 2023 is where its season is; SVG has the labels.
SELECT svg LIKE '<svg%' AS is_svg, xml_is_well_formed_document(svg) AS is_xml, svg LIKE '%plotted: shop North &amp; South%' AS titled,
       svg LIKE '%>2023-%' AS labelled, svg LIKE '%80 \% interval%' AND svg LIKE '%95 \% interval%' AS has_bands
FROM many_models.plot_forecast('plotted', '{"shop": "North & South"}') AS svg;
-- What came since lies beside the forecast.
INSERT INTO sales SELECT 'North & South', DATE '2024-01-01', 300;
SELECT many_models.plot_forecast('plotted', '{"shop": "North & South"}', 6, 12, 'ascii', 60, 14);
-- No model: NULL.
SELECT many_models.plot_forecast('plotted', '{"shop": "nowhere"}') IS NULL;

-- Clock times, in the model's zone, without what all have in common; integers; whole days of a timestamp.
CREATE TABLE hours AS SELECT TIMESTAMPTZ '2024-03-30 00:00+01' + h * INTERVAL '1 hour' AS at, (h % 24)::float8 AS y FROM generate_series(0, 71) AS h;
SELECT trained FROM many_models.train_many_models('hourly', 'hours', '{}', 'y', algorithm => 'seasonal_naive', time_column => 'at',
    options => '{"season_length": 24, "time_zone": "Europe/Berlin", "holdout": {"rows": 0}}');
SELECT many_models.plot_forecast('hourly', '{}', 12, 24, 'ascii', 70, 10);
CREATE TABLE numbers AS SELECT n, (n % 5)::int AS y FROM generate_series(1, 20) AS n;
SELECT trained FROM many_models.train_many_models('numbered', 'numbers', '{}', 'y', algorithm => 'mean', time_column => 'n', options => '{"holdout": {"rows": 0}}');
SELECT many_models.plot_forecast('numbered', '{}', 3, 10, 'ascii', 50, 10);
SELECT trained FROM many_models.train_many_models('midnight', 'SELECT month::timestamp AS at, sum(units) AS y FROM sales GROUP BY 1', '{}', 'y', algorithm => 'drift', time_column => 'at',
    options => '{"fill": "zero", "holdout": {"rows": 0}}');
SELECT many_models.plot_forecast('midnight', '{}', 3, 6) ~ '>2023-\d\d-01<';

-- Features of the steps to come; without them the actuals alone.
CREATE TABLE promo AS SELECT t, (t % 4 = 0)::int AS promo, (10 + 5 * (t % 4 = 0)::int + t * 7 % 3 * 0.1)::float8 AS y FROM generate_series(0, 39) AS t;
SELECT trained FROM many_models.train_many_models('promoted', 'promo', '{}', 'y', '{promo}', 'arima', 't', '{"order": [0, 0, 0], "season_length": 1}');
SELECT many_models.plot_forecast('promoted', '{}', 4, 12, 'ascii', 50, 10, features => '[{"promo": 1}, {"promo": 0}, {"promo": 0}, {"promo": 0}]');
SELECT many_models.plot_forecast('promoted', '{}', 4, 12, 'ascii', 50, 10);
\pset format aligned
\pset tuples_only off

-- The source is read as the caller, and cannot write.
CREATE ROLE regress_plotter;
GRANT USAGE ON SCHEMA plot_forecasting TO regress_plotter;
SELECT many_models.grant_model_set('plotted', 'regress_plotter', 'score');
SET ROLE regress_plotter;
SELECT plot_error($$SELECT many_models.plot_forecast('plotted', '{"shop": null}')$$);
SELECT plot_error($$SELECT many_models.plot_forecast('hourly', '{}')$$);
RESET ROLE;
GRANT SELECT ON sales TO regress_plotter;
SET ROLE regress_plotter;
SELECT many_models.plot_forecast('plotted', '{"shop": null}') IS NOT NULL AS plotted;
RESET ROLE;
CREATE TABLE witness (at timestamptz);
CREATE FUNCTION seen(v float8) RETURNS float8 LANGUAGE plpgsql AS $$BEGIN RETURN v; END$$;
SELECT trained FROM many_models.train_many_models('spied', 'SELECT month, seen(units) AS y FROM sales WHERE shop IS NULL AND month < ''2023-01-01''', '{}', 'y', algorithm => 'naive', time_column => 'month', options => '{"duplicates": "sum"}');
CREATE OR REPLACE FUNCTION seen(v float8) RETURNS float8 LANGUAGE plpgsql AS $$BEGIN INSERT INTO witness VALUES (now()); RETURN v; END$$;
SELECT plot_error($$SELECT many_models.plot_forecast('spied', '{}')$$);
CREATE OR REPLACE FUNCTION seen(v float8) RETURNS float8 LANGUAGE plpgsql AS $$BEGIN RESET ROLE; RETURN v; END$$;
SELECT plot_error($$SELECT many_models.plot_forecast('spied', '{}')$$);
SELECT count(*) FROM witness;

-- In production, its version dropped: by the set's definition.
SELECT promoted FROM many_models.promote_models('plotted');
SELECT many_models.drop_models('plotted', 1);
SELECT many_models.plot_forecast('plotted', '{"shop": null}') IS NOT NULL AS plotted;
SELECT trained FROM many_models.train_many_models('plotted');

-- Mistakes.
SELECT statement, plot_error('SELECT many_models.plot_forecast(' || statement || ')') AS error FROM (VALUES
    ('NULL, ''{}'''), ('''nix'', ''{}'''), ('''plotted'', ''{"store": 1}'''), ('''plotted'', ''{"shop": null}'', 0'), ('''plotted'', ''{"shop": null}'', 3, 0'),
    ('''plotted'', ''{"shop": null}'', format => ''png'''), ('''plotted'', ''{"shop": null}'', width => 20'), ('''plotted'', ''{"shop": null}'', version => 9')) AS v (statement);
ALTER TABLE numbers ALTER n TYPE date USING DATE '2024-01-01' + n;
SELECT plot_error($$SELECT many_models.plot_forecast('numbered', '{}')$$);
ALTER TABLE numbers RENAME y TO z;
SELECT plot_error($$SELECT many_models.plot_forecast('numbered', '{}')$$);
DROP TABLE numbers;
SELECT plot_error($$SELECT many_models.plot_forecast('numbered', '{}')$$);
SELECT trained FROM many_models.train_many_models('linear', 'promo', '{}', 'y', '{promo}');
SELECT plot_error($$SELECT many_models.plot_forecast('linear', '{}')$$);

-- Views of linear models have no rows of forecasters.
SELECT count(*) FROM many_models.coefficients WHERE model_set = 'plotted';

SELECT many_models.drop_models(m) FROM unnest('{plotted,hourly,numbered,midnight,promoted,spied,linear}'::text[]) AS m;
SET client_min_messages = error;
DROP SCHEMA plot_forecasting CASCADE;
DROP ROLE regress_plotter;
