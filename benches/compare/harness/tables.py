"""Whether tables are equal: value for value between engines, byte for byte between two runs of Tidewater."""

import filecmp
import pathlib
import subprocess

COMPARE = pathlib.Path(__file__).resolve().parent.parent / "compare_tables.py"
ROWS = COMPARE.with_name("engines") / "duckdb_rows.py"


def different(python, actual, expected, only, threads):
    """None when the tables `only` below two directories are equal, else what compare_tables.py says."""
    command = [python, COMPARE, "--only", only, "--threads", threads, "--expected", expected, actual]
    return complaint(command)


def rows_different(python, source, tables):
    """None when partitioned_transactions below `tables` has the approved rows of `source`, else what differs."""
    return complaint([python, ROWS, source, tables / "partitioned_transactions"])


def complaint(command):
    """What a comparison printed when it did not succeed."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode == 0:
        return None
    lines = [line for line in done.stdout.splitlines() if not line.startswith("OK ")]
    return "\n".join([*lines, *done.stderr.strip().splitlines()[-5:]])[-3000:] or f"exit code {done.returncode}"


def bytes_different(one, other):
    """The files below two directories that differ or are on one side alone, those of partitioned_transactions apart:
    how its rows are split into files depends on the order in which they came. The quarantine of a run without a state is
    beside its tables, and that of a state within it."""
    def is_compared(path):
        return (path.is_file() and not path.name.startswith(".") and "partitioned_transactions" not in path.parts
                and not any(part.startswith("_quarantine-") for part in path.parts))

    names = {path.relative_to(root) for root in (one, other) for path in root.rglob("*") if is_compared(path)}
    return sorted(str(name) for name in names if not same(one / name, other / name))


def same(one, other):
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)
