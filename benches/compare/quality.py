#!/usr/bin/env python3
"""Compares Tidewater's assertions with Great Expectations on this machine: the same checks over the same files.

It generates transactions with a few broken rows, runs jobs/quality.sql and engines/gx_quality.py over them, delivers a
late file of 1,000 rows, and runs both again: Tidewater reads the late file, Great Expectations all files. All counts,
verdicts and observed values are compared, and any difference ends the call with exit code 1. Raw measurements go to
benches/runs/<date>-<cpu>-quality.json, and a table to standard output. benches/README.md says more.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import sys
import tempfile

from harness import environment, quality_compare, quality_data, quality_structure
from harness.data import Data, remove, warm
from harness.engines import SCRIPTS
from harness.machine import ROOT, file_stem, machine, memory_bytes
from harness.process import Limits, measure

JOBS = pathlib.Path(__file__).resolve().parent / "jobs"
PACKAGES = ("great_expectations", "pandas", "sqlalchemy")
# Two days and a half after the newest generated row.
NOW = "2025-01-03 12:00:00"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000, help="rows (default 1000000)")
    parser.add_argument("--runs", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--slow", type=float, default=120,
                        help="Great Expectations is not run again when a run took more seconds (default 120)")
    parser.add_argument("--engine", nargs="+", choices=("pandas", "sqlite"), default=["pandas", "sqlite"])
    parser.add_argument("--tidewater", type=pathlib.Path, default=ROOT / "target" / "release" / "tidewater",
                        metavar="PATH")
    parser.add_argument("--work", type=pathlib.Path, metavar="DIR",
                        help="where data and tables are; generated data stays (default: a temporary directory)")
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "benches" / "runs", metavar="DIR")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds after which a process is ended")
    args = parser.parse_args()
    args.tidewater = args.tidewater.resolve()
    if not args.tidewater.is_file():
        parser.error(f"there is no {args.tidewater}: cargo build --release, or name the binary with --tidewater")
    return args


class Comparison:
    """The runs of one call, and what differs between them."""

    def __init__(self, args, work):
        self.args, self.work = args, work
        environment.install(*PACKAGES)
        self.python = environment.interpreter()
        self.limits = Limits(args.timeout, memory_bytes() * 9 // 10)
        self.data = Data(work / "data", args.tidewater, self.python, say)
        self.generated = self.data.csv(args.records, "daily")
        self.scratch = work / "scratch"
        remove(self.scratch)
        self.scratch.mkdir()
        self.input = self.scratch / "input"
        self.runs, self.checks, self.slow, self.problems, self.deliveries = [], {}, set(), [], {}
        self.path = args.results / f"{file_stem()}-quality.json"

    def all_rounds(self):
        """Each round begins with the files of the first day of operation."""
        pristine = self.scratch / "pristine"
        quality_data.fill(self.generated, pristine)
        for number in range(1, self.args.runs + 1):
            remove(self.input)
            for table in ("transactions", "merchants"):
                self.data.copy(pristine / table, self.input / table)
            warm(self.input / "transactions")
            self.round("cold", number)
            quality_data.deliver_late(self.generated, self.input)
            self.round("late file", number)
            remove(self.scratch / "state", self.scratch / "tables")

    def round(self, case, number):
        """Both over the present files. Great Expectations is not run again when it is slow."""
        ours = self.tidewater(case, number)
        theirs = {engine: self.expectations(case, number, engine) for engine in self.args.engine
                  if (case, engine) not in self.slow}
        theirs = {engine: outcomes for engine, outcomes in theirs.items() if outcomes}
        if not ours:
            return
        for engine, outcomes in theirs.items():
            self.problems += [f"{case}: {line}" for line in quality_compare.differences(engine, ours, outcomes)]
        if case not in self.checks:
            self.checks[case] = {"tidewater": ours, **theirs}
            if set(self.args.engine) == {"pandas", "sqlite"}:
                self.problems += [f"{case}: {line}" for line in quality_compare.unchecked(ours, theirs.values())]
        elif ours != self.checks[case]["tidewater"]:
            self.problems.append(f"{case}: Tidewater's counts are others than in the first round")
        self.save()

    def tidewater(self, case, number):
        output = self.scratch / "tables"
        command = [self.args.tidewater, "run", JOBS / "quality.sql", "--set", f"input={self.input}", "--set",
                   f"output={output}", "--set", f"now={NOW}", "--set", f"rows={self.args.records}", "--state",
                   self.scratch / "state", "--json", "--quiet"]
        stdout = self.take(case, number, "tidewater", command)
        if stdout is None:
            return None
        row = next((output / "observed").glob("*.jsonl")).read_text(encoding="utf-8")
        return quality_compare.tidewater_outcomes(stdout, json.loads(row))

    def expectations(self, case, number, engine):
        command = [self.python, SCRIPTS / "gx_quality.py", self.input, "--engine", engine, "--now", NOW, "--rows",
                   self.args.records, "--database", self.scratch / "quality.sqlite"]
        stdout = self.take(case, number, engine, command)
        if self.runs[-1]["wall_seconds"] > self.args.slow:
            self.slow.add((case, engine))
        return None if stdout is None else json.loads(stdout.splitlines()[-1])

    def take(self, case, number, engine, command):
        """Runs a command and keeps what it took; returns its standard output, or None if it failed."""
        run, stdout = measure(command, self.limits, env={**os.environ, "TMPDIR": str(self.scratch)})
        self.runs.append({"case": case, "engine": engine, "round": number, **run})
        cpu = run["user_seconds"] + run["system_seconds"]
        say(f"{case}, {number}: {engine} {run['wall_seconds']:.2f} s, {cpu:.2f} s of CPU, "
            f"{run['peak_memory_bytes'] / 1e6:.0f} MB")
        if run["exit_code"] != 0:
            self.problems.append(f"{case}: {engine} failed: {run['error']}")
            return None
        return stdout

    def structure(self):
        """Deliveries with wrong columns, which a run refuses before any assertion."""
        def command(delivery, output):
            return [self.args.tidewater, "run", JOBS / "quality-structure.sql", "--set", f"input={delivery}", "--set",
                    f"output={output}", "--quiet"]

        self.deliveries, lines = quality_structure.compare(
            self.scratch / "structure", [self.python, SCRIPTS / "gx_quality.py"], command)
        self.problems += lines

    def save(self):
        """Writes what there is so far."""
        settings = {"records": self.args.records, "late_rows": quality_data.LATE_ROWS, "runs": self.args.runs,
                    "slow": self.args.slow}
        content = {"machine": machine(), "settings": settings, "versions": environment.versions(PACKAGES),
                   "runs": self.runs, "checks": self.checks, "deliveries": self.deliveries, "problems": self.problems}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def medians(self):
        """A row for each case and engine: median times, and the largest memory."""
        groups = {}
        for run in self.runs:
            if run["exit_code"] == 0:
                groups.setdefault((run["case"], run["engine"]), []).append(run)
        return {group: {"runs": len(runs),
                        "wall_seconds": statistics.median(run["wall_seconds"] for run in runs),
                        "cpu_seconds": statistics.median(run["user_seconds"] + run["system_seconds"] for run in runs),
                        "peak_memory_bytes": max(run["peak_memory_bytes"] for run in runs)}
                for group, runs in groups.items()}


def table(medians):
    """The medians as Markdown, with ratios to Tidewater's."""
    lines = ["| | | runs | time | CPU | memory | time / Tidewater's | CPU / Tidewater's |",
             "|---|---|---|---|---|---|---|---|"]
    for (case, engine), row in medians.items():
        ours = medians[(case, "tidewater")]
        ratios = [f"{row[key] / ours[key]:.3g}" for key in ("wall_seconds", "cpu_seconds")]
        cells = [case, engine, row["runs"], f"{row['wall_seconds']:.2f} s", f"{row['cpu_seconds']:.2f} s",
                 f"{row['peak_memory_bytes'] / 1e6:.0f} MB", *ratios]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def say(message):
    print(message, file=sys.stderr, flush=True)


def main():
    args = arguments()
    work = (args.work or pathlib.Path(tempfile.mkdtemp(prefix="tidewater-quality-"))).resolve()
    work.mkdir(parents=True, exist_ok=True)
    try:
        comparison = Comparison(args, work)
        comparison.structure()
        comparison.all_rounds()
    finally:
        shutil.rmtree(work / "scratch" if args.work else work, ignore_errors=True)
    print(table(comparison.medians()))
    print(f"raw measurements: {comparison.path}")
    if comparison.problems:
        sys.exit("\n".join(["", "PROBLEMS", *comparison.problems]))


if __name__ == "__main__":
    main()
