-- Series that nobody would forecast, through every method and kind of interval: never a crash, a
-- forecast that is no number, an interval that does not hold its forecast, or an absurd one without its flag.
CREATE SCHEMA degenerate;
SET search_path = degenerate, public;
SET client_min_messages = warning;

CREATE TABLE series AS
SELECT g, (DATE '2020-01-01' + i * INTERVAL '1 month')::date AS t,
       CASE g WHEN 'constant' THEN 5 WHEN 'zero' THEN 0 WHEN 'one' THEN CASE WHEN i = 0 THEN 3 END
              WHEN 'missing' THEN NULL WHEN 'spike' THEN CASE WHEN i = 20 THEN 1000 ELSE 0 END
              WHEN 'huge' THEN 1e300 * (1 + i % 3) WHEN 'tiny' THEN 1e-300 * (1 + i % 3)
              WHEN 'negative' THEN -5.0 - i WHEN 'two' THEN CASE WHEN i < 2 THEN i END
              WHEN 'almost two seasons' THEN CASE WHEN i < 23 THEN i % 12 END
              WHEN 'five' THEN CASE WHEN i < 5 THEN i * i END
              WHEN 'exploding' THEN exp(i) WHEN 'alternating' THEN (i % 2) * 1e15
              WHEN 'step' THEN CASE WHEN i < 20 THEN 1 ELSE 1e6 END
              WHEN 'gaps' THEN CASE WHEN i % 5 <> 2 THEN 10 + i % 3 END END::float8 AS y
FROM unnest('{constant,zero,one,missing,spike,huge,tiny,negative,two,almost two seasons,five,exploding,alternating,step,gaps}'::text[]) AS g,
     generate_series(0, 40) AS i;

CREATE FUNCTION run(algorithm text, kind text) RETURNS TABLE (trained bigint, failed bigint, skipped bigint, rows bigint, wrong bigint, unflagged bigint)
LANGUAGE plpgsql AS $$
BEGIN
    SELECT r.trained, r.failed, r.skipped INTO trained, failed, skipped
    FROM many_models.train_many_models('d', 'series', '{g}', 'y', algorithm => algorithm, time_column => 't',
        options => jsonb_build_object('interval', kind, 'frequency', 'month', 'fill', 'zero')) AS r;
    PERFORM many_models.score_many_models('d', into_table => 'd', horizon => 30, options => '{"on_existing": "replace"}');
    EXECUTE $query$
        WITH s AS (SELECT g, min(y) AS low, max(y) AS high, 20.0000001 * (max(y) / 2 - min(y) / 2) + 1e-9 * max(abs(y)) AS margin
                   FROM series GROUP BY g)
        SELECT count(*),
               count(*) FILTER (WHERE prediction = 'NaN' OR prediction = 'Infinity' OR prediction = '-Infinity'
                                   OR lower > prediction OR upper < prediction OR lower = 'NaN' OR upper = 'NaN'
                                   OR (prediction IS NULL AND fallback_reason IS NULL)),
               count(*) FILTER (WHERE fallback_reason IS NULL
                                AND (prediction > high + margin OR prediction < low - margin))
        FROM d JOIN s USING (g) $query$ INTO rows, wrong, unflagged;
    RETURN NEXT;
END $$;

SELECT a.algorithm, r.*
FROM unnest('{naive,seasonal_naive,mean,drift,window_average,seasonal_window_average,naive2,ses,holt,damped_holt,holt_winters,ets,theta,optimised_theta,dynamic_theta,arima,croston,sba,tsb,adida,imapa,mstl,ces,autoregression,auto_forecast,ensemble}'::text[]) WITH ORDINALITY AS a (algorithm, n),
     LATERAL run(a.algorithm, 'analytic') AS r ORDER BY a.n;
SELECT k.kind, sum(r.trained) AS trained, sum(r.wrong) AS wrong, sum(r.unflagged) AS unflagged
FROM unnest('{none,bootstrap,conformal}'::text[]) AS k (kind),
     unnest('{naive,seasonal_naive,mean,drift,ets,theta,arima,tsb,mstl,ces,ensemble}'::text[]) AS a,
     LATERAL run(a, k.kind) AS r GROUP BY k.kind ORDER BY k.kind;
SELECT DISTINCT message, hint FROM many_models.failures WHERE model_set = 'd' ORDER BY 1;

SELECT many_models.drop_models('d') > 0 AS dropped;
SET client_min_messages = error;
DROP SCHEMA degenerate CASCADE;
