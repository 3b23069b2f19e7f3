-- The quality gate of the card job: its 23 checks and the decline rate. Every run evaluates them on all files and
-- publishes the approved transactions only if none fails.
--
--   tidewater run jobs/card-quality.sql --state state/quality --set now='2024-06-01 02:00:00'
--
-- Columns are read as text, so that the checks see what was delivered. Without now, no time is in the future.

CREATE EXTERNAL TABLE raw (
  transaction_id TEXT, transaction_date TEXT, card_no TEXT, card_type TEXT, merchant TEXT, sub_category TEXT,
  category TEXT, amount TEXT, installment_months TEXT, approval_status TEXT, region TEXT
) STORED AS CSV LOCATION '${input:-data/transactions}';

CREATE VIEW probe AS
SELECT *, TRY_CAST(amount AS INT) AS won, TRY_CAST(installment_months AS INT) AS months,
  CASE WHEN regexp_like(transaction_date, '^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$')
       THEN TRY_CAST(transaction_date AS TIMESTAMP) END AS at
FROM raw;

CREATE MATERIALIZED VIEW approved AS
SELECT transaction_id, at AS transaction_date, card_no, card_type, merchant, sub_category, category, won AS amount,
       months AS installment_months, region
FROM probe WHERE approval_status = 'approved';

COPY approved TO '${output:-out-quality}/approved' STORED AS PARQUET;

-- Empty values: up to one of a hundred rows is a warning.
CREATE ASSERTION null_transaction_id ON probe CHECK (coalesce(transaction_id, '') NOT IN ('', 'null')) OPTIONS ('max_ratio' '0.01');
CREATE ASSERTION null_transaction_date ON probe CHECK (coalesce(transaction_date, '') NOT IN ('', 'null')) OPTIONS ('max_ratio' '0.01');
CREATE ASSERTION null_card_no ON probe CHECK (coalesce(card_no, '') NOT IN ('', 'null')) OPTIONS ('max_ratio' '0.01');
CREATE ASSERTION null_card_type ON probe CHECK (coalesce(card_type, '') NOT IN ('', 'null')) OPTIONS ('max_ratio' '0.01');
CREATE ASSERTION null_merchant ON probe CHECK (coalesce(merchant, '') NOT IN ('', 'null')) OPTIONS ('max_ratio' '0.01');
CREATE ASSERTION null_sub_category ON probe CHECK (coalesce(sub_category, '') NOT IN ('', 'null')) OPTIONS ('max_ratio' '0.01');
CREATE ASSERTION null_category ON probe CHECK (coalesce(category, '') NOT IN ('', 'null')) OPTIONS ('max_ratio' '0.01');
CREATE ASSERTION null_approval_status ON probe CHECK (coalesce(approval_status, '') NOT IN ('', 'null')) OPTIONS ('max_ratio' '0.01');
CREATE ASSERTION null_region ON probe CHECK (coalesce(region, '') NOT IN ('', 'null')) OPTIONS ('max_ratio' '0.01');
CREATE ASSERTION null_amount ON probe CHECK (won IS NOT NULL) OPTIONS ('max_ratio' '0.01');
CREATE ASSERTION null_installment_months ON probe CHECK (months IS NOT NULL) OPTIONS ('max_ratio' '0.01');

-- Rows that occur twice.
CREATE ASSERTION duplicate_id CHECK (NOT EXISTS (
  SELECT transaction_id FROM probe GROUP BY transaction_id HAVING count(*) > 1));
CREATE ASSERTION double_payment CHECK (NOT EXISTS (
  SELECT card_no FROM probe GROUP BY transaction_date, card_no, won, merchant HAVING count(*) > 1))
  OPTIONS ('severity' 'warn');

-- Amounts and dates.
CREATE ASSERTION amount_negative ON probe CHECK (won >= 0);
CREATE ASSERTION amount_excessive ON probe CHECK (won <= 10000000) OPTIONS ('severity' 'warn');
CREATE ASSERTION amount_zero ON probe CHECK (won <> 0) OPTIONS ('severity' 'warn');
CREATE ASSERTION date_format ON probe CHECK (at IS NOT NULL);
CREATE ASSERTION date_future ON probe CHECK (at <= TIMESTAMP '${now:-9999-12-31 00:00:00}') OPTIONS ('severity' 'warn');

-- Sets of values, and masked card numbers.
CREATE ASSERTION category_valid ON probe
  CHECK (category IN ('식비', '교통', '쇼핑', '문화', '의료', '교육', '통신', '보험'));
CREATE ASSERTION card_type_valid ON probe CHECK (card_type IN ('신용', '체크'));
CREATE ASSERTION approval_status_valid ON probe CHECK (approval_status IN ('approved', 'declined', 'cancelled'));
CREATE ASSERTION region_valid ON probe
  CHECK (region IN ('서울', '경기', '인천', '부산', '대구', '대전', '광주', '제주'));
CREATE ASSERTION card_no_masked ON probe CHECK (regexp_like(card_no, '^[*]{4}-[*]{4}-[*]{4}-[0-9]{4}$'));

-- More than a tenth of declined transactions is a warning. A delivery without rows is a mistake.
CREATE ASSERTION decline_rate ON probe CHECK (approval_status <> 'declined')
  OPTIONS ('severity' 'warn', 'max_ratio' '0.10');
CREATE ASSERTION row_count CHECK ((SELECT count(*) FROM probe) > 0);
