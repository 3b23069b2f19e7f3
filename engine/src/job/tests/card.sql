CREATE EXTERNAL TABLE transactions (
  transaction_id TEXT, transaction_date TIMESTAMP, card_no TEXT, card_type TEXT, merchant TEXT, sub_category TEXT,
  category TEXT, amount BIGINT, installment_months INT, approval_status TEXT, region TEXT,
  PRIMARY KEY (transaction_id)
) STORED AS CSV LOCATION '${input}/*.csv';

CREATE VIEW approved AS SELECT * FROM transactions WHERE approval_status = 'approved';

CREATE VIEW quarterly AS
SELECT date_part('year', transaction_date) AS txn_year, date_part('quarter', transaction_date) AS txn_quarter, * FROM approved;

CREATE MATERIALIZED VIEW daily_category_summary AS
SELECT CAST(transaction_date AS DATE) AS txn_date, category, count(*) AS txn_count, count(DISTINCT card_no) AS unique_cards,
  sum(amount) AS total_amount, round(avg(amount)) AS avg_amount, max(amount) AS max_amount, min(amount) AS min_amount
FROM approved GROUP BY txn_date, category ORDER BY txn_date, category;

CREATE MATERIALIZED VIEW merchant_ranking AS
SELECT merchant, category, sub_category, count(*) AS txn_count, count(DISTINCT card_no) AS unique_customers,
  sum(amount) AS total_revenue, round(avg(amount)) AS avg_transaction, round(sum(amount) / 10000.0, 1) AS revenue_10k_won
FROM approved GROUP BY merchant, category, sub_category ORDER BY total_revenue DESC;

CREATE MATERIALIZED VIEW hourly_pattern AS
WITH hourly AS (
  SELECT date_part('hour', transaction_date) AS txn_hour, count(*) AS txn_count, sum(amount) AS total_amount,
    round(avg(amount)) AS avg_amount, count(DISTINCT card_no) AS unique_cards
  FROM approved GROUP BY txn_hour)
SELECT *, CASE WHEN txn_hour BETWEEN 6 AND 11 THEN '오전' WHEN txn_hour BETWEEN 12 AND 17 THEN '오후'
  WHEN txn_hour >= 18 THEN '저녁' ELSE '심야' END AS time_slot
FROM hourly;

CREATE MATERIALIZED VIEW regional_analysis AS
SELECT region, category, count(*) AS txn_count, sum(amount) AS total_amount, round(avg(amount)) AS avg_amount,
  count(DISTINCT card_no) AS unique_cards
FROM approved GROUP BY region, category;

CREATE MATERIALIZED VIEW regional_hourly AS
SELECT region, date_trunc('hour', transaction_date) AS window_start, CAST(date_trunc('hour', transaction_date) AS DATE) AS txn_date,
  count(*) AS txn_count, sum(amount) AS total_amount, round(avg(amount)) AS avg_amount, count(DISTINCT card_no) AS unique_cards
FROM approved GROUP BY region, window_start;

CREATE MATERIALIZED VIEW monthly_trend AS
SELECT date_part('year', transaction_date) AS txn_year, date_part('month', transaction_date) AS txn_month, count(*) AS txn_count,
  sum(amount) AS total_amount, round(avg(amount)) AS avg_amount, count(DISTINCT card_no) AS unique_cards,
  count(DISTINCT merchant) AS unique_merchants
FROM approved GROUP BY txn_year, txn_month;

CREATE MATERIALIZED VIEW partitioned_transactions AS
SELECT *, CAST(transaction_date AS DATE) AS txn_date, date_part('hour', transaction_date) AS txn_hour,
  date_part('dow', transaction_date) + 1 AS txn_day_of_week, date_part('year', transaction_date) AS txn_year,
  date_part('month', transaction_date) AS txn_month
FROM approved;

CREATE MATERIALIZED VIEW quarterly_category_summary AS
SELECT txn_year, txn_quarter, category, count(*) AS txn_count, sum(amount) AS total_amount, round(avg(amount)) AS avg_amount,
  count(DISTINCT card_no) AS unique_cards
FROM quarterly GROUP BY txn_year, txn_quarter, category;

CREATE MATERIALIZED VIEW quarterly_merchant_top10 AS
SELECT * FROM (
  SELECT *, dense_rank() OVER (PARTITION BY txn_year, txn_quarter ORDER BY total_revenue DESC) AS rank
  FROM (
    SELECT txn_year, txn_quarter, merchant, category, count(*) AS txn_count, sum(amount) AS total_revenue,
      count(DISTINCT card_no) AS unique_customers
    FROM quarterly GROUP BY txn_year, txn_quarter, merchant, category))
WHERE rank <= 10;

CREATE MATERIALIZED VIEW quarterly_growth AS
WITH totals AS (
  SELECT txn_year, txn_quarter, count(*) AS txn_count, sum(amount) AS total_amount, count(DISTINCT card_no) AS unique_cards
  FROM quarterly GROUP BY txn_year, txn_quarter),
previous AS (
  SELECT *, lag(total_amount) OVER (ORDER BY txn_year, txn_quarter) AS prev_amount,
    lag(txn_count) OVER (ORDER BY txn_year, txn_quarter) AS prev_count
  FROM totals)
SELECT *, round((total_amount - prev_amount) * 100.0 / prev_amount, 2) AS amount_growth_rate,
  round((txn_count - prev_count) * 100.0 / prev_count, 2) AS count_growth_rate
FROM previous;

CREATE MATERIALIZED VIEW quarterly_card_type AS
SELECT txn_year, txn_quarter, card_type, count(*) AS txn_count, sum(amount) AS total_amount, round(avg(amount)) AS avg_amount
FROM quarterly GROUP BY txn_year, txn_quarter, card_type;

CREATE MATERIALIZED VIEW quarterly_region AS
SELECT txn_year, txn_quarter, region, count(*) AS txn_count, sum(amount) AS total_amount
FROM quarterly GROUP BY txn_year, txn_quarter, region;

CREATE MATERIALIZED VIEW quarterly_installment AS
SELECT txn_year, txn_quarter, installment_months, count(*) AS txn_count, sum(amount) AS total_amount
FROM quarterly WHERE installment_months > 0 GROUP BY txn_year, txn_quarter, installment_months;

COPY daily_category_summary TO '${output}/daily_category_summary' STORED AS PARQUET PARTITIONED BY (txn_date);
COPY merchant_ranking TO '${output}/merchant_ranking' STORED AS PARQUET;
COPY hourly_pattern TO '${output}/hourly_pattern' STORED AS PARQUET;
COPY regional_analysis TO '${output}/regional_analysis' STORED AS PARQUET PARTITIONED BY (region);
COPY regional_hourly TO '${output}/regional_hourly' STORED AS PARQUET PARTITIONED BY (txn_date);
COPY monthly_trend TO '${output}/monthly_trend' STORED AS PARQUET;
COPY partitioned_transactions TO '${output}/partitioned_transactions' STORED AS PARQUET PARTITIONED BY (txn_year, txn_month);
COPY quarterly_category_summary TO '${output}/quarterly_category_summary' STORED AS PARQUET PARTITIONED BY (txn_year, txn_quarter);
COPY quarterly_merchant_top10 TO '${output}/quarterly_merchant_top10' STORED AS PARQUET PARTITIONED BY (txn_year, txn_quarter);
COPY quarterly_growth TO '${output}/quarterly_growth' STORED AS PARQUET;
COPY quarterly_card_type TO '${output}/quarterly_card_type' STORED AS PARQUET;
COPY quarterly_region TO '${output}/quarterly_region' STORED AS PARQUET;
COPY quarterly_installment TO '${output}/quarterly_installment' STORED AS PARQUET;
