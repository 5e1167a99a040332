-- Ordinary least squares per group against references computed elsewhere: 100-digit solutions of
-- the same doubles (estimate_exact) and R's lm (statistics of the fit). Tolerances: 1e-8 relative
-- where the condition number is below 1e6, else 1e-14 times it; see the data's README.
SET client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS reference_lm;
SET search_path = reference_lm, public;

CREATE FUNCTION check_lm(model text, source text, keys text[], target text, features text[])
    RETURNS TABLE (groups bigint, worst_estimate float8, worst_std_error float8, worst_fit float8)
    LANGUAGE plpgsql AS $$
DECLARE
    failures bigint;
BEGIN
    PERFORM many_models.train_many_models(model, source, keys, target, features,
        options => '{"holdout": {"rows": 0}, "min_rows": 1}');
    CREATE TEMP TABLE compared ON COMMIT DROP AS
    SELECT r.g1, r.g2, r.term, r.estimate_exact, r.std_error_exact, c.estimate, c.std_error, f.kappa,
           f.rank = f.p AS full_rank, c.model_id IS NULL AS missing,
           abs(c.estimate - r.estimate_exact) / nullif(abs(r.estimate_exact), 0) AS estimate_error,
           abs(c.std_error - r.std_error_exact) / nullif(abs(r.std_error_exact), 0) AS std_error_error
    FROM dev_data.ref_lm_coef AS r
    JOIN dev_data.ref_lm_fit AS f USING (model, g1)
    LEFT JOIN many_models.coefficients AS c
        ON c.model_set = check_lm.model AND c.partition_key ->> keys[1] = r.g1
        AND (cardinality(keys) = 1 OR c.partition_key ->> keys[2] = r.g2)
        AND c.term = CASE r.term WHEN 'intercept' THEN '(Intercept)' ELSE r.term END
    WHERE r.model = check_lm.model AND r.g2 IS NOT DISTINCT FROM f.g2;
    SELECT count(*) INTO failures FROM compared WHERE missing;
    ASSERT failures = 0, format('%s: %s terms without a coefficient', model, failures);
    -- Where the design has full rank.
    SELECT count(*) INTO failures FROM compared
    WHERE full_rank AND NOT estimate_error <= CASE WHEN kappa < 1e6 THEN 1e-8 ELSE 1e-14 * kappa END;
    ASSERT failures = 0, format('%s: %s estimates off', model, failures);
    SELECT count(*) INTO failures FROM compared WHERE full_rank AND NOT std_error_error <= 1e-8;
    ASSERT failures = 0, format('%s: %s standard errors off', model, failures);
    -- What R drops as collinear is dropped here too.
    SELECT count(*) INTO failures FROM compared AS c
    JOIN dev_data.ref_lm_coef AS r ON r.model = check_lm.model AND r.g1 = c.g1
        AND r.g2 IS NOT DISTINCT FROM c.g2 AND r.term = c.term
    WHERE NOT full_rank AND (r.estimate IS NULL) <> (c.estimate IS NULL);
    ASSERT failures = 0, format('%s: %s terms dropped in one fit only', model, failures);
    CREATE TEMP TABLE fits ON COMMIT DROP AS
    SELECT greatest(abs(s.sigma - f.sigma) / nullif(f.sigma, 0), abs(s.r2 - f.r_squared),
                    abs(s.log_likelihood - f.loglik) / nullif(abs(f.loglik), 0),
                    abs(s.aic - f.aic) / nullif(abs(f.aic), 0), abs(s.bic - f.bic) / nullif(abs(f.bic), 0)) AS error
    FROM dev_data.ref_lm_fit AS f
    JOIN many_models.fit_statistics AS s ON s.model_set = check_lm.model
        AND s.partition_key ->> keys[1] = f.g1
        AND (cardinality(keys) = 1 OR s.partition_key ->> keys[2] = f.g2)
    WHERE f.model = check_lm.model AND f.df_residual > 0;
    SELECT count(*) INTO failures FROM fits WHERE NOT error <= 1e-8;
    ASSERT failures = 0, format('%s: %s fit statistics off', model, failures);
    RETURN QUERY SELECT (SELECT count(DISTINCT (c.g1, c.g2)) FROM compared AS c),
        (SELECT max(estimate_error) FROM compared WHERE full_rank),
        (SELECT max(std_error_error) FROM compared WHERE full_rank), (SELECT max(error) FROM fits);
    DROP TABLE compared, fits;
    PERFORM many_models.drop_models(model);
    EXECUTE format('DROP VIEW IF EXISTS %I', model || '_models');
END
$$;

SELECT m.model, r.* FROM (VALUES
    ('gapminder_year', 'SELECT *, year - 1950 AS year1950 FROM dev_data.gapminder', '{country}'::text[], 'life_exp', '{year1950}'::text[]),
    ('gapminder_multi', 'SELECT *, year - 1950 AS year1950, ln(gdp_percap) AS ln_gdp, ln(pop::float8) AS ln_pop FROM dev_data.gapminder', '{country}', 'life_exp', '{year1950,ln_gdp,ln_pop}'),
    ('sleepstudy', 'dev_data.sleepstudy', '{subject}', 'reaction', '{days}'),
    ('grunfeld', 'dev_data.grunfeld', '{firm}', 'invest', '{value,capital}'),
    ('oj_full', 'SELECT *, ln(price1) AS ln_price1, ln(price2) AS ln_price2, ln(price3) AS ln_price3, ln(price4) AS ln_price4, ln(price5) AS ln_price5, ln(price6) AS ln_price6, ln(price7) AS ln_price7, ln(price8) AS ln_price8, ln(price9) AS ln_price9, ln(price10) AS ln_price10, ln(price11) AS ln_price11 FROM dev_data.oj',
        '{store,brand}', 'logmove', '{ln_price1,ln_price2,ln_price3,ln_price4,ln_price5,ln_price6,ln_price7,ln_price8,ln_price9,ln_price10,ln_price11,deal,feat}'),
    ('hflights_carrier', 'dev_data.hflights', '{carrier}', 'arr_delay', '{dep_delay,taxi_out,air_time,distance}'),
    ('hflights_dest', 'dev_data.hflights', '{dest}', 'arr_delay', '{dep_delay,taxi_out,air_time}'),
    ('bike_hour', 'dev_data.bike_sharing', '{hour}', 'users', '{temp,hum,windspeed,workingday}')
    ) AS m (model, source, keys, target, features),
    LATERAL check_lm(m.model, m.source, m.keys, m.target, m.features) AS r;
DROP SCHEMA reference_lm CASCADE;
