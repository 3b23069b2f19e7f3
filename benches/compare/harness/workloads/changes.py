"""What a change costs: a process of its own that takes a late file or a corrected day into a kept job, after a small
and a large history, and peers that run the whole job again."""

from ..contest import check, once, peers, slow
from ..data import correct, late_file, remove, size, warm
from ..session import summary_of
from ..tables import bytes_different, rows_different
from .resident import pathway


class History:
    """A kept job after so many rows in daily files: its present input, its tables and its state."""

    def __init__(self, session, records):
        self.session, self.records = session, records
        self.place = session.work / "history" / str(records)
        self.input, self.tables, self.state = (self.place / name for name in ("input", "tables", "state"))
        self.late = 0

    def begin(self):
        """Takes in the whole history; returns whether that went well."""
        source = self.session.data.csv(self.records, "daily")
        remove(self.place)
        self.session.data.copy(source, self.input)
        self.session.record["inputs"][source.name] = warm(source)
        run = self.run(self.case("first run"), "first", timed=False)
        remove()
        return run["exit_code"] == 0

    def case(self, what):
        return f"{what} after {self.records:,} rows"

    def run(self, case, label, timed=True):
        """A run of Tidewater over the present files."""
        command = self.session.tidewater(self.session.job("thirteen"), self.input, self.tables, state=self.state)
        return self.session.take(case, "tidewater", command, label, timed,
                                 lambda stdout: {**summary_of(stdout), "state_bytes": size(self.state)})

    def add_late_file(self):
        late_file(self.input, self.late)
        self.late += 1

    def verify(self):
        """Compares the tables with those of a cold run over the present files, and the table of rows with DuckDB's
        reading of them."""
        session, cold = self.session, self.session.scratch / "cold"
        remove(cold)
        command = session.tidewater(session.job("thirteen"), self.input, cold)
        run = session.take(self.case("cold run"), "tidewater, no state", command, "for comparison", timed=False)
        if run["exit_code"] != 0:
            session.problem("the cold run to compare with failed")
            return
        differing = bytes_different(cold, self.tables)
        rows = rows_different(session.python, self.input, self.tables)
        session.record["equal"].append({"case": self.case("tables"), "engine": "tidewater",
                                        "equal": not differing and not rows})
        if differing or rows:
            session.problem(f"tables differ from a cold run's: {', '.join(differing[:10])} {rows or ''}")
        else:
            session.say(f"{self.case('tables')}: as those of a cold run, byte for byte; rows as DuckDB finds them")
        remove(cold)


def late(session):
    """A file of 1,000 rows for a day that was published long ago."""
    changed(session, "late file", History.add_late_file)
    pathway(session, ["late file"])


def corrected(session):
    """A day's file is delivered again with every row changed."""
    changed(session, "corrected day", lambda history: correct(history.input))
    pathway(session, ["corrected day"])


def changed(session, what, change):
    """Rounds of a change, each read by Tidewater and computed again by the peers; after the large history without
    peers."""
    for records in session.sizes()[1:]:
        history = History(session, records)
        if not history.begin():
            session.problem("the first run failed: nothing was timed")
            continue
        case = history.case(what)
        contestants = peers(session, history.input, "thirteen") if records == session.args.records else []
        change(history)
        history.run(case, "untimed", timed=False)
        contestants = [peer for peer in contestants if checked(session, case, peer, history.tables)]
        for number in range(session.args.runs):
            label = f"round {number + 1} of {session.args.runs}"
            change(history)
            if "tidewater" in session.engines or not number:
                history.run(case, label)
            for peer in contestants:
                once(session, case, peer, session.scratch / "tables", label)
                remove(session.scratch / "tables")
        history.verify()
        remove(history.place)


def checked(session, case, peer, tables):
    """Whether a peer computes the tables that are published, and is to be timed."""
    output = session.scratch / "tables"
    run = once(session, case, peer, output, "untimed", timed=False)
    good = run["exit_code"] == 0 and check(session, case, peer.engine, output, tables, "thirteen")
    remove(output)
    return good and not slow(session, peer, run)


def restart(session):
    """A kept job is started again: with nothing to do, and until the first late file is in."""
    for records in session.sizes()[1:]:
        history = History(session, records)
        if not history.begin():
            session.problem("the first run failed: nothing was timed")
            continue
        history.run(history.case("nothing to do"), "untimed", timed=False)
        for number in range(session.args.runs):
            label = f"round {number + 1} of {session.args.runs}"
            history.run(history.case("nothing to do"), label)
            history.add_late_file()
            history.run(history.case("first late file"), label)
        history.verify()
        remove(history.place)
