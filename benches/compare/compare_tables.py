#!/usr/bin/env python3
"""Compares the card job's tables with DuckDB's answer to the same input, value for value.

    compare_tables.py INPUT TABLES              run DuckDB over INPUT, compare its tables with those in TABLES
    compare_tables.py --expected DIR TABLES     compare two directories of tables

INPUT is a CSV file, a directory of CSV files or a glob; TABLES is the output directory of a run. A table is equal when
it has the same column names and the same rows as often, in any order; integer widths, decimal widths and the files
that a table is split into do not matter. Tables of more than two million rows are compared by their number of rows and
the sum of 64-bit hashes of their rows, and row by row when those differ. Exit code 1 when a table differs, 0 when all
are equal.
"""

import argparse
import pathlib
import sys
import tempfile

from harness.card_tables import ELEVEN, TABLES
from harness.environment import ensure

ROWS_SHOWN = 5
LARGE = 2_000_000


def compare(connection, names, actual, expected):
    """Compares the tables `names` below two directories; prints a line for each; returns those that differ."""
    differing = []
    for table in names:
        key, values = TABLES[table]
        problem = difference(connection, key, key + values, actual / table, expected / table)
        if problem:
            differing.append(table)
            print(f"DIFFERS {table}: {problem}")
        else:
            print(f"OK      {table}: {count(connection, 'actual'):,} rows")
    return differing


def difference(connection, key, columns, actual, expected):
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
    if count(connection, "expected") > LARGE:
        if fingerprint(connection, "actual", columns) == fingerprint(connection, "expected", columns):
            return None
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


def fingerprint(connection, relation, columns):
    """The number of rows of a relation, and the sum of their hashes over all columns, integers at one width."""
    types = {row[0]: row[1] for row in connection.execute(f"DESCRIBE {relation}").fetchall()}
    wide = ", ".join(f'"{c}"::BIGINT' if "INT" in types[c] else f'"{c}"' for c in columns)
    return connection.execute(f"SELECT count(*), sum(hash({wide})::HUGEINT) FROM {relation}").fetchone()


def count(connection, relation):
    """Rows of a table or view."""
    return connection.execute(f"SELECT count(*) FROM {relation}").fetchone()[0]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", nargs="?", help="CSV file, directory or glob")
    parser.add_argument("tables", type=pathlib.Path, help="output directory of a run")
    parser.add_argument("--expected", type=pathlib.Path, help="directory of the tables to compare with")
    parser.add_argument("--only", metavar="TABLE,…", help="compare these tables, or the eleven")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if (args.input is None) == (args.expected is None):
        parser.error("give INPUT, or --expected DIR, and not both")
    args.only = ELEVEN if args.only == "eleven" else args.only.split(",") if args.only else list(TABLES)
    if unknown := set(args.only) - set(TABLES):
        parser.error(f"no such table: {', '.join(sorted(unknown))}")
    return args


def main():
    args = arguments()
    ensure("duckdb")
    import duckdb

    with tempfile.TemporaryDirectory(prefix="tidewater-compare-") as scratch:
        expected = args.expected or pathlib.Path(scratch) / "expected"
        if args.expected is None:
            sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "engines"))
            import duckdb_card

            duckdb_card.run(args.input, expected, args.threads)
        config = {"threads": args.threads, "temp_directory": str(pathlib.Path(scratch) / "spill")}
        with duckdb.connect(config=config) as connection:
            differing = compare(connection, args.only, args.tables, expected)
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
