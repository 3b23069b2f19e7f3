"""What the card job's engines share: their arguments, the input's files, and where tables go."""

import argparse
import pathlib
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness.card_tables import ELEVEN, PARTITIONS, TABLES  # noqa: E402


def arguments(description, **more):
    """INPUT OUTPUT --tables --format --threads, and flags of the engine's own."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("input", help="a file, or a directory of files")
    parser.add_argument("output", type=pathlib.Path, help="the directory that holds one directory a table")
    parser.add_argument("--tables", choices=("eleven", "thirteen"), default="thirteen")
    parser.add_argument("--format", choices=("csv", "parquet"), default="csv")
    parser.add_argument("--threads", type=int, default=2)
    for name, settings in more.items():
        parser.add_argument("--" + name.replace("_", "-"), **settings)
    return parser.parse_args()


def files(source, form):
    """The input as a glob or a path."""
    path = pathlib.Path(source)
    return str(path / f"*.{form}" if path.is_dir() else path)


def tables(choice):
    """The names of the eleven or thirteen tables."""
    return list(ELEVEN if choice == "eleven" else TABLES)


def fresh(output, names):
    """Empty directories for tables."""
    for table in names:
        shutil.rmtree(output / table, ignore_errors=True)
        (output / table).mkdir(parents=True)


def partitions(table):
    """The columns that a table is partitioned by."""
    return PARTITIONS.get(table, [])
