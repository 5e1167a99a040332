-- The peer: scikit-learn's LinearRegression per group inside the database, over array_agg.
-- Packages: postgresql-plpython3-15 python3-sklearn.
CREATE OR REPLACE FUNCTION peer_fit(y float8[], x float8[]) RETURNS float8[]
    LANGUAGE plpython3u IMMUTABLE
    AS $$
import numpy as np
from sklearn.linear_model import LinearRegression
X = np.asarray(x).reshape(len(y), -1)
m = LinearRegression().fit(X, np.asarray(y))
return [m.intercept_] + m.coef_.tolist()
$$;
CREATE OR REPLACE FUNCTION peer_sklearn(source text)
    RETURNS TABLE (store int, product int, coefficients float8[]) LANGUAGE plpgsql
    AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT store, product, peer_fit(array_agg(units), array_agg(ARRAY[x1,x2,x3,x4,x5,x6,x7,x8]))
         FROM %s GROUP BY 1, 2', source);
END
$$;
