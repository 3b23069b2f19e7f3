#!/usr/bin/env python3
"""Races Tidewater and DuckDB over the card job: whole processes, the same input, in alternation, on this machine.

    race.py INPUT [--runs N] [--threads N] [--only tidewater|duckdb] [--tidewater BINARY]

First an untimed round of both, whose tables must be equal value for value (it also brings INPUT into the page cache).
Then N timed rounds, the engines taking turns at being first. Wall time runs from starting a process to its end; memory
is the largest resident set that the system accounts to it. Each run writes to an empty directory, and what it wrote
is removed and flushed before the next one starts.

The raw measurements are added to benches/runs/<date>-<cpu>.json; a Markdown table of medians is printed. An engine
that fails is reported as such, and the race goes on. Exit code 1 when tables differ or no run succeeded.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from environment import ensure

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ENGINES = ("tidewater", "duckdb")


def command(engine, args, output):
    """The command line that runs `engine` from CSV to thirteen Parquet tables."""
    if engine == "tidewater":
        settings = ["--set", f"input={args.input}", "--set", f"output={output}"]
        return [args.tidewater, "run", ROOT / "jobs" / "card.sql", *settings, "--workers", args.threads, "--json"]
    return [sys.executable, HERE / "card_duckdb.py", args.input, output, "--threads", args.threads]


def measure(engine, args, output):
    """Runs one engine once into `output` and says what it took."""
    shutil.rmtree(output, ignore_errors=True)
    os.sync()
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        started = time.perf_counter()
        process = subprocess.Popen([str(part) for part in command(engine, args, output)], stdout=stdout, stderr=stderr)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        run = {
            "engine": engine,
            "exit_code": process.returncode,
            "wall_seconds": round(seconds, 3),
            "user_seconds": round(usage.ru_utime, 3),
            "system_seconds": round(usage.ru_stime, 3),
            # Linux counts in KiB, macOS in bytes.
            "peak_memory_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        }
        if process.returncode != 0:
            run["error"] = text(stderr)[-2000:]
        elif engine == "tidewater":
            run["summary"] = json.loads(text(stdout))
    return run


def text(file):
    """All that was written to a temporary file."""
    file.seek(0)
    return file.read().decode(errors="replace")


def check(outputs):
    """Compares the tables of the untimed round; returns whether they are equal."""
    print("comparing the tables", file=sys.stderr)
    actual, expected = outputs
    return subprocess.run([sys.executable, HERE / "compare_tables.py", "--expected", expected, actual]).returncode == 0


def race(args, scratch):
    """All rounds. Returns the timed runs, and whether the tables were equal (None when only one engine ran)."""
    engines = (args.only,) if args.only else ENGINES
    outputs = [scratch / engine for engine in engines]
    first = [report("untimed", measure(engine, args, output)) for engine, output in zip(engines, outputs)]
    equal = None
    if len(engines) == 2 and all(run["exit_code"] == 0 for run in first):
        equal = check(outputs)
    for output in outputs:
        shutil.rmtree(output, ignore_errors=True)
    if equal is False:
        return [], False
    runs = []
    for round_number in range(args.runs):
        order = engines if round_number % 2 == 0 else engines[::-1]
        for engine in order:
            output = scratch / engine
            runs.append(report(f"round {round_number + 1}", measure(engine, args, output)))
            shutil.rmtree(output, ignore_errors=True)
    return runs, equal


def report(label, run):
    """Prints one run as it ends."""
    result = f"{run['wall_seconds']:.2f} s, {run['peak_memory_bytes'] / 1e9:.2f} GB"
    if run["exit_code"] != 0:
        result = f"failed with exit code {run['exit_code']} after {result}\n{run['error']}"
    print(f"{label}: {run['engine']} {result}", file=sys.stderr)
    return run


def medians(runs):
    """Per engine: runs that succeeded, runs, and the medians of wall time and memory of those that succeeded."""
    table = {}
    for engine in dict.fromkeys(run["engine"] for run in runs):
        all_runs = [run for run in runs if run["engine"] == engine]
        done = [run for run in all_runs if run["exit_code"] == 0]
        median = {key: statistics.median(run[key] for run in done) if done else None
                  for key in ("wall_seconds", "peak_memory_bytes")}
        table[engine] = (len(done), len(all_runs), median["wall_seconds"], median["peak_memory_bytes"])
    return table


def markdown(runs, threads):
    """The medians as a Markdown table, with ratios to Tidewater where it ran."""
    table = medians(runs)
    ours = table.get("tidewater", (0, 0, None, None))
    heads = [f"engine, {threads} threads", "runs", "wall, median", "peak memory, median", "wall / Tidewater",
             "memory / Tidewater"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for engine, (done, total, wall, memory) in table.items():
        cells = [engine, f"{done} of {total}"]
        cells += [f"{wall:.2f} s", f"{memory / 1e9:.2f} GB"] if done else ["failed", "–"]
        cells += [f"{wall / ours[2]:.2f}", f"{memory / ours[3]:.2f}"] if done and ours[0] else ["–", "–"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machine():
    """When, on what and with which commit something was measured."""
    return {
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "commit": output_of(["git", "-C", ROOT, "describe", "--always", "--dirty"]),
    }


def run_path(*suffix):
    """The day's file for raw measurements on this machine."""
    slug = re.sub(r"[^a-z0-9]+", "-", cpu_name().lower()).strip("-")
    day = datetime.datetime.now(datetime.timezone.utc).date()
    path = ROOT / "benches" / "runs" / ("-".join([str(day), slug, *suffix]) + ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def record(args, runs, equal):
    """Adds this race to the day's file below benches/runs and returns the file's path."""
    import duckdb

    files = input_files(args.input)
    entry = {
        **machine(),
        "duckdb": duckdb.__version__,
        "input": {"files": len(files), "bytes": sum(file.stat().st_size for file in files)},
        "threads": args.threads,
        "tables_equal": equal,
        "runs": runs,
    }
    path = run_path()
    races = json.loads(path.read_text()) if path.exists() else []
    path.write_text(json.dumps([*races, entry], indent=1) + "\n")
    return path


def input_files(source):
    """The files that a path or glob names."""
    path = pathlib.Path(source)
    if path.is_dir():
        return sorted(path.glob("*.csv"))
    return [path] if path.exists() else sorted(pathlib.Path().glob(source))


def cpu_name():
    """The processor's model name."""
    try:
        info = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    return found[1] if found else platform.machine()


def output_of(arguments):
    """What a command prints, or None when it cannot be had."""
    done = subprocess.run(arguments, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", help="CSV file, directory or glob")
    parser.add_argument("--runs", type=int, default=5, help="timed rounds (default 5)")
    parser.add_argument("--threads", type=int, default=2, help="threads or workers of each engine (default 2)")
    parser.add_argument("--only", choices=ENGINES, help="run one engine alone")
    parser.add_argument("--tidewater", default=str(ROOT / "target" / "release" / "tidewater"), help="the binary to run")
    parser.add_argument("--work", help="directory for the tables while they exist (default the system's temporary one)")
    args = parser.parse_args()
    ensure("duckdb")
    if not input_files(args.input):
        parser.error(f"no file at {args.input}")
    if args.only != "duckdb" and not shutil.which(args.tidewater):
        parser.error(f"{args.tidewater} is missing: cargo build --release, or name the binary with --tidewater")

    if args.work:
        os.makedirs(args.work, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tidewater-race-", dir=args.work) as scratch:
        runs, equal = race(args, pathlib.Path(scratch))
    if equal is False:
        sys.exit("the tables differ: nothing was timed")
    path = record(args, runs, equal)
    print(markdown(runs, args.threads))
    print(f"\nraw measurements: {path.relative_to(ROOT)}")
    sys.exit(0 if any(run["exit_code"] == 0 for run in runs) else 1)


if __name__ == "__main__":
    main()
