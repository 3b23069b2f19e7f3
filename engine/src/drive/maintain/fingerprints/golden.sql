CREATE EXTERNAL TABLE orders (
    id BIGINT, region TEXT, at TIMESTAMP, day DATE, amount DECIMAL(18, 2), weight DOUBLE, ok BOOLEAN
) STORED AS CSV LOCATION 'orders/' OPTIONS ('delimiter' ';');

CREATE EXTERNAL TABLE regions (
    id BIGINT, code TEXT, name TEXT, tags TEXT[], PRIMARY KEY (id)
) STORED AS JSON LOCATION 'regions/';

CREATE VIEW large AS
SELECT id, region, at, day, amount, weight,
    CASE WHEN ok THEN 'yes' WHEN weight IS NULL THEN 'unknown' ELSE 'no' END AS state
FROM orders
WHERE amount > 10 AND region IN ('a', 'b', 'c d') AND region LIKE '%a' AND NOT (weight BETWEEN 0.5 AND 1.5);

CREATE MATERIALIZED VIEW by_region AS
SELECT r.name AS region, sum(amount) AS total, count(*) AS orders, count(DISTINCT l.day) AS days, max(l.at) AS last
FROM large l JOIN regions r ON l.region = r.code
GROUP BY r.name
ORDER BY total DESC;

CREATE MATERIALIZED VIEW by_day AS
SELECT date_trunc('day', at) AS day, sum(weight) AS weight FROM orders GROUP BY date_trunc('day', at)
UNION ALL
SELECT TIMESTAMP '2024-02-29 00:00:00', CAST(1 AS DOUBLE);

CREATE MATERIALIZED VIEW ranked AS
SELECT id, row_number() OVER (PARTITION BY region ORDER BY amount DESC, id) AS place,
    sum(amount) OVER (PARTITION BY region ORDER BY at, id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS recent
FROM large;

CREATE MATERIALIZED VIEW late_days AS
SELECT date_trunc('day', at) AS day, min(amount) AS least FROM large GROUP BY date_trunc('day', at);

COPY by_region TO 'out/regions' STORED AS PARQUET OPTIONS ('compression' 'zstd');
COPY by_region TO 'kafka://broker:9092/regions' OPTIONS ('key' 'region');
COPY by_day TO 'out/days' STORED AS CSV PARTITIONED BY (day);
COPY ranked TO 'out/ranked' STORED AS JSON;
COPY late_days TO 'out/late' OPTIONS ('retain' '30 days');
