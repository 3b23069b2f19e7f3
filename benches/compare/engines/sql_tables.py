"""The card job's tables in SQL that DataFusion and Spark both take, over a relation `approved`."""

AGGREGATES = (
    "count(*) AS txn_count, sum(amount) AS total_amount, CAST(round(avg(amount)) AS BIGINT) AS avg_amount"
)
CARDS = "count(DISTINCT card_no) AS unique_cards"
REVENUE = "CAST(round(CAST(sum(amount) AS DOUBLE) / 1000) / 10 AS DECIMAL(18, 1)) AS revenue_10k_won"


def rate(now, before):
    """Growth in percent to two decimals, rounded as a whole number of hundredths."""
    return (f"CAST(round(CAST({now} - {before} AS DOUBLE) * 10000 / nullif({before}, 0)) / 100 AS DECIMAL(18, 2))")


QUERIES = {
    "daily_category_summary": f"""
        SELECT txn_date, category, {CARDS}, {AGGREGATES}, max(amount) AS max_amount, min(amount) AS min_amount
        FROM approved GROUP BY txn_date, category""",
    "merchant_ranking": f"""
        SELECT merchant, category, sub_category, count(*) AS txn_count, count(DISTINCT card_no) AS unique_customers,
          sum(amount) AS total_revenue, CAST(round(avg(amount)) AS BIGINT) AS avg_transaction, {REVENUE}
        FROM approved GROUP BY merchant, category, sub_category
        ORDER BY total_revenue DESC, merchant, category, sub_category""",
    "hourly_pattern": f"""
        SELECT txn_hour, {AGGREGATES}, {CARDS},
          CASE WHEN txn_hour BETWEEN 6 AND 11 THEN '오전' WHEN txn_hour BETWEEN 12 AND 17 THEN '오후'
               WHEN txn_hour BETWEEN 18 AND 23 THEN '저녁' ELSE '심야' END AS time_slot
        FROM approved GROUP BY txn_hour""",
    "regional_analysis": f"SELECT region, category, {AGGREGATES}, {CARDS} FROM approved GROUP BY region, category",
    "regional_hourly": f"""
        SELECT region, window_start, txn_date, {AGGREGATES}, {CARDS}
        FROM approved GROUP BY region, window_start, txn_date""",
    "monthly_trend": f"""
        SELECT txn_year, txn_month, {AGGREGATES}, {CARDS}, count(DISTINCT merchant) AS unique_merchants
        FROM approved GROUP BY txn_year, txn_month""",
    "partitioned_transactions": """
        SELECT transaction_id, transaction_date, card_no, card_type, merchant, sub_category, category, amount,
          installment_months, approval_status, region, txn_date, txn_hour, txn_day_of_week, txn_year, txn_month
        FROM approved""",
    "quarterly_category_summary": f"""
        SELECT txn_year, txn_quarter, category, {AGGREGATES}, {CARDS}
        FROM approved GROUP BY txn_year, txn_quarter, category""",
    "quarterly_merchant_top10": """
        SELECT * FROM (
          SELECT txn_year, txn_quarter, merchant, category, txn_count, total_revenue, unique_customers,
            CAST(dense_rank() OVER (PARTITION BY txn_year, txn_quarter ORDER BY total_revenue DESC) AS BIGINT) AS rank
          FROM (
            SELECT txn_year, txn_quarter, merchant, category, count(*) AS txn_count, sum(amount) AS total_revenue,
              count(DISTINCT card_no) AS unique_customers
            FROM approved GROUP BY txn_year, txn_quarter, merchant, category
          ) AS revenue
        ) AS ranked WHERE rank <= 10""",
    "quarterly_growth": f"""
        SELECT *, {rate('total_amount', 'prev_amount')} AS amount_growth_rate,
          {rate('txn_count', 'prev_count')} AS count_growth_rate
        FROM (
          SELECT *, lag(total_amount) OVER (ORDER BY txn_year, txn_quarter) AS prev_amount,
            lag(txn_count) OVER (ORDER BY txn_year, txn_quarter) AS prev_count
          FROM (
            SELECT txn_year, txn_quarter, count(*) AS txn_count, sum(amount) AS total_amount, {CARDS}
            FROM approved GROUP BY txn_year, txn_quarter
          ) AS quarters
        ) AS beside""",
    "quarterly_card_type": f"""
        SELECT txn_year, txn_quarter, card_type, {AGGREGATES}
        FROM approved GROUP BY txn_year, txn_quarter, card_type""",
    "quarterly_region": """
        SELECT txn_year, txn_quarter, region, count(*) AS txn_count, sum(amount) AS total_amount
        FROM approved GROUP BY txn_year, txn_quarter, region""",
    "quarterly_installment": """
        SELECT txn_year, txn_quarter, installment_months, count(*) AS txn_count, sum(amount) AS total_amount
        FROM approved WHERE installment_months > 0 GROUP BY txn_year, txn_quarter, installment_months""",
}

# The input columns that the tables need; the table of rows needs all.
NARROW = "card_no, card_type, merchant, sub_category, category, amount, installment_months, region"
