"""The thirteen tables of the card job: their key columns, the values beside the key, and their partitions."""

# table: (columns that identify a row, the other columns), all in the order of the job.
TABLES = {
    "daily_category_summary": (
        ["txn_date", "category"],
        ["txn_count", "unique_cards", "total_amount", "avg_amount", "max_amount", "min_amount"],
    ),
    "merchant_ranking": (
        ["merchant", "category", "sub_category"],
        ["txn_count", "unique_customers", "total_revenue", "avg_transaction", "revenue_10k_won"],
    ),
    "hourly_pattern": (
        ["txn_hour"],
        ["txn_count", "total_amount", "avg_amount", "unique_cards", "time_slot"],
    ),
    "regional_analysis": (
        ["region", "category"],
        ["txn_count", "total_amount", "avg_amount", "unique_cards"],
    ),
    "regional_hourly": (
        ["region", "window_start"],
        ["txn_date", "txn_count", "total_amount", "avg_amount", "unique_cards"],
    ),
    "monthly_trend": (
        ["txn_year", "txn_month"],
        ["txn_count", "total_amount", "avg_amount", "unique_cards", "unique_merchants"],
    ),
    "partitioned_transactions": (
        ["transaction_id"],
        ["transaction_date", "card_no", "card_type", "merchant", "sub_category", "category", "amount",
         "installment_months", "approval_status", "region", "txn_date", "txn_hour", "txn_day_of_week",
         "txn_year", "txn_month"],
    ),
    "quarterly_category_summary": (
        ["txn_year", "txn_quarter", "category"],
        ["txn_count", "total_amount", "avg_amount", "unique_cards"],
    ),
    "quarterly_merchant_top10": (
        ["txn_year", "txn_quarter", "merchant", "category"],
        ["txn_count", "total_revenue", "unique_customers", "rank"],
    ),
    "quarterly_growth": (
        ["txn_year", "txn_quarter"],
        ["txn_count", "total_amount", "unique_cards", "prev_amount", "prev_count", "amount_growth_rate",
         "count_growth_rate"],
    ),
    "quarterly_card_type": (
        ["txn_year", "txn_quarter", "card_type"],
        ["txn_count", "total_amount", "avg_amount"],
    ),
    "quarterly_region": (
        ["txn_year", "txn_quarter", "region"],
        ["txn_count", "total_amount"],
    ),
    "quarterly_installment": (
        ["txn_year", "txn_quarter", "installment_months"],
        ["txn_count", "total_amount"],
    ),
}

# Those without the table of rows and without the widest of the aggregates.
ELEVEN = [table for table in TABLES if table not in ("regional_hourly", "partitioned_transactions")]

# What the partitioned ones are partitioned by.
PARTITIONS = {
    "daily_category_summary": ["txn_date"],
    "regional_analysis": ["region"],
    "regional_hourly": ["txn_date"],
    "partitioned_transactions": ["txn_year", "txn_month"],
    "quarterly_category_summary": ["txn_year", "txn_quarter"],
    "quarterly_merchant_top10": ["txn_year", "txn_quarter"],
}
