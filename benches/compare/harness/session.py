"""One call of run.py: its options, environment, data and results, and the runs of single processes."""

import json
import os
import sys

from . import environment
from .data import Data
from .engines import BATCH, ENGINES, script
from .job import card_job
from .machine import memory_bytes
from .process import Limits, measure


class Session:
    """What workloads need. `engines` are those to be timed."""

    def __init__(self, args, work, results_of):
        self.args, self.work = args, work
        self.python = environment.interpreter()
        self.unavailable = {}
        self.engines = [name for name in ENGINES if name in args.peer and self.available(name)]
        environment.install("duckdb")  # compares the tables
        packages = {package for name in self.engines for package in ENGINES[name].packages}
        self.results = results_of(environment.versions(sorted(packages)))
        self.data = Data(work / "data", args.tidewater, self.python, self.say)
        self.scratch = work / "scratch"
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.limits = Limits(args.timeout, int(args.memory_limit * 1e9) or memory_bytes() * 9 // 10)
        self.workload, self.record, self.problems = None, None, []

    def sizes(self):
        """Rows of the small history, of all, and of the large one (none with --large 0)."""
        large = [self.args.large] if self.args.large else []
        return [self.args.records // 10, self.args.records, *large]

    def available(self, name):
        """Installs an engine's packages; an engine whose packages cannot be had is left out, and that is said."""
        try:
            environment.install(*ENGINES[name].packages)
        except environment.Missing as missing:
            self.unavailable[name] = str(missing)
            self.say(f"{name} is left out: {missing}")
        return name not in self.unavailable

    def say(self, message):
        """A line of progress."""
        print(f"[{self.workload}] {message}" if getattr(self, "workload", None) else message, file=sys.stderr, flush=True)

    def note(self, message):
        """Something that readers of the results have to know."""
        self.say(message)
        if message not in self.record["notes"]:
            self.record["notes"].append(message)

    def problem(self, message):
        """Something that makes the whole call fail in the end."""
        self.problems.append(f"{self.workload}: {message}")
        self.note(message)

    def begin(self, workload):
        """What follows belongs to `workload`."""
        self.workload, self.record = workload, self.results.begin(workload)
        for name, reason in self.unavailable.items():
            self.note(f"{name} was left out: {reason}")

    def peers(self, among=BATCH):
        """The engines to be timed beside Tidewater."""
        return [name for name in self.engines if name in among]

    def job(self, tables, form="csv"):
        """A file with the card job of eleven or thirteen tables."""
        return self.write_job(f"card-{tables}-{form}", card_job(tables, form))

    def write_job(self, name, sql):
        """A job file that is made for this session."""
        path = self.work / "jobs" / f"{name}.sql"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(sql, encoding="utf-8")
        return path

    def tidewater(self, job, source, output, *more, threads=None, state=None, variables=()):
        """The command line of a run of Tidewater."""
        pairs = [f"input={source}", f"output={output}", *variables]
        settings = [word for pair in pairs for word in ("--set", pair)]
        kept = ["--state", state] if state else []
        workers = ["--workers", threads or self.args.threads]
        return [self.args.tidewater, "run", job, *settings, *workers, *kept, "--json", "--quiet", *more]

    def peer(self, engine, source, output, tables, form="csv", threads=None):
        """The command line of a whole job by a peer."""
        return [self.python, script(engine), source, output, "--tables", tables, "--format", form,
                "--threads", threads or self.args.threads]

    def take(self, case, engine, command, label, timed=True, also=None):
        """Runs a command, keeps and reports what it took. `also(output)` gives further figures of a run that
        succeeded, from its standard output."""
        environment_ = {**os.environ, "TMPDIR": str(self.scratch)}
        run, stdout = measure(command, self.limits, cwd=self.scratch, env=environment_)
        run = {"case": case, "engine": engine, "round": label, "timed": timed, **run}
        if run["exit_code"] == 0 and also:
            run["also"] = also(stdout)
        self.record["runs"].append(run)
        self.say(f"{case}, {label}: {engine} {told(run)}")
        return run


def summary_of(stdout):
    """Of a run of Tidewater: the stages of its summary."""
    return {f"{stage}_seconds": seconds for stage, seconds in json.loads(stdout)["seconds"].items()}


def told(run):
    """A run in a line."""
    figures = f"{run['wall_seconds']:.3f} s, {run['peak_memory_bytes'] / 1e9:.2f} GB"
    return figures if run["exit_code"] == 0 else f"failed after {figures}: {run['error']}"
