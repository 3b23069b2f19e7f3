"""The nights of the card job, by Airflow: what is published, which tasks run, who is told."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from server import Airflow

REPOSITORY = Path(__file__).resolve().parents[2]
DAG = "tidewater_card"
# The DAG as it is shipped, with shorter waits. Airflow looks only into files in which the words airflow and dag occur.
QUICK = """
# airflow
import sys
from datetime import timedelta
sys.path.insert(0, {dags!r})
from tidewater_card import dag
for task in dag.tasks:
    task.retry_delay = timedelta(seconds=1)
wait = dag.get_task("wait_for_files")
wait.poke_interval, wait.timeout = 1.0, 3.0
"""
# What is promised about the shipped file.
SHIPPED = """
import json, sys
sys.path.insert(0, {dags!r})
from tidewater_card import dag
print(json.dumps({{
    "zone": str(dag.timezone), "catchup": dag.catchup, "max_active_runs": dag.max_active_runs,
    "tasks": {{
        task.task_id: [task.retries, task.retry_delay.total_seconds(), task.execution_timeout.total_seconds()]
        for task in dag.tasks
    }},
    "wait": [dag.get_task("wait_for_files").poke_interval, dag.get_task("wait_for_files").timeout],
}}))
"""
PUBLISHED = {
    "wait_for_files": "success", "audit": "success", "quality_gate": "success", "run": "success",
    "run_gate": "success", "quality_failed": "skipped", "end": "success",
}
REFUSED = PUBLISHED | {"run": "skipped", "run_gate": "skipped", "quality_failed": "success"}
NOTHING_NEW = dict.fromkeys(PUBLISHED, "skipped")

environment = None
binary = None


def configure(with_airflow, tidewater):
    """Which virtual environment and which program are tested."""
    global environment, binary
    environment, binary = with_airflow, tidewater


def tidewater(*arguments, cwd):
    return subprocess.run([binary, *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout


class Place:
    """A directory in which the job is kept, and the Airflow variables that say so."""

    def __init__(self, directory):
        self.directory = directory
        self.input = directory / "in"
        self.alerts = directory / "alerts"
        directory.mkdir()
        self.variables = {
            "directory": str(directory), "binary": str(binary), "job": str(REPOSITORY / "jobs/card-quality.sql"),
            "state": "state", "input": "in", "output": "out dir",
            "options": "--workers 1", "alert": f"cat >> '{self.alerts}'",
        }
        tidewater("generate", "--records", "300", "--start", "2024-03-01", "--end", "2024-03-03", "--out", "in",
                  cwd=directory)

    def deliver(self, name, *rows):
        """Writes a file with rows of an amount and a status each."""
        header = self.input.joinpath("2024-03-01.csv").read_text().splitlines()[0]
        lines = [
            f"L-{name}-{number},2024-02-29 10:00:0{number},****-****-****-1111,신용,쿠팡,온라인,쇼핑,{amount},0,{status},서울"
            for number, (amount, status) in enumerate(rows)
        ]
        (self.input / name).write_text("\n".join([header, *lines, ""]))

    def broken(self):
        """Delivers a file that the gate refuses. Its second row, in line 3, is the reason."""
        self.deliver("broken.csv", ("1000", "approved"), ("-5", "approved"))

    def wrapped(self, script):
        """Puts a shell script before the program, which it calls as "$TIDEWATER"."""
        path = self.directory / "wrapped"
        path.write_text(f"#!/usr/bin/env bash\nTIDEWATER='{binary}'\n{script}\nexec \"$TIDEWATER\" \"$@\"\n")
        path.chmod(0o755)
        self.variables["binary"] = str(path)

    def failing(self, times):
        """A program that ends with 1 at its first tasks, then works."""
        # The sensor asks without --json: it is not counted.
        self.wrapped(
            f'if [[ $* == *--json* ]] && echo >> calls && (($(wc -l < calls) <= {times})); then exit 1; fi'
        )

    def published(self):
        """Every published file: its bytes, inode and time."""
        files = [path for path in (self.directory / "out dir").rglob("*") if path.is_file()]
        return {str(path): (path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns) for path in files}

    def epoch(self):
        return json.loads(tidewater("status", "--state", "state", "--json", cwd=self.directory))["epoch"]

    def cold(self):
        """The data files of a run over everything, without a state."""
        shutil.rmtree(self.directory / "cold", ignore_errors=True)
        tidewater("run", self.variables["job"], "--set", "input=in", "--set", "output=cold", cwd=self.directory)
        return data_files(self.directory / "cold")

    def told(self):
        return self.alerts.read_text() if self.alerts.exists() else ""


def data_files(directory):
    """The bytes of a table's files, by path."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("part-*.parquet")}


class CardTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.home = Path(tempfile.mkdtemp(prefix="tidewater-airflow-"))
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        dags = cls.home / "dags"
        dags.mkdir()
        (dags / "quick_card.py").write_text(QUICK.format(dags=str(REPOSITORY / "dags")))
        cls.airflow = Airflow(environment, cls.home, dags)
        cls.addClassCleanup(cls.airflow.stop)
        cls.airflow.start()
        cls.description = cls.airflow.dag(DAG)
        # Being switched on, the DAG is due once, for the last 02:00.
        cls.first = Place(cls.home / "first")
        cls.use(cls.first)
        cls.airflow.unpause(DAG)
        first_run = cls.airflow.wait("scheduled run", 60, lambda: cls.airflow.runs(DAG))[0]
        cls.first_night = cls.airflow.ended(DAG, first_run["dag_run_id"])

    @classmethod
    def use(cls, place):
        for name, value in place.variables.items():
            cls.airflow.set_variable(f"tidewater_card_{name}", value)

    def setUp(self):
        self.place = Place(self.home / self.id().rsplit(".", 1)[1])

    def night(self):
        """One run of the DAG: its state, the state of each task, and the tasks."""
        self.use(self.place)
        self.run_id = self.airflow.trigger(DAG)
        run, self.tasks = self.airflow.ended(DAG, self.run_id)
        return run["state"], {name: task["state"] for name, task in self.tasks.items()}

    def tries(self, task):
        return self.tasks[task]["try_number"]

    def summary(self, task):
        return self.airflow.xcom(DAG, self.run_id, task)

    def assert_published(self):
        self.assertEqual(data_files(self.place.directory / "out dir"), self.place.cold())

    def test_shipped(self):
        script = SHIPPED.format(dags=str(REPOSITORY / "dags"))
        shown = subprocess.run(
            [environment / "bin/python", "-W", "ignore", "-c", script],
            env=self.airflow.variables, check=True, capture_output=True, text=True,
        ).stdout
        every_task = [2, 300.0, 3600.0]
        self.assertEqual(json.loads(shown.splitlines()[-1]), {
            "zone": "Asia/Seoul", "catchup": False, "max_active_runs": 1,
            "tasks": dict.fromkeys(PUBLISHED, every_task), "wait": [300.0, 3600.0],
        })
        self.assertEqual(self.airflow.import_errors(), [])

    def test_schedule(self):
        run, tasks = self.first_night
        self.assertEqual(run["run_type"], "scheduled")
        self.assertRegex(run["run_after"], "T17:00:00Z$", "02:00 in Seoul")
        self.assertEqual({name: task["state"] for name, task in tasks.items()}, PUBLISHED)
        scheduled = [run for run in self.airflow.runs(DAG) if run["run_type"] == "scheduled"]
        self.assertEqual(len(scheduled), 1, "no catch-up: the nights since 2024 are not run")

    def test_published(self):
        self.assertEqual(self.night(), ("success", PUBLISHED))
        self.assertEqual(self.summary("audit")["outcome"], "audited")
        self.assertEqual(self.summary("run")["outcome"], "committed")
        self.assertEqual(self.summary("run")["rows_read"], 300)
        self.assert_published()
        self.assertEqual(self.place.told(), "")

    def test_late_file(self):
        self.night()
        self.place.deliver("2024-02-29.csv", ("1000", "approved"), ("2000", "declined"))
        self.assertEqual(self.night(), ("success", PUBLISHED))
        self.assertEqual(self.summary("run")["rows_read"], 2, "only the file that is new")
        self.assertEqual(self.place.epoch(), 2)
        self.assert_published()

    def test_nothing_new(self):
        self.night()
        before = self.place.published()
        self.assertEqual(self.night(), ("success", NOTHING_NEW))
        self.assertEqual(self.place.published(), before)
        self.assertEqual(self.place.told().splitlines(), [
            f"{DAG}: no new files have come and the tables are as they were (run {self.run_id})"
        ])

    def test_run_by_hand_after_the_audit(self):
        self.place.wrapped('if [[ $1 == run ]]; then "$TIDEWATER" "$@" > by-hand; fi')
        self.assertEqual(self.night(), ("success", PUBLISHED | {"run": "skipped"}))
        self.assertEqual(self.place.epoch(), 1)
        self.assertEqual(self.place.told(), "")

    def test_refused(self):
        self.night()
        before = self.place.published()
        self.place.broken()
        self.assertEqual(self.night(), ("success", REFUSED))
        self.assertEqual(self.tries("audit"), 1)
        self.assertEqual(self.summary("audit")["outcome"], "refused")
        self.assertEqual(self.place.published(), before)
        self.assertEqual(self.place.epoch(), 1)
        self.assert_told_of_refusal()
        self.place.deliver("broken.csv", ("1000", "approved"), ("5", "approved"))
        self.assertEqual(self.night(), ("success", PUBLISHED))
        self.assert_published()

    def test_refused_by_the_run(self):
        self.night()
        before = self.place.published()
        self.place.deliver("good.csv", ("1000", "approved"))
        self.place.broken()
        shutil.move(self.place.input / "broken.csv", self.place.directory / "arriving.csv")
        self.place.wrapped("if [[ $1 == run ]]; then cp arriving.csv in/broken.csv; fi")
        self.assertEqual(self.night(), ("success", PUBLISHED | {"quality_failed": "success"}))
        self.assertEqual(self.tries("run"), 1)
        self.assertEqual(self.summary("audit")["outcome"], "audited")
        self.assertEqual(self.summary("run")["outcome"], "refused")
        self.assertEqual(self.place.published(), before)
        self.assert_told_of_refusal()

    def assert_told_of_refusal(self):
        told = self.place.told()
        headline = f"{DAG}: the data was refused and nothing was published (run {self.run_id})"
        self.assertEqual(told.splitlines()[0], headline)
        self.assertIn("assertion amount_negative fails", told)
        self.assertIn("in/broken.csv line 3: ", told)
        self.assertEqual(told.count(headline), 1)

    def test_refused_and_nobody_is_told(self):
        """A refusal is green only if the alert was sent."""
        self.place.broken()
        self.place.variables["alert"] = None
        state, tasks = self.night()
        self.assertEqual(state, "failed")
        self.assertEqual(tasks, REFUSED | {"quality_failed": "failed", "end": "upstream_failed"})
        self.assertEqual(self.tries("quality_failed"), 3)
        self.assertEqual(self.place.published(), {})

    def test_crash(self):
        self.place.failing(times=2)
        self.assertEqual(self.night(), ("success", PUBLISHED))
        self.assertEqual(self.tries("audit"), 3)
        self.assertEqual(self.tries("run"), 1)
        self.assert_published()
        self.assertEqual(self.place.told(), "", "no alert for a failure that a retry repaired")

    def test_crash_of_the_run(self):
        self.place.wrapped('if [[ $1 == run ]] && echo >> calls && (($(wc -l < calls) <= 2)); then kill -KILL $$; fi')
        self.assertEqual(self.night(), ("success", PUBLISHED))
        self.assertEqual(self.tries("run"), 3)
        self.assert_published()
        self.assertEqual(self.place.told(), "")

    def test_crash_that_stays(self):
        self.place.failing(times=100)
        state, tasks = self.night()
        self.assertEqual(state, "failed")
        after = dict.fromkeys(PUBLISHED, "upstream_failed")
        self.assertEqual(tasks, after | {"wait_for_files": "success", "audit": "failed"})
        self.assertEqual(self.tries("audit"), 3)
        self.assertEqual(len(self.place.told().splitlines()), 1, "one alert, after the last retry")
        self.assertRegex(self.place.told(), f"^{DAG}: task audit failed: .* exit code 1")
        self.assertEqual(self.place.published(), {})

    def test_wrong_settings(self):
        """They fail and are said: they do not look like a night without files."""
        for name, value in (("job", "no.sql"), ("directory", "/no/such/directory")):
            with self.subTest(name):
                self.place.variables[name] = value
                state, tasks = self.night()
                self.assertEqual((state, tasks["audit"], tasks["end"]), ("failed", "failed", "upstream_failed"))
                self.assertIn(f"(run {self.run_id})", self.place.told())
