-- The daily batch of a card company, from Kafka: card.sql with a topic in place of files, and the same thirteen tables.
--
--   brokers  where Kafka is (default kafka://localhost:9092)
--   topic    the topic of transactions, a JSON object each (default transactions)
--   output   the directory that will hold the tables, one directory each (default out-kafka)
--
--   tidewater run    jobs/card-kafka.sql --state state/card-kafka   reads what is there now
--   tidewater follow jobs/card-kafka.sql --state state/card-kafka   keeps up with it
--
-- Only approved transactions count. Money is whole won in BIGINT, so every sum is exact. Averages are rounded half
-- away from zero to whole won.

CREATE EXTERNAL TABLE transactions (
  transaction_id     TEXT NOT NULL,
  transaction_date   TIMESTAMP NOT NULL,     -- local time of the business, no zone
  card_no            TEXT NOT NULL,          -- masked
  card_type          TEXT,                   -- 신용 (credit) or 체크 (debit)
  merchant           TEXT,
  sub_category       TEXT,
  category           TEXT,
  amount             BIGINT NOT NULL,        -- won
  installment_months INT,                    -- 0: paid at once
  approval_status    TEXT,                   -- approved, declined or cancelled
  region             TEXT
) STORED AS JSON LOCATION '${brokers:-kafka://localhost:9092}/${topic:-transactions}';

-- What all tables are made of: the approved rows, with the parts of their date taken once.
CREATE VIEW approved AS
SELECT
  *,
  CAST(transaction_date AS DATE)                        AS txn_date,
  date_trunc('hour', transaction_date)                  AS window_start,
  date_part('hour', transaction_date)                   AS txn_hour,
  CAST(date_part('dow', transaction_date) + 1 AS INT)   AS txn_day_of_week,  -- 1 is Sunday, as in Spark
  date_part('year', transaction_date)                   AS txn_year,
  date_part('quarter', transaction_date)                AS txn_quarter,
  date_part('month', transaction_date)                  AS txn_month
FROM transactions
WHERE approval_status = 'approved';

-- Days and hours ---------------------------------------------------------------------------------------------------

CREATE MATERIALIZED VIEW daily_category_summary AS
SELECT
  txn_date,
  category,
  count(*)                            AS txn_count,
  count(DISTINCT card_no)             AS unique_cards,
  sum(amount)                         AS total_amount,
  CAST(round(avg(amount)) AS BIGINT)  AS avg_amount,
  max(amount)                         AS max_amount,
  min(amount)                         AS min_amount
FROM approved
GROUP BY txn_date, category;

CREATE MATERIALIZED VIEW hourly_pattern AS
SELECT
  txn_hour,
  count(*)                            AS txn_count,
  sum(amount)                         AS total_amount,
  CAST(round(avg(amount)) AS BIGINT)  AS avg_amount,
  count(DISTINCT card_no)             AS unique_cards,
  CASE
    WHEN txn_hour BETWEEN 6 AND 11 THEN '오전'   -- morning
    WHEN txn_hour BETWEEN 12 AND 17 THEN '오후'  -- afternoon
    WHEN txn_hour BETWEEN 18 AND 23 THEN '저녁'  -- evening
    ELSE '심야'                                   -- night
  END                                 AS time_slot
FROM approved
GROUP BY txn_hour;

CREATE MATERIALIZED VIEW regional_hourly AS
SELECT
  region,
  window_start,
  txn_date,  -- follows from window_start; a column of its own because the table is partitioned by it
  count(*)                            AS txn_count,
  sum(amount)                         AS total_amount,
  CAST(round(avg(amount)) AS BIGINT)  AS avg_amount,
  count(DISTINCT card_no)             AS unique_cards
FROM approved
GROUP BY region, window_start, txn_date;

-- Merchants, regions, months -----------------------------------------------------------------------------------------

-- ORDER BY orders the published file.
CREATE MATERIALIZED VIEW merchant_ranking AS
SELECT
  merchant,
  category,
  sub_category,
  count(*)                            AS txn_count,
  count(DISTINCT card_no)             AS unique_customers,
  sum(amount)                         AS total_revenue,
  CAST(round(avg(amount)) AS BIGINT)  AS avg_transaction,
  -- Units of 10,000 won to one decimal. Rounded while the value is a whole number of tenths, so that no binary
  -- fraction is ever rounded: 11,500 won are 1.2, not 1.1.
  CAST(round(sum(amount) / 1000.0) / 10.0 AS DECIMAL(18, 1)) AS revenue_10k_won
FROM approved
GROUP BY merchant, category, sub_category
ORDER BY total_revenue DESC, merchant, category, sub_category;

CREATE MATERIALIZED VIEW regional_analysis AS
SELECT
  region,
  category,
  count(*)                            AS txn_count,
  sum(amount)                         AS total_amount,
  CAST(round(avg(amount)) AS BIGINT)  AS avg_amount,
  count(DISTINCT card_no)             AS unique_cards
FROM approved
GROUP BY region, category;

CREATE MATERIALIZED VIEW monthly_trend AS
SELECT
  txn_year,
  txn_month,
  count(*)                            AS txn_count,
  sum(amount)                         AS total_amount,
  CAST(round(avg(amount)) AS BIGINT)  AS avg_amount,
  count(DISTINCT card_no)             AS unique_cards,
  count(DISTINCT merchant)            AS unique_merchants
FROM approved
GROUP BY txn_year, txn_month;

-- The approved transactions themselves, for those who query by month.
CREATE MATERIALIZED VIEW partitioned_transactions AS
SELECT
  transaction_id, transaction_date, card_no, card_type, merchant, sub_category, category, amount,
  installment_months, approval_status, region,
  txn_date, txn_hour, txn_day_of_week,
  txn_year, txn_month
FROM approved;

-- Quarters -----------------------------------------------------------------------------------------------------------

CREATE MATERIALIZED VIEW quarterly_category_summary AS
SELECT
  txn_year,
  txn_quarter,
  category,
  count(*)                            AS txn_count,
  sum(amount)                         AS total_amount,
  CAST(round(avg(amount)) AS BIGINT)  AS avg_amount,
  count(DISTINCT card_no)             AS unique_cards
FROM approved
GROUP BY txn_year, txn_quarter, category;

-- dense_rank leaves no gaps and gives equal revenue one rank, so a quarter may have more than ten rows.
CREATE MATERIALIZED VIEW quarterly_merchant_top10 AS
WITH revenue AS (
  SELECT
    txn_year,
    txn_quarter,
    merchant,
    category,
    count(*)                AS txn_count,
    sum(amount)             AS total_revenue,
    count(DISTINCT card_no) AS unique_customers
  FROM approved
  GROUP BY txn_year, txn_quarter, merchant, category
),
ranked AS (
  SELECT *, dense_rank() OVER (PARTITION BY txn_year, txn_quarter ORDER BY total_revenue DESC) AS place
  FROM revenue
)
SELECT
  txn_year, txn_quarter, merchant, category,
  txn_count, total_revenue, unique_customers,
  CAST(place AS BIGINT) AS rank
FROM ranked
WHERE place <= 10
ORDER BY txn_year, txn_quarter, rank, merchant, category;

-- Each quarter beside the one before it. Growth is in percent to two decimals, null for the first quarter; like
-- revenue_10k_won it is rounded as a whole number, here of hundredths.
CREATE MATERIALIZED VIEW quarterly_growth AS
WITH quarters AS (
  SELECT
    txn_year,
    txn_quarter,
    count(*)                AS txn_count,
    sum(amount)             AS total_amount,
    count(DISTINCT card_no) AS unique_cards
  FROM approved
  GROUP BY txn_year, txn_quarter
),
beside AS (
  SELECT
    *,
    lag(total_amount) OVER (ORDER BY txn_year, txn_quarter) AS prev_amount,
    lag(txn_count) OVER (ORDER BY txn_year, txn_quarter)    AS prev_count
  FROM quarters
)
SELECT
  txn_year, txn_quarter,
  txn_count, total_amount, unique_cards,
  prev_amount, prev_count,
  -- nullif: growth over nothing is unknown, not infinite.
  CAST(round((total_amount - prev_amount) * 10000.0 / nullif(prev_amount, 0)) / 100.0 AS DECIMAL(18, 2))
    AS amount_growth_rate,
  CAST(round((txn_count - prev_count) * 10000.0 / nullif(prev_count, 0)) / 100.0 AS DECIMAL(18, 2))
    AS count_growth_rate
FROM beside;

CREATE MATERIALIZED VIEW quarterly_card_type AS
SELECT
  txn_year,
  txn_quarter,
  card_type,
  count(*)                            AS txn_count,
  sum(amount)                         AS total_amount,
  CAST(round(avg(amount)) AS BIGINT)  AS avg_amount
FROM approved
GROUP BY txn_year, txn_quarter, card_type;

CREATE MATERIALIZED VIEW quarterly_region AS
SELECT
  txn_year,
  txn_quarter,
  region,
  count(*)    AS txn_count,
  sum(amount) AS total_amount
FROM approved
GROUP BY txn_year, txn_quarter, region;

CREATE MATERIALIZED VIEW quarterly_installment AS
SELECT
  txn_year,
  txn_quarter,
  installment_months,
  count(*)    AS txn_count,
  sum(amount) AS total_amount
FROM approved
WHERE installment_months > 0
GROUP BY txn_year, txn_quarter, installment_months;

-- Where the tables are published -------------------------------------------------------------------------------------
-- PARTITIONED BY makes Hive partitions: <table>/txn_date=2024-03-10/…, the column in the path and not in the file.

COPY daily_category_summary TO '${output:-out-kafka}/daily_category_summary' STORED AS PARQUET PARTITIONED BY (txn_date);
COPY merchant_ranking TO '${output:-out-kafka}/merchant_ranking' STORED AS PARQUET;
COPY hourly_pattern TO '${output:-out-kafka}/hourly_pattern' STORED AS PARQUET;
COPY regional_analysis TO '${output:-out-kafka}/regional_analysis' STORED AS PARQUET PARTITIONED BY (region);
COPY regional_hourly TO '${output:-out-kafka}/regional_hourly' STORED AS PARQUET PARTITIONED BY (txn_date);
COPY monthly_trend TO '${output:-out-kafka}/monthly_trend' STORED AS PARQUET;
COPY partitioned_transactions TO '${output:-out-kafka}/partitioned_transactions'
  STORED AS PARQUET PARTITIONED BY (txn_year, txn_month);
COPY quarterly_category_summary TO '${output:-out-kafka}/quarterly_category_summary'
  STORED AS PARQUET PARTITIONED BY (txn_year, txn_quarter);
COPY quarterly_merchant_top10 TO '${output:-out-kafka}/quarterly_merchant_top10'
  STORED AS PARQUET PARTITIONED BY (txn_year, txn_quarter);
COPY quarterly_growth TO '${output:-out-kafka}/quarterly_growth' STORED AS PARQUET;
COPY quarterly_card_type TO '${output:-out-kafka}/quarterly_card_type' STORED AS PARQUET;
COPY quarterly_region TO '${output:-out-kafka}/quarterly_region' STORED AS PARQUET;
COPY quarterly_installment TO '${output:-out-kafka}/quarterly_installment' STORED AS PARQUET;
