"""The whole job from nothing: eleven and thirteen tables, from CSV and from Parquet; by workers; by size."""

from ..contest import contest, peers, tidewater
from ..data import warm


def eleven(session):
    whole(session, "eleven", "csv")


def thirteen(session):
    whole(session, "thirteen", "csv")


def parquet(session):
    whole(session, "eleven", "parquet")


def whole(session, tables, form):
    """All engines over one file of all rows."""
    make = session.data.csv if form == "csv" else session.data.parquet
    source = make(session.args.records, "single")
    session.record["inputs"][source.name] = warm(source)
    contestants = tidewater(session, session.job(tables, form), source) + peers(session, source, tables, form)
    contest(session, "cold", tables, contestants)


def workers(session):
    """One thread against two: Tidewater, and two of the peers for the machine's own part in it."""
    source = session.data.csv(session.args.records, "single")
    session.record["inputs"][source.name] = warm(source)
    job = session.job("eleven")
    for threads in (1, 2):
        contestants = tidewater(session, job, source, threads=threads)[:1]
        contestants += peers(session, source, "eleven", among=("duckdb", "polars"), threads=threads)
        contest(session, f"threads {threads}", "eleven", contestants)


def growth(session):
    """Time, memory and state by the number of rows, in daily files."""
    for records in session.sizes():
        source = session.data.csv(records, "daily")
        session.record["inputs"][source.name] = warm(source)
        contestants = tidewater(session, session.job("thirteen"), source)[:1] + peers(session, source, "thirteen")
        runs = session.args.runs if records <= session.args.records else min(session.args.runs, 3)
        contest(session, f"{records:,} rows", "thirteen", contestants, runs)
