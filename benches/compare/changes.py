#!/usr/bin/env python3
"""Measures what a change costs: the card job with a durable state, after a small and a large history.

    changes.py [--records 10000000,100000000] [--runs N] [--threads N] [--tidewater BINARY] [--work DIR] [--keep]

For each size it generates a year of daily files, then in alternating rounds:

- cold: the job without a state, and with a new one;
- late: a late file of 1,000 rows of one day is taken in by a process of its own;
- corrected: one daily file is delivered again, each of its rows changed; and the old one once more;
- nothing: a run that finds nothing to do.

After the rounds the tables are compared with those of a cold run over the present files: all files byte by byte but
those of the table of rows, whose rows are compared. Ratios are of medians. Raw measurements go to
benches/runs/<date>-<cpu>-changes.json. Exit code 1 when tables differ.
"""

import argparse
import filecmp
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from race import ROOT, machine, run_path

LATE_ROWS = 1000


def tidewater(args, data, output, *more):
    """One run of the card job as a process of its own: what it took."""
    settings = ["--set", f"input={data}", "--set", f"output={output}"]
    command = [args.tidewater, "run", ROOT / "jobs" / "card.sql", *settings, "--workers", args.threads, "--json", *more]
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        started = time.perf_counter()
        process = subprocess.Popen([str(part) for part in command], stdout=stdout, stderr=stderr)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            stderr.seek(0)
            sys.exit(stderr.read().decode(errors="replace"))
        stdout.seek(0)
        summary = json.loads(stdout.read())
    return {
        "wall_seconds": round(seconds, 4),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_memory_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "rows_read": summary["rows_read"],
        "stages": summary["seconds"],
    }


def daily_files(data):
    return sorted(path for path in data.iterdir() if "late" not in path.name)


def late_file(data, number):
    """A file of rows like those of one day, with ids of their own."""
    random.seed(number)
    day = daily_files(data)[60]
    header, *rows = day.read_text(encoding="utf-8").splitlines()
    late = data / f"{day.stem}-late-{number}.csv"
    lines = (f"LATE{number:03}{at:06}," + random.choice(rows).split(",", 1)[1] for at in range(LATE_ROWS))
    late.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")


def correct(data):
    """Every row of one day changes: what was approved is declined, and the other way round."""
    day = daily_files(data)[100]
    text = day.read_text(encoding="utf-8")
    changed = text.replace(",approved,", ",?,").replace(",declined,", ",approved,").replace(",?,", ",declined,")
    day.write_text(changed, encoding="utf-8")


def same_tables(one, other):
    """Whether two directories of tables hold the same, file by file."""
    differing = []
    for path in sorted(one.rglob("*.*")):
        if path.is_file() and "partitioned_transactions" not in path.parts:
            twin = other / path.relative_to(one)
            if not twin.is_file() or not filecmp.cmp(path, twin, shallow=False):
                differing.append(str(path.relative_to(one)))
    return differing


def measure(args, records, work):
    data, tables, state = work / "data", work / "tables", work / "state"
    if not data.exists():
        subprocess.run([args.tidewater, "generate", "--records", str(records), "--out", data], check=True)
    runs = {name: [] for name in ("cold", "cold_with_state", "late", "corrected", "nothing")}
    tidewater(args, data, work / "warm")
    for number in range(args.runs):
        # The first rounds alone: a cold run over a large history takes long.
        if number < args.cold_runs:
            for directory in (work / "cold", tables, state):
                shutil.rmtree(directory, ignore_errors=True)
            os.sync()
            runs["cold"].append(tidewater(args, data, work / "cold"))
            os.sync()
            runs["cold_with_state"].append(tidewater(args, data, tables, "--state", state))
            os.sync()
        late_file(data, number)
        runs["late"].append(tidewater(args, data, tables, "--state", state))
        correct(data)
        runs["corrected"].append(tidewater(args, data, tables, "--state", state))
        correct(data)
        runs["corrected"].append(tidewater(args, data, tables, "--state", state))
        runs["nothing"].append(tidewater(args, data, tables, "--state", state))
    shutil.rmtree(work / "cold", ignore_errors=True)
    tidewater(args, data, work / "cold")
    differing = same_tables(work / "cold", tables)
    stored = {}
    for path in state.iterdir():
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        stored[path.name] = sum(file.stat().st_blocks * 512 for file in files)
    return {"records": records, "runs": runs, "state_bytes": stored, "differing": differing}


def median(runs, key="wall_seconds"):
    return statistics.median(run[key] for run in runs)


def report(results):
    print("| rows | run | wall, median | cold / this | peak memory, largest |")
    print("|---|---|---|---|---|")
    for result in results:
        cold = median(result["runs"]["cold"])
        for name, runs in result["runs"].items():
            memory = max(run["peak_memory_bytes"] for run in runs) / 1e6
            seconds = median(runs)
            print(f"| {result['records']:,} | {name} | {seconds:.3f} s | {cold / seconds:.2f} | {memory:,.0f} MB |")
        stored = ", ".join(f"{name} {size / 1e6:,.0f} MB" for name, size in sorted(result["state_bytes"].items()))
        print(f"\nState after {result['records']:,} rows: {stored}\n")
    if len(results) > 1:
        for name in ("late", "corrected"):
            ratio = median(results[-1]["runs"][name]) / median(results[0]["runs"][name])
            print(f"{name}: {ratio:.2f} times as long after {results[-1]['records']:,} rows as after {results[0]['records']:,}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", default="10000000", help="sizes of history, with commas between them")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cold-runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tidewater", type=pathlib.Path, default=ROOT / "target" / "release" / "tidewater")
    parser.add_argument("--work", type=pathlib.Path, help="where data, tables and states are; removed at the end")
    parser.add_argument("--keep", action="store_true", help="leave the work directory")
    args = parser.parse_args()
    work = args.work or pathlib.Path(tempfile.mkdtemp(prefix="tidewater-changes-"))
    results = []
    for records in map(int, args.records.split(",")):
        results.append(measure(args, records, work / str(records)))
    path = run_path("changes")
    path.write_text(json.dumps({"machine": machine(), "results": results}, indent=1) + "\n")
    report(results)
    if not args.keep:
        shutil.rmtree(work, ignore_errors=True)
    differing = [name for result in results for name in result["differing"]]
    if differing:
        sys.exit(f"tables differ from a cold run's: {', '.join(differing[:10])}")


if __name__ == "__main__":
    main()
