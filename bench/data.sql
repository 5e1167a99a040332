-- The headline data: :rows rows, :stores x :products groups, 8 features, seeded, in random group order.
SELECT setseed(0.42);
DROP TABLE IF EXISTS :table;
CREATE UNLOGGED TABLE :table AS
SELECT (h % :stores)::int AS store, ((h / :stores) % :products)::int AS product,
       x1, x2, x3, x4, x5, x6, x7, x8,
       10 + 2 * x1 - 3 * x2 + 0.5 * x3 + (h % 7) * x4 + x5 - x6 + 0.1 * x7 + x8 * 2
           + (random() - 0.5) AS units
FROM (SELECT ((i::bigint * 2654435761) % 4294967296) AS h,
             random() AS x1, random() AS x2, random() * 100 AS x3, random() AS x4,
             random() AS x5, random() * 10 AS x6, random() AS x7, random() AS x8
      FROM generate_series(1, :rows) AS i OFFSET 0) AS r;
VACUUM ANALYZE :table;
