-- Ridge, lasso and elastic net per group against references computed elsewhere (polished on the
-- active set): coefficients to 1e-6 relative (+ 1e-8), the active set exactly.
SET client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS reference_penalised;
SET search_path = reference_penalised, public;

CREATE FUNCTION check_penalised(model text, source text, keys text[], target text, features text[])
    RETURNS TABLE (fits bigint, worst float8) LANGUAGE plpgsql AS $$
DECLARE
    overrides jsonb;
    failures bigint;
    setting record;
BEGIN
    CREATE TEMP TABLE compared (error float8, same_set boolean, missing boolean) ON COMMIT DROP;
    -- One run per penalty, the groups' own lambdas through group_options; the n-th lambda of each.
    FOR setting IN
        SELECT DISTINCT alpha, standardize, n FROM (
            SELECT alpha, standardize, dense_rank() OVER (PARTITION BY g1, g2, alpha, standardize ORDER BY lambda) AS n
            FROM dev_data.ref_penalised_fit WHERE family = 'gaussian' AND ref_penalised_fit.model = check_penalised.model) AS s
    LOOP
        CREATE TEMP TABLE wanted ON COMMIT DROP AS
        SELECT * FROM (SELECT f.*, dense_rank() OVER (PARTITION BY g1, g2, alpha, standardize ORDER BY lambda) AS nth
            FROM dev_data.ref_penalised_fit AS f WHERE family = 'gaussian' AND f.model = check_penalised.model) AS s
        WHERE alpha = setting.alpha AND standardize = setting.standardize AND nth = setting.n;
        SELECT jsonb_agg(jsonb_build_object('key',
                CASE cardinality(keys) WHEN 1 THEN jsonb_build_object(keys[1], g1)
                ELSE jsonb_build_object(keys[1], g1, keys[2], g2) END,
                'options', jsonb_build_object('lambda', lambda)))
            INTO overrides FROM wanted;
        PERFORM many_models.train_many_models('penalised', source, keys, target, features, 'elastic_net',
            options => jsonb_build_object('alpha', setting.alpha, 'standardize', setting.standardize = 1,
                'lambda', 1, 'holdout', '{"rows": 0}'::jsonb, 'group_options', overrides));
        CREATE TEMP TABLE found ON COMMIT DROP AS
        SELECT partition_key ->> keys[1] AS g1, partition_key ->> keys[2] AS g2,
               CASE term WHEN '(Intercept)' THEN 'intercept' ELSE term END AS term, estimate
        FROM many_models.coefficients WHERE model_set = 'penalised';
        ANALYZE found;
        INSERT INTO compared
        SELECT abs(c.estimate - r.estimate) / (1e-6 * abs(r.estimate) + 1e-8),
               (c.estimate = 0) = (r.estimate = 0) OR r.term = 'intercept', c.term IS NULL
        FROM dev_data.ref_penalised_coef AS r
        JOIN wanted AS w USING (family, model, g1, alpha, standardize, lambda)
        LEFT JOIN found AS c ON c.g1 = r.g1 AND c.term = r.term
            AND coalesce(c.g2, '') = coalesce(r.g2, '')
        WHERE r.g2 IS NOT DISTINCT FROM w.g2;
        PERFORM many_models.drop_models('penalised');
        DROP TABLE wanted, found;
        DROP VIEW IF EXISTS penalised_models;
    END LOOP;
    SELECT count(*) INTO failures FROM compared WHERE compared.missing;
    ASSERT failures = 0, format('%s: %s terms without a coefficient', model, failures);
    SELECT count(*) INTO failures FROM compared WHERE NOT error <= 1;
    ASSERT failures = 0, format('%s: %s coefficients off', model, failures);
    SELECT count(*) INTO failures FROM compared WHERE NOT same_set;
    ASSERT failures = 0, format('%s: %s terms active in one solution only', model, failures);
    RETURN QUERY SELECT count(*), max(error) * 1e-6 FROM compared;
    DROP TABLE compared;
END
$$;

SELECT m.model, r.* FROM (VALUES
    ('grunfeld', 'dev_data.grunfeld', '{firm}'::text[], 'invest', '{value,capital}'::text[]),
    ('bike_hour', 'dev_data.bike_sharing', '{hour}', 'users', '{temp,hum,windspeed,workingday}'),
    ('oj_full', 'SELECT *, ln(price1) AS ln_price1, ln(price2) AS ln_price2, ln(price3) AS ln_price3, ln(price4) AS ln_price4, ln(price5) AS ln_price5, ln(price6) AS ln_price6, ln(price7) AS ln_price7, ln(price8) AS ln_price8, ln(price9) AS ln_price9, ln(price10) AS ln_price10, ln(price11) AS ln_price11 FROM dev_data.oj',
        '{store,brand}', 'logmove', '{ln_price1,ln_price2,ln_price3,ln_price4,ln_price5,ln_price6,ln_price7,ln_price8,ln_price9,ln_price10,ln_price11,deal,feat}')
    ) AS m (model, source, keys, target, features),
    LATERAL check_penalised(m.model, m.source, m.keys, m.target, m.features) AS r;
DROP SCHEMA reference_penalised CASCADE;
