"""The results as Markdown, with a chart beside it for each workload."""

from . import chart, targets
from .engines import ENGINES
from .workloads import WORKLOADS

# Further figures of a run: how they are called and told.
FIGURES = {
    "p50_ms": ("p50", "{:.3f} ms", 1), "p99_ms": ("p99", "{:.3f} ms", 1), "max_ms": ("max", "{:.2f} ms", 1),
    "rows": ("late rows", "{:,.0f}", 1), "load_seconds": ("load", "{:.1f} s", 1),
    "state_bytes": ("state", "{:,.0f} MB", 1e-6),
}


def write(results, sizes):
    """Writes the Markdown file and the charts; returns the Markdown."""
    parts = ["# Measurements", "", *preamble(results), "", "## Targets", "", *targets.lines(results, sizes)]
    for name in WORKLOADS:
        if name in results.content["workloads"]:
            svg = results.path(f"-{name}.svg")
            svg.write_text(chart.draw(WORKLOADS[name][0], results.rows(name)), encoding="utf-8")
            parts += ["", *section(results, name, svg.name)]
    text = "\n".join(parts) + "\n"
    results.path(".md").write_text(text, encoding="utf-8")
    return text


def preamble(results):
    """On what this was measured, and how."""
    machine, settings = results.content["machine"], results.content["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in results.content["versions"].items() if version)
    large = f"; the large history has {settings['large']:,}" if settings["large"] else ""
    return [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_bytes'] / 1e9:.0f} GB, {machine['system']}; commit "
        f"{machine['commit']}; {versions}. {settings['records']:,} rows, {settings['threads']} threads{large}. "
        "Whole processes; times are medians, memory is the largest of all timed runs. "
        "`benches/README.md` says how it is measured and what is set for each engine.",
    ]


def section(results, name, svg):
    """A workload: its table, what was compared, and what has to be known."""
    workload = results.content["workloads"][name]
    lines = [f"## {name}: {WORKLOADS[name][0]}", ""]
    lines += [f"- input {source}: {found['files']:,} file{'s' * (found['files'] > 1)}, {found['bytes'] / 1e9:.2f} GB"
              for source, found in workload["inputs"].items()]
    lines += ["", *table(results.rows(name)), "", f"![{name}]({svg})"]
    if workload["equal"]:
        differing = [f"{entry['engine']} ({entry['case']})" for entry in workload["equal"] if not entry["equal"]]
        said = f"Tables differ: {', '.join(differing)}." if differing else "equal in every one."
        lines += ["", f"{len(workload['equal'])} comparisons of tables: {said}"]
    notes = [note.splitlines()[0] for note in workload["notes"]]
    return [*lines, "", *(f"- {note}" for note in notes)] if notes else lines


def table(rows):
    """The medians, each beside Tidewater's in the same case."""
    ours = {row["case"]: row["wall_seconds"] for row in reversed(rows)
            if row["engine"].startswith("tidewater") and "wall_seconds" in row}
    lines = ["| case | engine | runs | wall | CPU | memory | wall / Tidewater's | |", "|---" * 8 + "|"]
    for row in rows:
        if not row["total"] and "error" not in row:
            continue
        cells = [row["case"], row["engine"], f"{row['done']} of {row['total']}"]
        if row["done"]:
            base = ours.get(row["case"])
            cells += [seconds(row["wall_seconds"]), seconds(row["user_seconds"] + row["system_seconds"]),
                      f"{row['peak_memory_bytes'] / 1e9:.2f} GB", f"{row['wall_seconds'] / base:.2f}" if base else "–"]
        else:
            cells += ["–"] * 4
        cells.append(also(row))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def seconds(value):
    """A time with three digits that matter."""
    return f"{value:.3f} s" if value < 10 else f"{value:.1f} s"


def also(row):
    """Further figures, and why a run failed."""
    told = [f"{label} {form.format(row[key] * factor)}" for key, (label, form, factor) in FIGURES.items() if key in row]
    if "error" in row:
        told.append("failed: " + row["error"].strip().splitlines()[0])
        if row["error"].startswith("exit code"):
            told[-1] += ": " + row["error"].strip().splitlines()[-1][:200]
    return ", ".join(told).replace("|", "\\|")


def settings():
    """The engines and what is set for each, for --list."""
    return [f"{name:16} {engine.settings}" for name, engine in ENGINES.items()]
