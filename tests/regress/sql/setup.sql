-- What the other tests share: a helper that shows SQLSTATE, message and hint of an error.
CREATE FUNCTION error_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    code text;
    message text;
    hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        hint = PG_EXCEPTION_HINT;
    RETURN code || ': ' || message || CASE WHEN hint <> '' THEN E'\n  HINT: ' || hint ELSE '' END;
END
$$;

-- Sales of 3 stores x 4 products, exactly linear but for a small periodic term.
CREATE TABLE sales AS
SELECT s AS store, 'P' || p AS product, i AS id, DATE '2025-01-01' + i AS day,
       (i * 7 % 13)::float8 AS price, (i * 3 % 11)::float8 AS traffic, i % 5 = 0 AS promo,
       100 * s + 10 * p - 2.0 * (i * 7 % 13) + 0.5 * (i * 3 % 11)
           + 4 * (i % 5 = 0)::int + 0.25 * ((i * 17 % 7) - 3) AS units
FROM generate_series(1, 3) AS s, generate_series(1, 4) AS p, generate_series(1, 60) AS i;
ANALYZE sales;
