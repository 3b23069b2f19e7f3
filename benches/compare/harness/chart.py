"""A bar chart of a workload as SVG: a row for each case and engine, time on the left and memory on the right."""

from xml.sax.saxutils import escape

ROW, BAR, LABEL, PANEL, VALUE, TOP = 22, 14, 330, 250, 90, 64
OURS, THEIRS, FAILED = "#1f6f8b", "#b8b8b8", "#c0392b"


def draw(title, rows):
    """The chart; engines that failed have a row that says so."""
    rows = [row for row in rows if row["total"] or "error" in row]
    latency = any("p99_ms" in row for row in rows)
    if latency:
        panels = [("p50", "p50_ms", "{:.3g} ms", 1), ("p99", "p99_ms", "{:.3g} ms", 1)]
    else:
        panels = [("wall time", "wall_seconds", "{:.3g} s", 1), ("peak memory", "peak_memory_bytes", "{:.3g} GB", 1e-9)]
    lines, y, case = [], TOP, None
    for row in rows:
        if row["case"] != case:
            case, y = row["case"], y + 8
            lines.append(text(8, y + 12, case, weight="bold"))
            y += ROW
        lines.append(text(20, y + 12, row["engine"]))
        for at, (_, key, form, factor) in enumerate(panels):
            lines += bar(rows, row, key, form, factor, LABEL + at * (PANEL + VALUE), y)
        y += ROW
    heads = [text(LABEL + at * (PANEL + VALUE), TOP - 12, panel[0], weight="bold") for at, panel in enumerate(panels)]
    width, height = LABEL + 2 * (PANEL + VALUE), y + 12
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        text(8, 24, title, size=16, weight="bold"), *heads, *lines, "</svg>", ""])


def bar(rows, row, key, form, factor, x, y):
    """One value as a bar of the panel's scale, with the value beside it."""
    if key not in row:
        return [text(x, y + 12, "failed" if "error" in row else "–", fill=FAILED)] if key != "peak_memory_bytes" else []
    largest = max(other[key] for other in rows if key in other) or 1
    width = max(1, PANEL * row[key] / largest)
    fill = OURS if row["engine"].startswith("tidewater") else THEIRS
    return [f'<rect x="{x}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{fill}"/>',
            text(round(x + width + 5, 1), y + 12, form.format(row[key] * factor))]


def text(x, y, content, size=None, weight=None, fill="#222"):
    """A line of text."""
    more = (f' font-size="{size}"' if size else "") + (f' font-weight="{weight}"' if weight else "")
    return f'<text x="{x}" y="{y}" fill="{fill}"{more}>{escape(content)}</text>'
