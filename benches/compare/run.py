#!/usr/bin/env python3
"""Compares Tidewater with its peers on this machine: whole processes, the same files, in alternation.

It makes its own Python environment outside the source tree, generates the data, checks that every engine's tables are
equal to Tidewater's before it times anything, and writes raw measurements, a Markdown table and a chart for each
workload to benches/runs. An engine that fails, runs out of memory or takes too long is reported as such, and the rest
goes on. Exit code 1 when tables differ or Tidewater fails. benches/README.md says more.
"""

import argparse
import pathlib
import shutil
import signal
import sys
import tempfile
import traceback

from harness import report
from harness.engines import ENGINES
from harness.machine import ROOT
from harness.results import Results
from harness.session import Session
from harness.workloads import WORKLOADS


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    release = ROOT / "target" / "release"
    parser.add_argument("--workload", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="NAME")
    parser.add_argument("--peer", nargs="+", choices=ENGINES, default=list(ENGINES), metavar="NAME",
                        help="time these engines; tidewater counts as one, and runs untimed as the reference without")
    parser.add_argument("--list", action="store_true", help="show workloads and engines, and end")
    parser.add_argument("--runs", type=int, default=5, help="timed rounds (default 5)")
    parser.add_argument("--records", type=int, default=10_000_000, help="rows of the workloads (default 10000000)")
    parser.add_argument("--large", type=int, default=100_000_000,
                        help="rows of the large history (default 100000000, 0: none)")
    parser.add_argument("--threads", type=int, default=2, help="threads or workers of each engine (default 2)")
    parser.add_argument("--quick", action="store_true",
                        help="a smoke test: 20,000 and 50,000 rows, one round; results stay in the work directory")
    parser.add_argument("--tidewater", type=pathlib.Path, default=release / "tidewater", metavar="PATH")
    parser.add_argument("--resident", type=pathlib.Path, metavar="PATH",
                        help="the program of the workload `resident` (default: beside tidewater)")
    parser.add_argument("--work", type=pathlib.Path, metavar="DIR",
                        help="data and tables; data that is there already is used again (default: a temporary directory)")
    parser.add_argument("--keep", action="store_true", help="leave the data in the work directory")
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "benches" / "runs", metavar="DIR")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds after which a process is ended")
    parser.add_argument("--memory-limit", type=float, default=0, metavar="GB",
                        help="a process with more is ended (default: nine tenths of the machine's memory)")
    parser.add_argument("--slow", type=float, default=120,
                        help="a peer whose checked run takes more seconds is not run again (default 120)")
    args = parser.parse_args()
    if args.quick:
        args.records, args.large, args.runs = 20_000, 50_000, 1
    args.tidewater = args.tidewater.resolve()
    args.resident = (args.resident or args.tidewater.with_name("resident")).resolve()
    if not args.list and not args.tidewater.is_file():
        parser.error(f"there is no {args.tidewater}: cargo build --release, or name the binary with --tidewater")
    return args


def main():
    args = arguments()
    if args.list:
        print("\n".join([f"{name:16} {text}" for name, (text, _) in WORKLOADS.items()] + ["", *report.settings()]))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: what runs is ended, what is left removed
    if args.work:
        args.work.mkdir(parents=True, exist_ok=True)
    work = (args.work or pathlib.Path(tempfile.mkdtemp(prefix="tidewater-compare-"))).resolve()
    directory = work / "results" if args.quick else args.results
    settings = {key: getattr(args, key) for key in ("records", "large", "threads", "runs")}
    session = Session(args, work, lambda versions: Results(directory, settings, versions))
    try:
        text = measure(session)
    finally:
        clean(args, work)
    print(text)
    print(f"raw measurements: {session.results.path('.json')}")
    if session.problems:
        sys.exit("\n".join(["", "PROBLEMS", *session.problems]))


def measure(session):
    """Runs the workloads; results are written after each."""
    text = ""
    for name in session.args.workload:
        session.begin(name)
        session.say(WORKLOADS[name][0])
        try:
            WORKLOADS[name][1](session)
        except Exception as error:  # a workload that cannot go on does not stop the others
            traceback.print_exc()
            session.problem(f"ended early: {error!r}")
        session.results.save()
        text = report.write(session.results, session.sizes())
    return text


def clean(args, work):
    """Removes what is not asked for; data in a directory that was named stays, as do results of a smoke test."""
    shutil.rmtree(work / "scratch", ignore_errors=True)
    shutil.rmtree(work / "history", ignore_errors=True)
    if not args.keep and not args.work:
        shutil.rmtree(work / "data", ignore_errors=True)
        if not args.quick:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
