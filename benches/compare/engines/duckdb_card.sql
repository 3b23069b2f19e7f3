-- jobs/card.sql as DuckDB's own users would write it: one scan into a table, then a COPY for each table.
-- duckdb_card.py fills in the source (read_csv or read_parquet), the columns that the tables need, and the output, the
-- directory that holds one directory a table.
--
-- Written apart from jobs/card.sql on purpose, since the two check each other. What differs in dialect: sum of BIGINT
-- is HUGEINT here, which Parquet has no type for, so sums are cast; division of integers by / is in DOUBLE.

SET preserve_insertion_order = false;

CREATE TABLE approved AS
SELECT
  ${columns},
  CAST(transaction_date AS DATE)            AS txn_date,
  date_trunc('hour', transaction_date)      AS window_start,
  CAST(hour(transaction_date) AS INT)       AS txn_hour,
  CAST(dayofweek(transaction_date) + 1 AS INT) AS txn_day_of_week,
  CAST(year(transaction_date) AS INT)       AS txn_year,
  CAST(quarter(transaction_date) AS INT)    AS txn_quarter,
  CAST(month(transaction_date) AS INT)      AS txn_month
FROM ${source}
WHERE approval_status = 'approved';

COPY (
  SELECT txn_date, category, count(*) AS txn_count, count(DISTINCT card_no) AS unique_cards,
    sum(amount)::BIGINT AS total_amount, round(avg(amount))::BIGINT AS avg_amount,
    max(amount) AS max_amount, min(amount) AS min_amount
  FROM approved GROUP BY txn_date, category
) TO '${output}/daily_category_summary' (FORMAT parquet, PARTITION_BY (txn_date));

COPY (
  SELECT merchant, category, sub_category, count(*) AS txn_count, count(DISTINCT card_no) AS unique_customers,
    sum(amount)::BIGINT AS total_revenue, round(avg(amount))::BIGINT AS avg_transaction,
    (round(sum(amount) / 1000) / 10)::DECIMAL(18, 1) AS revenue_10k_won
  FROM approved GROUP BY merchant, category, sub_category
  ORDER BY total_revenue DESC, merchant, category, sub_category
) TO '${output}/merchant_ranking/data.parquet' (FORMAT parquet);

COPY (
  SELECT txn_hour, count(*) AS txn_count, sum(amount)::BIGINT AS total_amount,
    round(avg(amount))::BIGINT AS avg_amount, count(DISTINCT card_no) AS unique_cards,
    CASE WHEN txn_hour BETWEEN 6 AND 11 THEN '오전' WHEN txn_hour BETWEEN 12 AND 17 THEN '오후'
         WHEN txn_hour BETWEEN 18 AND 23 THEN '저녁' ELSE '심야' END AS time_slot
  FROM approved GROUP BY txn_hour
) TO '${output}/hourly_pattern/data.parquet' (FORMAT parquet);

COPY (
  SELECT region, category, count(*) AS txn_count, sum(amount)::BIGINT AS total_amount,
    round(avg(amount))::BIGINT AS avg_amount, count(DISTINCT card_no) AS unique_cards
  FROM approved GROUP BY region, category
) TO '${output}/regional_analysis' (FORMAT parquet, PARTITION_BY (region));

COPY (
  SELECT region, window_start, txn_date, count(*) AS txn_count, sum(amount)::BIGINT AS total_amount,
    round(avg(amount))::BIGINT AS avg_amount, count(DISTINCT card_no) AS unique_cards
  FROM approved GROUP BY region, window_start, txn_date
) TO '${output}/regional_hourly' (FORMAT parquet, PARTITION_BY (txn_date));

COPY (
  SELECT txn_year, txn_month, count(*) AS txn_count, sum(amount)::BIGINT AS total_amount,
    round(avg(amount))::BIGINT AS avg_amount, count(DISTINCT card_no) AS unique_cards,
    count(DISTINCT merchant) AS unique_merchants
  FROM approved GROUP BY txn_year, txn_month
) TO '${output}/monthly_trend/data.parquet' (FORMAT parquet);

COPY (
  SELECT transaction_id, transaction_date, card_no, card_type, merchant, sub_category, category, amount,
    installment_months, approval_status, region, txn_date, txn_hour, txn_day_of_week, txn_year, txn_month
  FROM approved
) TO '${output}/partitioned_transactions' (FORMAT parquet, PARTITION_BY (txn_year, txn_month));

COPY (
  SELECT txn_year, txn_quarter, category, count(*) AS txn_count, sum(amount)::BIGINT AS total_amount,
    round(avg(amount))::BIGINT AS avg_amount, count(DISTINCT card_no) AS unique_cards
  FROM approved GROUP BY txn_year, txn_quarter, category
) TO '${output}/quarterly_category_summary' (FORMAT parquet, PARTITION_BY (txn_year, txn_quarter));

COPY (
  SELECT txn_year, txn_quarter, merchant, category, count(*) AS txn_count, sum(amount)::BIGINT AS total_revenue,
    count(DISTINCT card_no) AS unique_customers,
    dense_rank() OVER (PARTITION BY txn_year, txn_quarter ORDER BY sum(amount) DESC) AS rank
  FROM approved GROUP BY txn_year, txn_quarter, merchant, category
  QUALIFY rank <= 10
) TO '${output}/quarterly_merchant_top10' (FORMAT parquet, PARTITION_BY (txn_year, txn_quarter));

COPY (
  WITH quarters AS (
    SELECT txn_year, txn_quarter, count(*) AS txn_count, sum(amount)::BIGINT AS total_amount,
      count(DISTINCT card_no) AS unique_cards
    FROM approved GROUP BY txn_year, txn_quarter
  ), beside AS (
    SELECT *,
      lag(total_amount) OVER (ORDER BY txn_year, txn_quarter) AS prev_amount,
      lag(txn_count) OVER (ORDER BY txn_year, txn_quarter) AS prev_count
    FROM quarters
  )
  SELECT *,
    (round((total_amount - prev_amount) * 1e4 / nullif(prev_amount, 0)) / 100)::DECIMAL(18, 2) AS amount_growth_rate,
    (round((txn_count - prev_count) * 1e4 / nullif(prev_count, 0)) / 100)::DECIMAL(18, 2) AS count_growth_rate
  FROM beside
) TO '${output}/quarterly_growth/data.parquet' (FORMAT parquet);

COPY (
  SELECT txn_year, txn_quarter, card_type, count(*) AS txn_count, sum(amount)::BIGINT AS total_amount,
    round(avg(amount))::BIGINT AS avg_amount
  FROM approved GROUP BY txn_year, txn_quarter, card_type
) TO '${output}/quarterly_card_type/data.parquet' (FORMAT parquet);

COPY (
  SELECT txn_year, txn_quarter, region, count(*) AS txn_count, sum(amount)::BIGINT AS total_amount
  FROM approved GROUP BY txn_year, txn_quarter, region
) TO '${output}/quarterly_region/data.parquet' (FORMAT parquet);

COPY (
  SELECT txn_year, txn_quarter, installment_months, count(*) AS txn_count, sum(amount)::BIGINT AS total_amount
  FROM approved WHERE installment_months > 0 GROUP BY txn_year, txn_quarter, installment_months
) TO '${output}/quarterly_installment/data.parquet' (FORMAT parquet);
