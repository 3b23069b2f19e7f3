"""What was measured, as it is kept in benches/runs/<date>-<cpu>.json."""

import datetime
import json
import statistics

from .machine import file_stem, machine


class Results:
    """The measurements of a day. A later call with the same machine, commit and settings adds to them: a workload that
    is measured again replaces its earlier measurements."""

    def __init__(self, directory, settings, versions):
        self.directory = directory
        self.content = {"machine": machine(), "settings": settings, "versions": versions, "workloads": {}}
        self.stem = self.place()

    def place(self):
        """The name of the day's file that these belong to; takes over what it holds already."""
        number = 1
        while True:
            stem = file_stem() + (f"-{number}" if number > 1 else "")
            path = self.directory / f"{stem}.json"
            if not path.exists():
                return stem
            found = json.loads(path.read_text(encoding="utf-8"))
            mine = {key: self.content[key] for key in ("machine", "settings")}
            if isinstance(found, dict) and all(found.get(key) == value for key, value in mine.items()):
                found["versions"].update(self.content["versions"])
                self.content = found
                return stem
            number += 1

    def path(self, suffix):
        """A file of this day: `suffix` follows the date and the processor."""
        return self.directory / (self.stem + suffix)

    def begin(self, workload):
        """Begins a workload and drops its earlier results."""
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        self.content["workloads"][workload] = {"started": now, "inputs": {}, "runs": [], "equal": [], "notes": []}
        return self.content["workloads"][workload]

    def save(self):
        """Writes the raw measurements."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.path(".json").write_text(json.dumps(self.content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def rows(self, workload):
        """The medians of a workload: a dictionary for each engine of each case, both in the order of their first runs."""
        runs = self.content["workloads"].get(workload, {}).get("runs", [])
        cases = list(dict.fromkeys(run["case"] for run in runs))
        groups = sorted(dict.fromkeys((run["case"], run["engine"]) for run in runs), key=lambda group: cases.index(group[0]))
        return [summary(case, engine, [r for r in runs if (r["case"], r["engine"]) == (case, engine)])
                for case, engine in groups]

    def median(self, workload, case, engine, key="wall_seconds"):
        """One figure of a workload, or None when it was not measured."""
        for row in self.rows(workload):
            if (row["case"], row["engine"]) == (case, engine):
                return row.get(key)
        return None


def summary(case, engine, runs):
    """What the timed runs of an engine come to. One that is slow counts with its untimed run."""
    timed = [run for run in runs if run["timed"]]
    done = [run for run in timed if run["exit_code"] == 0]
    row = {"case": case, "engine": engine, "done": len(done), "total": len(timed)}
    if failed := [run for run in runs if run["exit_code"] != 0]:
        row["error"] = failed[0].get("error", "failed")
    if not done:
        return row
    for key in ("wall_seconds", "user_seconds", "system_seconds"):
        row[key] = statistics.median(run[key] for run in done)
    row["peak_memory_bytes"] = max(run["peak_memory_bytes"] for run in done)
    for key in dict.fromkeys(key for run in done for key in run.get("also", {})):
        row[key] = statistics.median(run["also"][key] for run in done if key in run["also"])
    return row
