"""Writes a directory of CSV files as Parquet files of the same names and rows: duckdb_convert.py INPUT OUTPUT"""

import pathlib
import sys

import duckdb

from duckdb_card import quoted, source


def main():
    origin, target = map(pathlib.Path, sys.argv[1:])
    target.mkdir(parents=True)
    with duckdb.connect() as connection:
        for file in sorted(origin.glob("*.csv")):
            parquet = quoted(target / f"{file.stem}.parquet")
            connection.execute(f"COPY (FROM {source(file, 'csv')}) TO '{parquet}' (FORMAT parquet)")


if __name__ == "__main__":
    main()
