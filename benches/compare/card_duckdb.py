"""Runs card_duckdb.sql in this process: the peer that race.py times and compare_tables.py compares with.

    card_duckdb.py INPUT OUTPUT [--threads N]

INPUT is a CSV file, a directory of CSV files or a glob; OUTPUT a directory, created and its tables overwritten.
"""

import argparse
import pathlib
import shutil

from card_tables import TABLES


def run(source, output, threads):
    """Runs the thirteen queries over `source` and writes their tables below `output`."""
    import duckdb

    source, output = pathlib.Path(source), pathlib.Path(output)
    files = source / "*.csv" if source.is_dir() else source
    for table in TABLES:
        shutil.rmtree(output / table, ignore_errors=True)
        (output / table).mkdir(parents=True)
    sql = pathlib.Path(__file__).with_name("card_duckdb.sql").read_text(encoding="utf-8")
    sql = sql.replace("${input}", quoted(files)).replace("${output}", quoted(output))
    with duckdb.connect(config={"threads": threads}) as connection:
        connection.execute(sql)


def quoted(path):
    """`path` as it stands between single quotes in SQL."""
    return str(path).replace("'", "''")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    run(args.input, args.output, args.threads)


if __name__ == "__main__":
    main()
