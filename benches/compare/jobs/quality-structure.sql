-- The columns of a delivery, for quality.py. Their names and types are in the declaration: a file that lacks a column
-- or has another one fails the run, and so does a value of another type.

CREATE EXTERNAL TABLE delivery (id TEXT NOT NULL, amount BIGINT, region TEXT) STORED AS CSV LOCATION '${input}'
  OPTIONS ('max_bad_rows' '0');

CREATE MATERIALIZED VIEW totals AS SELECT region, sum(amount) AS total FROM delivery GROUP BY region;
COPY totals TO '${output}/totals' STORED AS CSV;
