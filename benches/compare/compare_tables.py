#!/usr/bin/env python3
"""Compares the card job's tables with DuckDB's answer to the same input, value for value.

    compare_tables.py INPUT TABLES              run DuckDB over INPUT, compare its tables with those in TABLES
    compare_tables.py --expected DIR TABLES     compare two directories of tables

INPUT is a CSV file, a directory of CSV files or a glob; TABLES is the output directory of a run. A table is equal when
it has the same column names and the same rows as often, in any order; integer widths, decimal widths and the files
that a table is split into do not matter. Exit code 1 when a table differs, 0 when all are equal.
"""

import argparse
import pathlib
import sys
import tempfile

from card_tables import TABLES
from environment import ensure

ROWS_SHOWN = 5


def compare(connection, actual, expected):
    """Compares all tables below two directories; prints a line for each; returns the names of those that differ."""
    differing = []
    for table, (key, values) in TABLES.items():
        problem = difference(connection, table, key, key + values, actual / table, expected / table)
        if problem:
            differing.append(table)
            print(f"DIFFERS {table}: {problem}")
        else:
            print(f"OK      {table}: {count(connection, 'actual'):,} rows")
    return differing


def difference(connection, table, key, columns, actual, expected):
    """What tells the table in directory `actual` from the one in `expected`, or None."""
    for name, directory in (("actual", actual), ("expected", expected)):
        if not any(directory.glob("**/*.parquet")):
            return f"no Parquet file below {directory}"
        files = str(directory / "**" / "*.parquet").replace("'", "''")
        connection.execute(
            f"CREATE OR REPLACE VIEW {name} AS FROM read_parquet('{files}', hive_partitioning = true)"
        )
        found = [row[0] for row in connection.execute(f"DESCRIBE {name}").fetchall()]
        if sorted(found) != sorted(columns):
            return f"{directory} has the columns {found}, not {columns}"
    listed = ", ".join(f'"{column}"' for column in columns)
    lines = []
    for sign, left, right in (("+", "actual", "expected"), ("-", "expected", "actual")):
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE unmatched AS "
            f"(SELECT {listed} FROM {left}) EXCEPT ALL (SELECT {listed} FROM {right})"
        )
        if rows := count(connection, "unmatched"):
            lines.append(f"  {rows:,} rows only in the {left} table")
            order = ", ".join(f'"{column}"' for column in key)
            shown = connection.execute(f"FROM unmatched ORDER BY {order} LIMIT {ROWS_SHOWN}").fetchall()
            lines += [f"  {sign} " + ", ".join(f"{c}={v}" for c, v in zip(columns, row)) for row in shown]
    if not lines:
        return None
    counts = f"{count(connection, 'actual'):,} rows, expected {count(connection, 'expected'):,}"
    return "\n".join([counts, *lines])


def count(connection, relation):
    """Rows of a table or view."""
    return connection.execute(f"SELECT count(*) FROM {relation}").fetchone()[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", nargs="?", help="CSV file, directory or glob")
    parser.add_argument("tables", type=pathlib.Path, help="output directory of a run")
    parser.add_argument("--expected", type=pathlib.Path, help="directory of the tables to compare with")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if (args.input is None) == (args.expected is None):
        parser.error("give INPUT, or --expected DIR, and not both")
    ensure("duckdb")
    import duckdb

    import card_duckdb

    with tempfile.TemporaryDirectory(prefix="tidewater-compare-") as scratch:
        expected = args.expected or pathlib.Path(scratch) / "expected"
        if args.expected is None:
            card_duckdb.run(args.input, expected, args.threads)
        config = {"threads": args.threads, "temp_directory": str(pathlib.Path(scratch) / "spill")}
        with duckdb.connect(config=config) as connection:
            differing = compare(connection, args.tables, expected)
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
