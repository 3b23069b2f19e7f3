"""The eleven tables in a Pathway process that stays, and what changes cost there.

    pathway_card.py INPUT OUTPUT [--threads N]

INPUT is a directory of daily files, which are watched. When they are loaded, rows are handed in one by one through a
Python connector, then a late file of 1,000 rows and a corrected day are put into INPUT. Each time is from then to the
last change of any table. The tables are written to OUTPUT in the end, the times to OUTPUT/figures.json, and the rows
that were fed to a file in INPUT, so that it holds all rows that were read.
"""

import csv
import datetime
import decimal
import json
import os
import statistics
import threading
import time

import card

args = card.arguments(__doc__)
os.environ.setdefault("PATHWAY_THREADS", str(args.threads))

import pathlib  # noqa: E402

import pathway as pw  # noqa: E402  (reads PATHWAY_THREADS)
import pyarrow as pa  # noqa: E402
import pyarrow.parquet  # noqa: E402

from harness.data import correct, days, late_file  # noqa: E402
from pathway_tables import Transaction, approved, tables  # noqa: E402

LIVE_ROWS = 20
QUIET = 1.0
DECIMALS = {"revenue_10k_won": 1, "amount_growth_rate": 2, "count_growth_rate": 2}


class Live(pw.io.python.ConnectorSubject):
    """Rows that are handed in while the process runs."""

    def __init__(self):
        super().__init__()
        self.over = threading.Event()

    def run(self):
        self.over.wait()

    def hand_in(self, row):
        self.next(**row)
        self.commit()


class Watch:
    """The present rows of every table, and when one changed last."""

    def __init__(self):
        self.rows, self.last, self.failed = {}, time.perf_counter(), None

    def subscribe(self, name, table):
        present = self.rows.setdefault(name, {})

        def change(key, row, time, is_addition):
            if is_addition:
                present[key] = row
            elif present.get(key) == row:
                del present[key]
            self.touch()

        pw.io.subscribe(table, on_change=change)

    def touch(self):
        self.last = time.perf_counter()

    def settled(self, count):
        """Waits until `count` approved rows are in and nothing changes any more; returns when the last change was."""
        while True:
            time.sleep(0.02)
            if self.failed:
                raise SystemExit(f"Pathway ended: {self.failed!r}")
            found = sum(row["txn_count"] for row in list(self.rows["hourly_pattern"].values()))
            if found == count and time.perf_counter() - self.last > QUIET:
                return self.last


def count_approved(path):
    return path.read_text(encoding="utf-8").count(",approved,")


def run(watch):
    """The dataflow, until the process ends."""
    try:
        pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    except BaseException as error:  # reported by the thread that waits
        watch.failed = error
        raise


def main():
    source, live, watch = pathlib.Path(args.input), Live(), Watch()
    total = sum(map(count_approved, days(source)))
    rows = pw.io.csv.read(str(source), schema=Transaction, mode="streaming", autocommit_duration_ms=20)
    handed = pw.io.python.read(live, schema=Transaction, autocommit_duration_ms=20)
    for name, table in tables(approved(rows.concat_reindex(handed))).items():
        watch.subscribe(name, table)
    began = time.perf_counter()
    threading.Thread(target=run, args=(watch,), daemon=True).start()
    figures = {"load": {"seconds": watch.settled(total) - began}}
    total, figures["one late row"], fed = late_rows(source, live, watch, total)
    late_file_at = time.perf_counter()
    late_file(source, 0)
    total += sum(map(count_approved, source.glob("*late*")))
    figures["late file"] = {"p50_ms": (watch.settled(total) - late_file_at) * 1e3}
    before, at = sum(map(count_approved, days(source))), time.perf_counter()
    correct(source)
    total += sum(map(count_approved, days(source))) - before
    figures["corrected day"] = {"p50_ms": (watch.settled(total) - at) * 1e3}
    write(watch, source, fed, figures)
    os._exit(0)  # the dataflow would go on for ever


def late_rows(source, live, watch, total):
    """Hands in rows one by one. Returns the rows that are then approved, the times, and what was handed in."""
    with open(days(source)[0], encoding="utf-8", newline="") as file:
        samples = [row for row in csv.DictReader(file) if row["approval_status"] == "approved"]
    milliseconds, fed = [], []
    for at in range(LIVE_ROWS):
        fed.append({**samples[at % len(samples)], "transaction_id": f"LIVE{at:06}"})
        row = {**fed[-1], "amount": int(fed[-1]["amount"]), "installment_months": int(fed[-1]["installment_months"])}
        began = time.perf_counter()
        live.hand_in(row)
        total += 1
        milliseconds.append((watch.settled(total) - began) * 1e3)
    milliseconds.sort()
    return total, {"p50_ms": statistics.median(milliseconds), "p99_ms": milliseconds[-1], "max_ms": milliseconds[-1],
                   "rows": LIVE_ROWS}, fed


def write(watch, source, fed, figures):
    """Leaves tables, times and what was handed in."""
    args.output.mkdir(parents=True, exist_ok=True)
    for name, present in watch.rows.items():
        rows = [{key: value_of(key, value) for key, value in row.items()} for row in present.values()]
        (args.output / name).mkdir(exist_ok=True)
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), args.output / name / "data.parquet")
    with open(source / "handed-in-late.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fed[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(fed)
    (args.output / "figures.json").write_text(json.dumps(figures), encoding="utf-8")


def value_of(name, value):
    """A value as the table has it."""
    if name == "txn_date":
        return datetime.date.fromisoformat(value)
    if name in DECIMALS and value is not None:
        return decimal.Decimal(value).scaleb(-DECIMALS[name])
    return value


if __name__ == "__main__":
    main()
