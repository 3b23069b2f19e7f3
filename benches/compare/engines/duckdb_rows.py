"""Compares the table of rows with the approved rows of the input: duckdb_rows.py INPUT TABLE

By their number and the sum of 64-bit hashes, in one pass over each, so that any size fits in memory. Exit code 1 when
they differ.
"""

import sys

import duckdb

import card
from compare_tables import fingerprint
from duckdb_card import quoted, source
from harness.card_tables import TABLES


def main():
    origin, table = sys.argv[1:]
    key, values = TABLES["partitioned_transactions"]
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(
            f"CREATE VIEW actual AS FROM read_parquet('{quoted(table)}/**/*.parquet', hive_partitioning = true)")
        connection.execute(f"""
            CREATE VIEW expected AS
            SELECT *, transaction_date::DATE AS txn_date, hour(transaction_date) AS txn_hour,
              dayofweek(transaction_date) + 1 AS txn_day_of_week, year(transaction_date) AS txn_year,
              month(transaction_date) AS txn_month
            FROM {source(card.files(origin, 'csv'), 'csv')} WHERE approval_status = 'approved'""")
        found, wanted = (fingerprint(connection, name, key + values) for name in ("actual", "expected"))
    if found != wanted:
        sys.exit(f"partitioned_transactions has {found[0]:,} rows with hash sum {found[1]}, "
                 f"DuckDB finds {wanted[0]:,} with {wanted[1]}")


if __name__ == "__main__":
    main()
