-- The checks of quality.py: one assertion for each expectation of engines/gx_quality.py, under the same name. All are
-- warnings, so that every count is reported and the run publishes.

CREATE EXTERNAL TABLE raw (
  transaction_id TEXT, transaction_date TEXT, card_no TEXT, card_type TEXT, merchant TEXT, sub_category TEXT,
  category TEXT, amount TEXT, installment_months TEXT, approval_status TEXT, region TEXT,
  billed_amount TEXT, issuer_share TEXT, network_share TEXT, merchant_share TEXT, reversed_by TEXT
) STORED AS CSV LOCATION '${input}/transactions';

CREATE EXTERNAL TABLE merchants (merchant TEXT NOT NULL) STORED AS CSV LOCATION '${input}/merchants';

CREATE VIEW typed AS
SELECT transaction_id, transaction_date, card_no, card_type, merchant, sub_category, category,
  TRY_CAST(amount AS INT) AS amount, TRY_CAST(installment_months AS INT) AS installment_months, approval_status, region,
  TRY_CAST(billed_amount AS INT) AS billed_amount, TRY_CAST(issuer_share AS INT) AS issuer_share,
  TRY_CAST(network_share AS INT) AS network_share, TRY_CAST(merchant_share AS INT) AS merchant_share, reversed_by,
  CASE WHEN regexp_like(transaction_date, '^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$')
       THEN TRY_CAST(transaction_date AS TIMESTAMP) END AS at
FROM raw;

-- What aggregates come to, for a comparison of their values.
CREATE MATERIALIZED VIEW observed AS
SELECT min(amount) AS amount_min, max(amount) AS amount_max, avg(amount) AS amount_mean, sum(amount) AS amount_sum,
  sum(CAST(amount AS DECIMAL(38, 0)) * amount) AS amount_squares, count(amount) AS amount_count,
  count(DISTINCT card_no) AS cards, count(card_no) AS card_count, count(merchant) AS merchant_count, max(at) AS newest,
  count(*) AS row_count
FROM typed;
COPY observed TO '${output}/observed' STORED AS JSON;

-- NULL
CREATE ASSERTION id_not_null ON typed CHECK (transaction_id IS NOT NULL) OPTIONS ('severity' 'warn');
CREATE ASSERTION id_mostly_not_null ON typed CHECK (transaction_id IS NOT NULL)
  OPTIONS ('severity' 'warn', 'max_ratio' '0.001');
CREATE ASSERTION amount_mostly_not_null ON typed CHECK (amount IS NOT NULL)
  OPTIONS ('severity' 'warn', 'max_ratio' '0.0001');
CREATE ASSERTION reversed_by_null ON typed CHECK (reversed_by IS NULL) OPTIONS ('severity' 'warn');
CREATE ASSERTION merchant_share_not_null CHECK (
  (SELECT count(merchant) * 1.0 / count(*) FROM typed) BETWEEN 0.99995 AND 1) OPTIONS ('severity' 'warn');

-- Unique. Great Expectations counts the rows of a group and not the group.
CREATE ASSERTION id_unique CHECK (NOT EXISTS (
  SELECT UNNEST(range(0, n)) FROM (
    SELECT count(*) AS n FROM typed WHERE transaction_id IS NOT NULL GROUP BY transaction_id HAVING count(*) > 1)))
  OPTIONS ('severity' 'warn');
CREATE ASSERTION payment_unique_together CHECK (NOT EXISTS (
  SELECT UNNEST(range(0, n)) FROM (
    SELECT count(*) AS n FROM typed
    WHERE transaction_date IS NOT NULL AND card_no IS NOT NULL AND amount IS NOT NULL AND merchant IS NOT NULL
    GROUP BY transaction_date, card_no, amount, merchant HAVING count(*) > 1)))
  OPTIONS ('severity' 'warn');
CREATE ASSERTION card_share_unique CHECK (
  (SELECT count(DISTINCT card_no) * 1.0 / count(card_no) FROM typed) BETWEEN 0.001 AND 0.02)
  OPTIONS ('severity' 'warn');
CREATE ASSERTION card_values CHECK ((SELECT count(DISTINCT card_no) FROM typed) BETWEEN 1000 AND 2000)
  OPTIONS ('severity' 'warn');

-- Sets
CREATE ASSERTION category_in_set ON typed
  CHECK (category IN ('식비', '교통', '쇼핑', '문화', '의료', '교육', '통신', '보험')) OPTIONS ('severity' 'warn');
CREATE ASSERTION status_mostly_in_set ON typed CHECK (approval_status IN ('approved', 'declined', 'cancelled'))
  OPTIONS ('severity' 'warn', 'max_ratio' '0.01');
CREATE ASSERTION region_not_in_set ON typed CHECK (region NOT IN ('울산', '세종')) OPTIONS ('severity' 'warn');
CREATE ASSERTION card_types_in_set CHECK (NOT EXISTS (
  SELECT DISTINCT card_type FROM typed WHERE card_type NOT IN ('신용', '체크'))) OPTIONS ('severity' 'warn');
CREATE ASSERTION statuses_equal_set CHECK (NOT EXISTS (
  SELECT DISTINCT approval_status FROM typed
  WHERE approval_status NOT IN ('approved', 'declined', 'cancelled', 'refunded', 'expired')
  UNION ALL
  SELECT expected.status
  FROM (VALUES ('approved'), ('declined'), ('cancelled'), ('refunded'), ('expired')) AS expected(status)
  LEFT JOIN (SELECT DISTINCT approval_status FROM typed) AS found ON expected.status = found.approval_status
  WHERE found.approval_status IS NULL)) OPTIONS ('severity' 'warn');
CREATE ASSERTION regions_contain_set CHECK (NOT EXISTS (
  SELECT expected.region FROM (VALUES ('서울'), ('부산'), ('제주'), ('세종')) AS expected(region)
  LEFT JOIN (SELECT DISTINCT region FROM typed) AS found ON expected.region = found.region
  WHERE found.region IS NULL)) OPTIONS ('severity' 'warn');

-- Ranges
CREATE ASSERTION amount_between ON typed CHECK (amount BETWEEN 0 AND 10000000) OPTIONS ('severity' 'warn');
CREATE ASSERTION amount_strictly_between ON typed CHECK (amount > 0 AND amount < 10000000) OPTIONS ('severity' 'warn');
CREATE ASSERTION installments_between ON typed CHECK (installment_months BETWEEN 0 AND 12)
  OPTIONS ('severity' 'warn');

-- Text
CREATE ASSERTION card_matches ON typed CHECK (regexp_like(card_no, '^[*]{4}-[*]{4}-[*]{4}-[0-9]{4}$'))
  OPTIONS ('severity' 'warn');
CREATE ASSERTION card_does_not_match ON typed CHECK (NOT regexp_like(card_no, '^[0-9]{4}-[0-9]{4}-'))
  OPTIONS ('severity' 'warn');
CREATE ASSERTION merchant_length_between ON typed CHECK (character_length(merchant) BETWEEN 2 AND 10)
  OPTIONS ('severity' 'warn');
CREATE ASSERTION card_length ON typed CHECK (character_length(card_no) = 19) OPTIONS ('severity' 'warn');
CREATE ASSERTION date_format ON typed CHECK (transaction_date IS NULL OR at IS NOT NULL) OPTIONS ('severity' 'warn');

-- Several columns of a row
CREATE ASSERTION amount_above_installments ON typed CHECK (amount > installment_months) OPTIONS ('severity' 'warn');
CREATE ASSERTION amount_is_billed ON typed CHECK (amount = billed_amount) OPTIONS ('severity' 'warn');
CREATE ASSERTION type_and_status_in_set ON typed CHECK (card_type IS NULL OR approval_status IS NULL
  OR (card_type, approval_status) IN (('신용', 'approved'), ('신용', 'declined'), ('신용', 'cancelled'),
                                      ('체크', 'approved'), ('체크', 'declined'), ('체크', 'cancelled')))
  OPTIONS ('severity' 'warn');
CREATE ASSERTION shares_sum ON typed CHECK (issuer_share + network_share + merchant_share = 100)
  OPTIONS ('severity' 'warn');

-- Number of rows
CREATE ASSERTION row_count_between CHECK ((SELECT count(*) FROM typed) BETWEEN 1 AND 1000000)
  OPTIONS ('severity' 'warn');
CREATE ASSERTION row_count_is CHECK ((SELECT count(*) FROM typed) = ${rows}) OPTIONS ('severity' 'warn');
CREATE ASSERTION row_count_as_raw CHECK ((SELECT count(*) FROM typed) = (SELECT count(*) FROM raw))
  OPTIONS ('severity' 'warn');
CREATE ASSERTION row_count_as_merchants CHECK ((SELECT count(*) FROM typed) = (SELECT count(*) FROM merchants))
  OPTIONS ('severity' 'warn');

-- Aggregates. A standard deviation is written as sums, which are maintained exactly.
CREATE ASSERTION amount_min_between CHECK ((SELECT min(amount) FROM typed) BETWEEN 0 AND 10000)
  OPTIONS ('severity' 'warn');
CREATE ASSERTION amount_max_between CHECK ((SELECT max(amount) FROM typed) BETWEEN 100000 AND 50000000)
  OPTIONS ('severity' 'warn');
CREATE ASSERTION amount_mean_between CHECK ((SELECT avg(amount) FROM typed) BETWEEN 10000 AND 1000000)
  OPTIONS ('severity' 'warn');
CREATE ASSERTION amount_sum_between CHECK ((SELECT sum(amount) FROM typed) BETWEEN 0 AND 1000000)
  OPTIONS ('severity' 'warn');
CREATE ASSERTION amount_deviation_between CHECK (
  (SELECT sqrt((CAST(sum(CAST(amount AS DECIMAL(38, 0)) * amount) AS DOUBLE)
                - CAST(sum(amount) AS DOUBLE) * CAST(sum(amount) AS DOUBLE) / count(amount)) / (count(amount) - 1))
   FROM typed) BETWEEN 1000 AND 100000) OPTIONS ('severity' 'warn');

-- Two tables
CREATE ASSERTION merchant_known CHECK (NOT EXISTS (
  SELECT typed.transaction_id FROM typed LEFT JOIN merchants ON typed.merchant = merchants.merchant
  WHERE typed.merchant IS NOT NULL AND merchants.merchant IS NULL)) OPTIONS ('severity' 'warn');

-- Freshness
CREATE ASSERTION newest_within_2_days CHECK (
  (SELECT max(at) FROM typed) >= TIMESTAMP '${now}' - INTERVAL '2 days') OPTIONS ('severity' 'warn');
CREATE ASSERTION newest_within_5_days CHECK (
  (SELECT max(at) FROM typed) >= TIMESTAMP '${now}' - INTERVAL '5 days') OPTIONS ('severity' 'warn');

-- Own SQL: cards with three declined payments or more on a day
CREATE ASSERTION declined_often CHECK (NOT EXISTS (
  SELECT card_no FROM typed WHERE approval_status = 'declined'
  GROUP BY card_no, substr(transaction_date, 1, 10) HAVING count(*) >= 3)) OPTIONS ('severity' 'warn');
