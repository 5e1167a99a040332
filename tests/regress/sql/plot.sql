-- plot_series and reconcile_forecasts.
SET client_min_messages = warning;
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
CREATE TABLE plot_sales AS
SELECT array_agg(to_char(date '2022-01-01' + i * interval '1 month', 'YYYY-MM') ORDER BY i) AS labels,
       array_agg((100 + 2 * i + 30 * (i % 6))::float8 ORDER BY i) FILTER (WHERE i < 24) AS actual,
       array_agg((100 + 2 * i + 30 * (i % 6))::float8 ORDER BY i) FILTER (WHERE i >= 24) AS forecast,
       array_agg((60 + 2 * i + 30 * (i % 6))::float8 ORDER BY i) FILTER (WHERE i >= 24) AS lower,
       array_agg((140 + 2 * i + 30 * (i % 6))::float8 ORDER BY i) FILTER (WHERE i >= 24) AS upper
FROM generate_series(0, 35) AS i;

-- Characters.
\pset format unaligned
\pset tuples_only on
SELECT many_models.plot_series(labels, actual, forecast, lower, upper, 'Units sold', 'text') FROM plot_sales;
SELECT many_models.plot_series(labels, actual, forecast, lower, upper, 'Units sold', 'ascii', 60, 14, fitted => actual,
    inner_lower => forecast, inner_upper => upper, levels => '{0.9,0.5}') FROM plot_sales;
-- Without forecasts, labels, some values.
SELECT many_models.plot_series(NULL, '{1,2,NULL,4,8,NaN,3}', format => 'text', width => 40, height => 9);

-- SVG: XML that the server takes, all of the text in it, nothing else than shapes and text.
SELECT many_models.plot_series('{"<a>",b,c}', '{1,2}', '{3}', '{2}', '{4}', 'R&D "<script>"', width => 300, height => 200);
SELECT xml_is_well_formed_document(many_models.plot_series(labels, actual, forecast, lower, upper, '<&>''"', fitted => actual)) FROM plot_sales;
SELECT many_models.plot_series(labels, actual, forecast, lower, upper) ~ '<(script|image|a|use|foreignObject|style)[ >]|href|onload' FROM plot_sales;
\pset format aligned
\pset tuples_only off

-- Errors.
SELECT statement, plot_error('SELECT many_models.plot_series(' || statement || ')') AS error FROM (VALUES
    ('NULL, NULL'), ('''{}'', ''{}'''), ('''{a}'', ''{1,2}'''), ('''{{a},{b}}'', ''{1,2}'''), ('NULL, ''{{1},{2}}'''),
    ('NULL, ''{1}'', ''{2}'', ''{1}'''), ('NULL, ''{1}'', ''{2}'', ''{1}'', ''{1,2}'''),
    ('NULL, ''{1}'', ''{2}'', ''{1}'', ''{3}'', levels => ''{95}'''), ('NULL, ''{1}'', ''{2}'', ''{1}'', ''{3}'', levels => ''{}'''),
    ('NULL, ''{1}'', format => ''png'''), ('NULL, ''{1}'', width => 20'), ('NULL, ''{1}'', height => 100000'),
    ('NULL, ''{1}'', format => ''text'', width => 800'), ('NULL, ''{1}'', fitted => ''{1,2}''')) AS v (statement);

-- Nodes 1 to 4 are leaves, 5 = 1 + 2, 6 = 3 + 4, 7 all; two steps.
CREATE TABLE plot_hierarchy AS
SELECT '{{1,3,2,2,10,10,100},{1,1,1,1,2,2,4}}'::float8[] AS forecasts, '{5,5,6,6,7,7,7,7}'::int[] AS aggregates,
       '{1,2,3,4,1,2,3,4}'::int[] AS members;
SELECT m AS method, many_models.reconcile_forecasts(forecasts, aggregates, members, m,
    '{{1,2,1,0.5,2,-1,3},{-1,1,0.5,-1,1,1,-2},{0,-2,1,1,-1,1,1},{2,1,-1,0,3,-1,2}}', '{1,1,2,4,NULL,NULL,NULL}')::numeric(8,4)[] AS coherent
FROM plot_hierarchy, unnest('{bottom_up,top_down,top_down_averages,ols,wls_structure,wls_variance,mint}'::text[]) AS m;
-- Any order of the nodes; one dimension: one step.
SELECT many_models.reconcile_forecasts('{100,3,10,1}', '{1,1,3}', '{2,4,4}')::numeric(8,4)[] AS one_step,
       many_models.reconcile_forecasts('{3,1,10,100}', '{4,4,3}', '{1,2,2}')::numeric(8,4)[] AS reordered;
SELECT many_models.reconcile_forecasts('{1,2}', '{}', '{}') AS no_aggregates, many_models.reconcile_forecasts('{}', '{}', '{}') AS nothing,
       many_models.reconcile_forecasts('{1,2,NULL}', '{3,3}', '{1,2}', 'bottom_up') AS bottom_up,
       many_models.reconcile_forecasts(NULL, '{}', '{}') AS null_given;
SELECT statement, plot_error('SELECT many_models.reconcile_forecasts(' || statement || ')') AS error FROM (VALUES
    ('''{1,2,4}'', ''{3,3}'', ''{1}'''), ('''{1,2,4}'', ''{3,3}'', ''{1,4}'''), ('''{1,2,4}'', ''{3,0}'', ''{1,2}'''),
    ('''{1,2,4}'', ''{3,3}'', ''{1,NULL}'''), ('''{1,2,4}'', ''{3,3}'', ''{1,1}'''), ('''{1,2,4}'', ''{3,3,2}'', ''{1,2,1}'''),
    ('''{1,2,NULL}'', ''{3,3}'', ''{1,2}'''), ('''{1,2,4}'', ''{3,3}'', ''{1,2}'', ''best'''), ('''{1,2,4}'', ''{3,3}'', ''{1,2}'', ''mint'''),
    ('''{1,2,4}'', ''{3,3}'', ''{1,2}'', ''mint'', ''{{1,2,3}}'''), ('''{1,2,4}'', ''{3,3}'', ''{1,2}'', ''mint'', ''{{1,2},{1,2}}'''),
    ('''{1,2,4}'', ''{3,3}'', ''{1,2}'', ''top_down_averages'''), ('''{{{1,2,4}}}'', ''{3,3}'', ''{1,2}'''),
    ('''{1,2,3,4,5}'', ''{4,4,5,5}'', ''{1,2,2,3}'', ''top_down''')) AS v (statement);
DROP TABLE plot_sales, plot_hierarchy;
DROP FUNCTION plot_error(text);
