"""The engines that are compared: their packages, how each is run, and what is set for it."""

import dataclasses
import pathlib

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent / "engines"


@dataclasses.dataclass(frozen=True)
class Engine:
    """An engine: the packages of its environment, and its settings as they are reported."""

    name: str
    packages: tuple
    settings: str


ENGINES = {engine.name: engine for engine in (
    Engine("tidewater", (), "a durable state beside the tables; also without one; a worker a thread"),
    Engine("duckdb", ("duckdb",),
           "explicit types, no sniffing, preserve_insertion_order = false, one scan into a table of the approved rows "
           "and the columns that are needed, a COPY a table"),
    Engine("polars", ("polars",),
           "lazy scan with a schema, streaming engine, approved rows collected once, texts of few values as "
           "categories, all aggregations in one collect_all"),
    Engine("datafusion", ("datafusion", "pyarrow"),
           "target_partitions = threads, explicit schema, approved rows in a table in memory, a COPY a table"),
    Engine("spark", ("pyspark",),
           "local[threads], two shuffle partitions a thread, adaptive execution, explicit schema, approved rows "
           "cached, one file an aggregate, half of the machine's memory for the driver"),
    Engine("pathway", ("pathway", "pyarrow"),
           "one process that stays, no persistence; changes alone, eleven tables, after a tenth of the rows at most a "
           "million: it takes minutes to load those"),
)}

# Those that run the whole job from files to tables.
BATCH = ("duckdb", "polars", "datafusion", "spark")


def script(engine, suffix="card"):
    """The program that runs an engine."""
    return SCRIPTS / f"{engine}_{suffix}.py"
