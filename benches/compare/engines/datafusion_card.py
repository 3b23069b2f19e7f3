"""The card job in DataFusion.

    datafusion_card.py INPUT OUTPUT [--tables eleven|thirteen] [--format csv|parquet] [--threads N]

As DataFusion's own users would: target_partitions = threads, an explicit schema, the approved rows in a table in memory
that holds the columns the tables need, then a COPY a table.
"""

import pyarrow as pa
from datafusion import SessionConfig, SessionContext

import card
from sql_tables import NARROW, QUERIES

TEXT = pa.string_view()
SCHEMA = pa.schema([
    ("transaction_id", TEXT), ("transaction_date", pa.timestamp("us")), ("card_no", TEXT), ("card_type", TEXT),
    ("merchant", TEXT), ("sub_category", TEXT), ("category", TEXT), ("amount", pa.int64()),
    ("installment_months", pa.int32()), ("approval_status", TEXT), ("region", TEXT),
])
APPROVED = """
SELECT {columns}, CAST(transaction_date AS DATE) AS txn_date, date_part('hour', transaction_date) AS txn_hour,
  date_part('year', transaction_date) AS txn_year, date_part('quarter', transaction_date) AS txn_quarter,
  date_part('month', transaction_date) AS txn_month
FROM transactions WHERE approval_status = 'approved'
"""
WIDE = "*, date_trunc('hour', transaction_date) AS window_start, date_part('dow', transaction_date) + 1 AS txn_day_of_week"


def main():
    args = card.arguments(__doc__)
    names = card.tables(args.tables)
    card.fresh(args.output, names)
    context = SessionContext(SessionConfig().with_target_partitions(args.threads))
    if args.format == "csv":
        context.register_csv("transactions", str(args.input), schema=SCHEMA)
    else:
        context.register_parquet("transactions", str(args.input))
    columns = WIDE if "partitioned_transactions" in names else NARROW
    context.register_table("approved", context.sql(APPROVED.format(columns=columns)).cache())
    for name in names:
        context.sql(copy(name, args.output)).collect()


def copy(name, output):
    """The statement that writes a table."""
    keys = card.partitions(name)
    target = f"{output / name}/" if keys else str(output / name / "data.parquet")
    by = f" PARTITIONED BY ({', '.join(keys)})" if keys else ""
    quoted = target.replace("'", "''")
    return f"COPY ({QUERIES[name]}) TO '{quoted}' STORED AS PARQUET{by} OPTIONS ('format.compression' 'snappy')"


if __name__ == "__main__":
    main()
