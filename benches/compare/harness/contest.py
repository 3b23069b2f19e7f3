"""Engines in alternation: first a run of each that is checked and not timed, then the timed rounds."""

import dataclasses
from collections.abc import Callable

from .data import remove, size
from .session import summary_of
from .tables import different


@dataclasses.dataclass
class Contestant:
    """An engine in a contest: its command for an output directory, and for a state directory if it keeps one."""

    engine: str
    command: Callable
    keeps_state: bool = False
    ours: bool = False


def tidewater(session, job, source, **more):
    """Tidewater with a state and without one."""
    def command(output, state):
        return session.tidewater(job, source, output, state=state, **more)

    return [Contestant("tidewater", command, keeps_state=True, ours=True),
            Contestant("tidewater, no state", command, ours=True)]


def peers(session, source, tables, form="csv", among=None, **more):
    """The peers that are to be timed, over the whole job."""
    def contestant(engine):
        return Contestant(engine, lambda output, state: session.peer(engine, source, output, tables, form, **more))

    return [contestant(engine) for engine in (session.peers(among) if among else session.peers())]


def contest(session, case, tables, contestants, runs=None):
    """Runs `contestants`, the first of which is the reference: another is timed when its tables are equal to its."""
    reference, ready = session.scratch / "reference", []
    for contestant in contestants:
        output = reference if contestant is contestants[0] else session.scratch / "tables"
        run = once(session, case, contestant, output, "untimed", timed=False)
        good = run["exit_code"] == 0
        if output is not reference and good:
            good = check(session, case, contestant.engine, output, reference, tables)
            remove(output)
        elif not good and output is reference:
            session.problem(f"{case}: {contestant.engine} failed: nothing was timed")
            return
        if good and not slow(session, contestant, run):
            ready.append(contestant)
    remove(reference)
    if "tidewater" not in session.engines:
        ready = [contestant for contestant in ready if not contestant.ours]
    rounds(session, case, ready, runs or session.args.runs)


def rounds(session, case, contestants, runs):
    """The timed rounds; the engines take turns at being first."""
    for number in range(runs if contestants else 0):
        at = number % len(contestants)
        for contestant in contestants[at:] + contestants[:at]:
            output = session.scratch / "tables"
            once(session, case, contestant, output, f"round {number + 1} of {runs}")
            remove(output)


def once(session, case, contestant, output, label, timed=True):
    """One run from nothing into `output`."""
    state = session.scratch / "state" if contestant.keeps_state else None
    remove(output, session.scratch / "state")
    also = None
    if contestant.ours:
        def also(stdout):
            return {**summary_of(stdout), **({"state_bytes": size(state)} if state else {})}
    run = session.take(case, contestant.engine, contestant.command(output, state), label, timed, also)
    remove(session.scratch / "state")
    return run


def check(session, case, engine, output, reference, tables):
    """Whether an engine's tables are equal to the reference's; keeps and says it."""
    problem = different(session.python, output, reference, tables_option(tables), session.args.threads)
    session.record["equal"].append({"case": case, "engine": engine, "equal": problem is None})
    if problem:
        session.problem(f"{case}: the tables of {engine} differ and it was not timed\n{problem}")
    else:
        session.say(f"{case}: the tables of {engine} are equal")
    return problem is None


def tables_option(tables):
    """The tables of a job as compare_tables.py takes them; other than the card job's jobs have names of their own."""
    from .card_tables import TABLES

    return "eleven" if tables == "eleven" else ",".join(TABLES)


def slow(session, contestant, run):
    """Whether an engine's checked run took so long that it counts, and the engine is not run again."""
    if contestant.ours or run["wall_seconds"] <= session.args.slow:
        return False
    run["timed"] = True
    session.note(f"{run['case']}: {contestant.engine} took longer than {session.args.slow:.0f} s: its checked run counts")
    return True
