-- Abnormal transactions of a card company: nine rules over the card transactions, kept right when rows come late, are
-- corrected or are withdrawn. docs/anomalies.md explains them.
--
--   input    where the transactions are: a file, a directory or a glob (default data/transactions)
--   output   the directory that will hold the tables, one directory each (default out-anomalies)
--
-- The thresholds are variables too: baseline_min, amount_deviations, volume_min, volume_deviations, burst_seconds,
-- spree_won, double_payment_seconds, large_amount_won, tested_card_seconds. Their defaults are in the rules below.
--
-- A flag depends only on the rows that are present. Rules of sequence look back, and transaction_id breaks ties in
-- time. Rows are chosen by whole numbers; only the score that is shown is rounded.

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
) STORED AS CSV LOCATION '${input:-data/transactions}';

CREATE VIEW approved AS
SELECT
  *,
  date_trunc('hour', transaction_date)                  AS window_start,
  date_part('hour', transaction_date)                   AS txn_hour,
  date_part('year', transaction_date)                   AS txn_year,
  date_part('quarter', transaction_date)                AS txn_quarter
FROM transactions
WHERE approval_status = 'approved';

-- Baselines: far above what is usual -----------------------------------------------------------------------------

-- What is usual for a merchant at an hour of the day in a quarter: how many payments, their sum, the sum of squares.
CREATE VIEW amount_baseline AS
SELECT
  merchant, txn_hour, txn_year, txn_quarter,
  count(*)                                                                AS n,
  sum(CAST(amount AS DECIMAL(18, 0)))                                     AS s,
  sum(CAST(amount AS DECIMAL(18, 0)) * CAST(amount AS DECIMAL(18, 0)))    AS q
FROM approved
GROUP BY merchant, txn_hour, txn_year, txn_quarter;

-- R1: an amount that is at least five population deviations above the mean. The score is the number of deviations.
-- With n rows, sum s and sum of squares q, the comparison is multiplied by n and squared, so it is one of whole numbers.
CREATE VIEW amount_outlier AS
SELECT
  a.transaction_id, a.card_no, a.transaction_date, a.merchant, a.region, a.amount,
  CAST(NULL AS TEXT) AS related_id,
  CAST(round(CAST(b.n * a.amount - b.s AS DOUBLE) / sqrt(CAST(b.n * b.q - b.s * b.s AS DOUBLE)) * 100) / 100
    AS DECIMAL(18, 2)) AS score
FROM approved a
JOIN amount_baseline b
  ON a.merchant = b.merchant AND a.txn_hour = b.txn_hour AND a.txn_year = b.txn_year AND a.txn_quarter = b.txn_quarter
WHERE b.n >= ${baseline_min:-30}
  AND b.n * b.q > b.s * b.s
  AND b.n * a.amount > b.s
  AND (b.n * a.amount - b.s) * (b.n * a.amount - b.s)
    >= ${amount_deviations:-5} * ${amount_deviations:-5} * (b.n * b.q - b.s * b.s);

-- The payments of each merchant in each clock hour that has any, and what is usual at that hour of the day.
CREATE VIEW merchant_hours AS
SELECT merchant, window_start, txn_hour, txn_year, txn_quarter, count(*) AS n
FROM approved
GROUP BY merchant, window_start, txn_hour, txn_year, txn_quarter;

CREATE VIEW hour_baseline AS
SELECT
  merchant, txn_hour, txn_year, txn_quarter,
  count(*)                                                      AS hours,
  sum(CAST(n AS DECIMAL(18, 0)))                                AS s,
  sum(CAST(n AS DECIMAL(18, 0)) * CAST(n AS DECIMAL(18, 0)))    AS q
FROM merchant_hours
GROUP BY merchant, txn_hour, txn_year, txn_quarter;

-- R2: an hour in which a merchant has at least ten payments, six deviations above the mean. Hours are no
-- transactions, so this is a table of its own.
CREATE MATERIALIZED VIEW volume_spike AS
SELECT
  h.merchant, h.window_start, h.n, b.hours,
  CAST(round(CAST(b.hours * h.n - b.s AS DOUBLE) / sqrt(CAST(b.hours * b.q - b.s * b.s AS DOUBLE)) * 100) / 100
    AS DECIMAL(18, 2)) AS score
FROM merchant_hours h
JOIN hour_baseline b
  ON h.merchant = b.merchant AND h.txn_hour = b.txn_hour AND h.txn_year = b.txn_year AND h.txn_quarter = b.txn_quarter
WHERE b.hours >= ${baseline_min:-30}
  AND h.n >= ${volume_min:-10}
  AND b.hours * b.q > b.s * b.s
  AND b.hours * h.n > b.s
  AND (b.hours * h.n - b.s) * (b.hours * h.n - b.s)
    >= ${volume_deviations:-6} * ${volume_deviations:-6} * (b.hours * b.q - b.s * b.s);

-- Sequences of a card ----------------------------------------------------------------------------------------------

-- All transactions, whatever their status, beside those before them.
CREATE VIEW attempts AS
SELECT
  *,
  lag(approval_status, 1) OVER (PARTITION BY card_no ORDER BY transaction_date, transaction_id)     AS status_1,
  lag(approval_status, 2) OVER (PARTITION BY card_no ORDER BY transaction_date, transaction_id)     AS status_2,
  lag(approval_status, 3) OVER (PARTITION BY card_no ORDER BY transaction_date, transaction_id)     AS status_3,
  lag(transaction_id, 3) OVER (PARTITION BY card_no ORDER BY transaction_date, transaction_id)      AS third_id,
  lag(transaction_date, 3) OVER (PARTITION BY card_no ORDER BY transaction_date, transaction_id)    AS third_date,
  lag(transaction_id, 4) OVER (PARTITION BY card_no ORDER BY transaction_date, transaction_id)      AS fourth_id,
  lag(transaction_date, 4) OVER (PARTITION BY card_no ORDER BY transaction_date, transaction_id)    AS fourth_date
FROM transactions;

-- R3: the fifth transaction of a card within 600 seconds, and each further one, related to the fourth before it. The
-- score is in seconds.
CREATE VIEW burst AS
SELECT
  transaction_id, card_no, transaction_date, merchant, region, amount,
  fourth_id AS related_id,
  CAST(date_part('epoch', transaction_date) - date_part('epoch', fourth_date) AS DECIMAL(18, 2)) AS score
FROM attempts
WHERE date_part('epoch', transaction_date) - date_part('epoch', fourth_date) <= ${burst_seconds:-600};

-- R4: a payment with which a card has spent more than 3,000,000 won within an hour. Payments of the same second count
-- together. The score is the won.
CREATE VIEW spent AS
SELECT
  *,
  sum(amount) OVER (PARTITION BY card_no ORDER BY transaction_date
    RANGE BETWEEN INTERVAL '1 hour' PRECEDING AND CURRENT ROW) AS won_1h
FROM approved;

CREATE VIEW spree AS
SELECT
  transaction_id, card_no, transaction_date, merchant, region, amount,
  CAST(NULL AS TEXT) AS related_id,
  CAST(won_1h AS DECIMAL(18, 2)) AS score
FROM spent
WHERE won_1h > ${spree_won:-3000000};

-- R5: two payments in person, one after the other, in cities that are too far apart for the time between them. The
-- score is in seconds. Payments in these sub-categories are not in person.
CREATE VIEW in_person AS
SELECT *
FROM approved
WHERE sub_category NOT IN ('온라인', '배달', '음악', '온라인강의', '이동통신', '알뜰폰', '생명보험', '손해보험');

CREATE VIEW stops AS
SELECT
  *,
  lag(transaction_id) OVER (PARTITION BY card_no ORDER BY transaction_date, transaction_id)      AS before_id,
  lag(region) OVER (PARTITION BY card_no ORDER BY transaction_date, transaction_id)              AS before_region,
  lag(transaction_date) OVER (PARTITION BY card_no ORDER BY transaction_date, transaction_id)    AS before_date
FROM in_person;

-- Minutes for the straight distance at 300 km/h, rounded down. 서울, 경기 and 인천 adjoin and are no pair.
CREATE VIEW distance AS
SELECT column1 AS a, column2 AS b, column3 AS minutes
FROM (VALUES
  ('서울', '부산', 65), ('서울', '대구', 47), ('서울', '대전', 27), ('서울', '광주', 53), ('서울', '제주', 90),
  ('경기', '부산', 59), ('경기', '대구', 41), ('경기', '대전', 21), ('경기', '광주', 46), ('경기', '제주', 84),
  ('인천', '부산', 66), ('인천', '대구', 48), ('인천', '대전', 27), ('인천', '광주', 51), ('인천', '제주', 88),
  ('부산', '대구', 17), ('부산', '대전', 40), ('부산', '광주', 40), ('부산', '제주', 59),
  ('대구', '대전', 24), ('대구', '광주', 35), ('대구', '제주', 64),
  ('대전', '광주', 28), ('대전', '제주', 65), ('광주', '제주', 37)) AS v;

CREATE VIEW travel AS
SELECT a AS from_region, b AS to_region, minutes FROM distance
UNION ALL
SELECT b, a, minutes FROM distance;

CREATE VIEW impossible_travel AS
SELECT
  s.transaction_id, s.card_no, s.transaction_date, s.merchant, s.region, s.amount,
  s.before_id AS related_id,
  CAST(date_part('epoch', s.transaction_date) - date_part('epoch', s.before_date) AS DECIMAL(18, 2)) AS score
FROM stops s
JOIN travel t ON s.before_region = t.from_region AND s.region = t.to_region
WHERE date_part('epoch', s.transaction_date) - date_part('epoch', s.before_date) < t.minutes * 60;

-- R6: a payment of the same card, merchant and amount as the one at most 60 seconds before. The score is in seconds.
CREATE VIEW repeats AS
SELECT
  *,
  lag(transaction_id) OVER (PARTITION BY card_no, merchant, amount ORDER BY transaction_date, transaction_id)
    AS before_id,
  lag(transaction_date) OVER (PARTITION BY card_no, merchant, amount ORDER BY transaction_date, transaction_id)
    AS before_date
FROM approved;

CREATE VIEW double_payment AS
SELECT
  transaction_id, card_no, transaction_date, merchant, region, amount,
  before_id AS related_id,
  CAST(date_part('epoch', transaction_date) - date_part('epoch', before_date) AS DECIMAL(18, 2)) AS score
FROM repeats
WHERE before_id <> transaction_id
  AND date_part('epoch', transaction_date) - date_part('epoch', before_date) <= ${double_payment_seconds:-60};

-- R9: a payment after three declined transactions in a row, the first of them at most 600 seconds before. It is related
-- to that first one. The score is in seconds.
CREATE VIEW tested_card AS
SELECT
  transaction_id, card_no, transaction_date, merchant, region, amount,
  third_id AS related_id,
  CAST(date_part('epoch', transaction_date) - date_part('epoch', third_date) AS DECIMAL(18, 2)) AS score
FROM attempts
WHERE approval_status = 'approved'
  AND status_1 = 'declined' AND status_2 = 'declined' AND status_3 = 'declined'
  AND date_part('epoch', transaction_date) - date_part('epoch', third_date) <= ${tested_card_seconds:-600};

-- Single rows ------------------------------------------------------------------------------------------------------

-- R7: an id that several rows have. It is a table of its own, since ids are what the other flags refer to.
CREATE MATERIALIZED VIEW duplicate_id AS
SELECT transaction_id, count(*) AS copies
FROM transactions
GROUP BY transaction_id
HAVING count(*) > 1;

-- R8: more than 10,000,000 won, whatever the status. The score is the amount.
CREATE VIEW large_amount AS
SELECT
  transaction_id, card_no, transaction_date, merchant, region, amount,
  CAST(NULL AS TEXT) AS related_id,
  CAST(amount AS DECIMAL(18, 2)) AS score
FROM transactions
WHERE amount > ${large_amount_won:-10000000};

-- All flagged transactions. A transaction has a row for each rule that flags it.
CREATE MATERIALIZED VIEW anomalies AS
SELECT 'amount_outlier' AS rule, * FROM amount_outlier
UNION ALL SELECT 'burst' AS rule, * FROM burst
UNION ALL SELECT 'spree' AS rule, * FROM spree
UNION ALL SELECT 'impossible_travel' AS rule, * FROM impossible_travel
UNION ALL SELECT 'double_payment' AS rule, * FROM double_payment
UNION ALL SELECT 'large_amount' AS rule, * FROM large_amount
UNION ALL SELECT 'tested_card' AS rule, * FROM tested_card;

-- Where the tables are published -----------------------------------------------------------------------------------

COPY anomalies TO '${output:-out-anomalies}/anomalies' STORED AS PARQUET PARTITIONED BY (rule);
COPY volume_spike TO '${output:-out-anomalies}/volume_spike' STORED AS PARQUET;
COPY duplicate_id TO '${output:-out-anomalies}/duplicate_id' STORED AS PARQUET;
