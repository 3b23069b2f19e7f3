"""What Tidewater wants to reach, and whether the measurements show it.

A target belongs to ten million rows and two threads; after other sizes its line says so.
"""

def targets(results, sizes):
    """Every target as (text, measured, whether it is met); measured and met are None where something is missing."""
    records, large = sizes[1], sizes[2] if len(sizes) > 2 else None
    found = []

    def add(text, value, limit, at_least, unit):
        met = None if value is None else (value >= limit if at_least else value <= limit)
        found.append((text, None if value is None else f"{value:.2f}{unit}", met))

    def ratio(over, under):
        return over / under if over and under else None

    def took(workload, case, engine="tidewater", key="wall_seconds"):
        return results.median(workload, case, engine, key)

    for workload, tables, factor in (("cold-eleven", "eleven tables", 4), ("cold-thirteen", "thirteen tables", 3),
                                     ("parquet-eleven", "eleven tables from Parquet", 2.5)):
        for peer in ("duckdb", "polars"):
            value = ratio(took(workload, "cold", peer), took(workload, "cold"))
            add(f"{tables}: at least {factor} times as fast as {peer}", value, factor, True, " ×")
    memory = took("cold-eleven", "cold", key="peak_memory_bytes")
    add("eleven tables: memory below 1.2 GB", memory and memory / 1e9, 1.2, False, " GB")

    for workload, what, factor in (("late", "late file", 100), ("corrected", "corrected day", 30)):
        case = f"{what} after {records:,} rows"
        value = ratio(fastest(results, workload, case), took(workload, case))
        add(f"{what}: at least {factor} times as fast as the fastest peer's new run", value, factor, True, " ×")
    if large:
        value = ratio(took("late", f"late file after {large:,} rows"), took("late", f"late file after {records:,} rows"))
        add("late file: after the large history at most 1.2 times as long", value, 1.2, False, " ×")

    case, engine = f"one late row after {records:,} rows", "tidewater, thirteen tables"
    add("one late row: p50 below 1 ms, all thirteen tables", took("resident", case, engine, "p50_ms"), 1, False, " ms")
    add("one late row: p99 below 5 ms, all thirteen tables", took("resident", case, engine, "p99_ms"), 5, False, " ms")

    if large:
        for text, key, factor in (("time", "wall_seconds", 11), ("memory", "peak_memory_bytes", 3)):
            value = ratio(took("growth", f"{large:,} rows", key=key), took("growth", f"{records:,} rows", key=key))
            add(f"growth: {text} of {large:,} rows at most {factor} times that of {records:,}", value, factor, False, " ×")
    value = ratio(took("workers", "threads 1"), took("workers", "threads 2"))
    add("two workers: at least 1.7 times as fast as one", value, 1.7, True, " ×")
    return found


def fastest(results, workload, case):
    """The best time of a peer that runs a whole job."""
    rows = [row for row in results.rows(workload) if row["case"] == case and row.get("wall_seconds")]
    times = [row["wall_seconds"] for row in rows if not row["engine"].startswith(("tidewater", "pathway"))]
    return min(times, default=None)


def lines(results, sizes):
    """The targets as Markdown."""
    word = {True: "met", False: "**missed**", None: "not measured"}
    rows = [f"| {text} | {measured or '–'} | {word[met]} |" for text, measured, met in targets(results, sizes)]
    return ["| target | measured | |", "|---|---|---|", *rows]
