"""One late row into a process that stays: Tidewater's `Resident` and Pathway, from handing it in to all changes."""

import json

from ..data import remove, warm
from ..engines import script
from ..tables import different

LATE_ROWS = 2000


def late_row(session):
    """Tidewater after the whole history and after what Pathway can load, then Pathway."""
    sizes = dict.fromkeys([pathway_records(session), session.args.records])
    if "tidewater" in session.engines:
        for records in sizes:
            tidewater(session, records)
    pathway(session, ["one late row"])


def tidewater(session, records):
    """benches/src/bin/resident.rs over the daily files."""
    source = session.data.csv(records, "daily")
    session.record["inputs"][source.name] = warm(source)
    case = f"one late row after {records:,} rows"
    if not session.args.resident.exists():
        session.problem(f"{session.args.resident} is missing: cargo build --release -p tidewater-benches --bin resident")
        return
    for tables in ("eleven", "thirteen"):
        command = [session.args.resident, session.job(tables), "--input", source, "--late", LATE_ROWS,
                   "--workers", session.args.threads]
        run = session.take(case, f"tidewater, {tables} tables", command, "once", also=json.loads)
        if run["exit_code"] == 0:
            run.update(process_seconds=run["wall_seconds"], wall_seconds=run["also"]["p50_ms"] / 1000)


def pathway_records(session):
    """How many rows Pathway is given: it loads some 20,000 a second."""
    return min(session.args.records // 10, 1_000_000)


def pathway(session, cases):
    """Adds Pathway's figures for `cases` to the workload, measured once in a session."""
    if "pathway" not in session.engines:
        return
    records = pathway_records(session)
    session.note(f"Pathway stays in memory and is measured after {records:,} rows: it loads slowly. Its figures are from "
                 "handing rows in to the last change of the eleven tables, and not of a process of its own")
    if not hasattr(session, "pathway_figures"):
        session.pathway_figures = measure_pathway(session, records)
    load, figures = session.pathway_figures
    for case in cases:
        also = figures.get(case, {})
        run = {**load, "case": f"{case} after {records:,} rows", "engine": "pathway, stays", "timed": True}
        if also:
            run["also"] = {"load_seconds": load["wall_seconds"], **also}
            run["wall_seconds"] = also["p50_ms"] / 1000
        session.record["runs"].append(run)


def measure_pathway(session, records):
    """Loads the history into Pathway and feeds it the changes; compares its tables with Tidewater's over the rows that
    are then present. Returns the process' measurements, and figures by case."""
    source, output = session.data.csv(records, "daily"), session.scratch / "pathway"
    present, tables = session.scratch / "present", session.scratch / "reference"
    remove(output, present, tables)
    session.data.copy(source, present)
    command = [session.python, script("pathway"), present, output, "--threads", session.args.threads]
    load = session.take(f"load {records:,} rows", "pathway, stays", command, "once", timed=False)
    session.record["runs"].pop()
    if load["exit_code"] != 0:
        return load, {}
    figures = json.loads((output / "figures.json").read_text(encoding="utf-8"))
    load["wall_seconds"] = figures.pop("load")["seconds"]
    # Pathway's program left the files that hold what it was fed.
    run = session.take("for comparison", "tidewater, no state", session.tidewater(session.job("eleven"), present, tables),
                       "once", timed=False)
    problem = different(session.python, output, tables, "eleven", session.args.threads) if run["exit_code"] == 0 else "–"
    session.record["equal"].append({"case": "after all changes", "engine": "pathway", "equal": problem is None})
    if problem:
        session.problem(f"the tables of pathway differ, and its figures are left out\n{problem}")
        return {**load, "exit_code": 1, "error": "its tables differ"}, {}
    session.say("the tables of pathway are equal")
    remove(output, present, tables)
    return load, figures
