"""DuckDB's part in the workload `choices`.

    write INPUT OUTPUT --by COLUMNS     the approved rows in partitions, below OUTPUT/rows
    read TABLE --by COLUMNS             one day's rows: how many, and the sum of their amounts
    join INPUT OUTPUT --dimension FILE  revenue by a dimension of merchants, in OUTPUT/segments
    dimension INPUT OUTPUT              the merchants of the input with a segment each, as CSV
    digest TABLE                        the number of a table's rows and the sum of their hashes
"""

import argparse
import pathlib

import duckdb

import card
from duckdb_card import quoted, source

DAY = "2024-03-10"
PARTS = {"txn_date": f"DATE '{DAY}'", "txn_year": "2024", "txn_month": "3"}


def approved(path):
    """The approved rows of CSV files with the date parts that partitions are made by."""
    return (f"SELECT *, transaction_date::DATE AS txn_date, year(transaction_date) AS txn_year, "
            f"month(transaction_date) AS txn_month FROM {source(card.files(path, 'csv'), 'csv')} "
            f"WHERE approval_status = 'approved'")


def write(connection, args):
    target = pathlib.Path(args.paths[1]) / "rows"
    target.mkdir(parents=True)
    if args.by:
        options = f"FORMAT parquet, PARTITION_BY ({args.by})"
    else:
        target, options = target / "data.parquet", "FORMAT parquet"
    connection.execute(f"COPY ({approved(args.paths[0])}) TO '{quoted(target)}' ({options})")


def read(connection, args):
    files = f"read_parquet('{quoted(args.paths[0])}/**/*.parquet', hive_partitioning = true)"
    names = dict.fromkeys([*filter(None, args.by.split(",")), "txn_date"])
    condition = " AND ".join(f"{name} = {PARTS[name]}" for name in names)
    print(connection.execute(f"SELECT count(*), sum(amount), min(transaction_id) FROM {files} WHERE {condition}").fetchone())


def join(connection, args):
    target = pathlib.Path(args.paths[1]) / "segments"
    target.mkdir(parents=True)
    connection.execute(f"""
        COPY (
          SELECT segment, txn_date, count(*) AS txn_count, sum(amount)::BIGINT AS total_amount
          FROM ({approved(args.paths[0])}) AS approved JOIN read_csv('{quoted(args.dimension)}', header = true) USING (merchant)
          GROUP BY segment, txn_date
        ) TO '{quoted(target)}/data.parquet' (FORMAT parquet)""")


def dimension(connection, args):
    connection.execute(f"""
        COPY (
          SELECT merchant, 'segment ' || row_number() OVER (ORDER BY merchant) % 7 AS segment
          FROM (SELECT DISTINCT merchant FROM {source(card.files(args.paths[0], 'csv'), 'csv')})
          ORDER BY merchant
        ) TO '{quoted(args.paths[1])}' (FORMAT csv, HEADER)""")


def digest(connection, args):
    print(connection.execute(f"""
        SELECT count(*), sum(hash(segment, txn_date, txn_count::BIGINT, total_amount::BIGINT))
        FROM read_parquet('{quoted(args.paths[0])}/**/*.parquet')""").fetchone())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("write", "read", "join", "dimension", "digest"))
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--by", default="")
    parser.add_argument("--dimension")
    parser.add_argument("--way")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    with duckdb.connect(config={"threads": args.threads}) as connection:
        connection.execute("SET preserve_insertion_order = false")
        globals()[args.what](connection, args)


if __name__ == "__main__":
    main()
