"""What the choices of a job's author cost: the input's format, partitions, ways to join, and the second run."""

from ..contest import Contestant, rounds
from ..data import remove, warm
from ..engines import script
from ..job import join_job, rows_job
from ..session import summary_of

PARTITIONS = {"by day": ["txn_date"], "by month": ["txn_year", "txn_month"], "none": []}


def choices(session):
    source = session.data.csv(session.args.records, "single")
    session.record["inputs"][source.name] = warm(source)
    formats(session, source)
    for name, columns in PARTITIONS.items():
        partitions(session, source, name, columns)
    joins(session, source)
    twice(session)


def ours(session):
    return "tidewater" in session.engines


def formats(session, csv):
    """The eleven tables from CSV and from Parquet, in turns."""
    parquet = session.data.parquet(session.args.records, "single")
    session.record["inputs"][parquet.name] = warm(parquet)
    for number in range(session.args.runs):
        for form, source in (("csv", csv), ("parquet", parquet)):
            contestants = [Contestant("tidewater, no state", lambda output, state: session.tidewater(
                session.job("eleven", form), source, output), ours=True)] if ours(session) else []
            contestants += [Contestant(name, lambda output, state, name=name: session.peer(
                name, source, output, "eleven", form)) for name in session.peers(("duckdb", "polars"))]
            one_round(session, f"input {form}", contestants, number)


def one_round(session, case, contestants, number):
    """A round of a contest whose cases take turns."""
    label = f"round {number + 1} of {session.args.runs}"
    for contestant in contestants:
        output = session.scratch / "tables"
        remove(output)
        also = summary_of if contestant.ours else None
        session.take(case, contestant.engine, contestant.command(output, None), label, also=also)
        remove(output)


def partitions(session, source, name, columns):
    """Writes the approved rows in partitions, then reads one day of them with DuckDB."""
    job = session.write_job(f"rows-{name.replace(' ', '-')}", rows_job(columns))
    writers = {"tidewater, no state": lambda output: session.tidewater(job, source, output)} if ours(session) else {}
    if "duckdb" in session.engines:
        writers["duckdb"] = lambda output: [session.python, script("duckdb", "choices"), "write", source, output,
                                            "--by", ",".join(columns), "--threads", session.args.threads]
    found = {}
    for number in range(session.args.runs):
        label = f"round {number + 1} of {session.args.runs}"
        for engine, command in writers.items():
            output = session.scratch / "tables"
            remove(output)
            written = session.take(f"partitions {name}: write", engine, command(output), label)
            if written["exit_code"] == 0:
                read = [session.python, script("duckdb", "choices"), "read", output / "rows", "--by", ",".join(columns)]
                session.take(f"partitions {name}: read a day", f"duckdb, files of {engine.split(',')[0]}", read, label,
                             also=lambda stdout: found.setdefault(engine, stdout) and {})
            remove(output)
    if len(set(found.values())) > 1:
        session.problem(f"partitions {name}: the day's rows differ: {found}")


def joins(session, source):
    """A join with a small table: Tidewater exchanges both sides, Spark does either, DuckDB builds a hash table of it."""
    dimension = session.work / "merchants.csv"
    session.data.make(dimension, [session.python, script("duckdb", "choices"), "dimension", source])
    job = session.write_job("join", join_job())
    ways = [("tidewater, exchanged", lambda output, state: session.tidewater(
        job, source, output, variables=[f"dimension={dimension}"]))] if ours(session) else []
    for engine, way in (("duckdb", "hash"), ("spark", "broadcast"), ("spark", "exchanged")):
        if engine in session.engines:
            ways.append((f"{engine}, {way}", lambda output, state, engine=engine, way=way: [
                session.python, script(engine, "choices"), "join", source, output, "--dimension", dimension,
                "--way", way, "--threads", session.args.threads]))
    found, ready = {}, []
    for engine, command in ways:
        output = session.scratch / "tables"
        remove(output)
        run = session.take("join", engine, command(output, None), "untimed", timed=False)
        if run["exit_code"] == 0:
            found[engine] = digest(session, output / "segments")
            ready.append(Contestant(engine, command))
    equal = {engine: value == next(iter(found.values())) for engine, value in found.items()}
    session.record["equal"] += [{"case": "join", "engine": engine, "equal": same} for engine, same in equal.items()]
    if not all(equal.values()):
        session.problem(f"join: the tables differ and nothing was timed: {found}")
        return
    rounds(session, "join", ready, session.args.runs)


def digest(session, table):
    """What a table of the join holds."""
    from ..process import measure

    command = [session.python, script("duckdb", "choices"), "digest", table]
    return measure(command, session.limits)[1].strip()


def twice(session):
    """A first run and a second over the same files: Tidewater with its state, peers from nothing."""
    source = session.data.csv(session.args.records, "daily")
    session.record["inputs"][source.name] = warm(source)
    output, state, job = session.scratch / "tables", session.scratch / "state", session.job("thirteen")
    for number in range(session.args.runs):
        remove(output, state)
        label = f"round {number + 1} of {session.args.runs}"
        for case in ("first run", "second run"):
            if ours(session):
                session.take(case, "tidewater", session.tidewater(job, source, output, state=state), label, also=summary_of)
        for case in ("first run", "second run"):
            remove(output, state)
            if "duckdb" in session.engines:
                session.take(case, "duckdb", session.peer("duckdb", source, output, "thirteen"), label)
    remove(output, state)
