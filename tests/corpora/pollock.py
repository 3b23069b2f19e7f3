#!/usr/bin/env python3
"""Scores of the Pollock benchmark for Tidewater, over a folder that holds the benchmark's files. Fetches nothing.

    python3 tests/corpora/pollock.py FOLDER --binary target/release/tidewater

FOLDER has csv/NAME, clean/NAME and parameters/NAME_parameters.json. Every file is read with the options that its
parameters say. The measures are those of the benchmark: success, and precision, recall and F1 of header, records and
cells; a file's score is their sum, ten at most.
"""

import argparse
import collections
import csv
import json
import pathlib
import subprocess
import tempfile

ENCODINGS = {"ascii": "utf-8", "utf-8": "utf-8", "utf8": "utf-8", "latin-1": "latin1", "iso-8859-1": "latin1"}


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def name(column, at):
    return '"' + (column or f"c{at}").replace('"', '""') + '"'


def options(parameters, delimiter):
    """The options that say what the parameters say."""
    quote = parameters.get("quotechar") or ""
    escape = parameters.get("escapechar") or ""
    chosen = {
        "delimiter": delimiter.replace("\t", "\\t"),
        "quote": quote,
        "skip_lines": str(parameters.get("preamble_lines") or 0),
        "encoding": ENCODINGS.get((parameters.get("encoding") or "utf-8").lower(), parameters.get("encoding")),
        "line_end": "any",
    }
    if escape and escape != quote and escape != "\0":
        chosen["escape"] = escape
    header_lines = int(parameters.get("header_lines") or 0)
    if header_lines == 0:
        chosen["has_header"] = "false"
    else:
        chosen["column_names"] = "position"
        chosen["header_lines"] = str(header_lines)
    return chosen


def job(source, columns, chosen, output):
    declared = ", ".join(f"{column} TEXT" for column in columns)
    written = ", ".join(f"{quoted(key)} {quoted(value)}" for key, value in chosen.items())
    return (
        f"CREATE EXTERNAL TABLE t ({declared}) STORED AS CSV LOCATION {quoted(str(source))} OPTIONS ({written});\n"
        f"CREATE MATERIALIZED VIEW r AS SELECT * FROM t;\nCOPY r TO {quoted(str(output))} STORED AS CSV;\n"
    )


def read(path, **dialect):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file, **dialect))


def scores(found, expected):
    """Precision, recall and F1 of two multisets."""
    found, expected = collections.Counter(found), collections.Counter(expected)
    common = sum((found & expected).values())
    if not found and not expected:
        return 1.0, 1.0, 1.0
    precision = common / sum(found.values()) if found else 0.0
    recall = common / sum(expected.values()) if expected else 0.0
    both = precision + recall
    return precision, recall, 2 * precision * recall / both if both else 0.0


def score(binary, folder, source):
    parameters = json.loads((folder / "parameters" / f"{source.name}_parameters.json").read_text())
    clean = read(folder / "clean" / source.name)
    header, records = (clean[0], clean[1:]) if parameters.get("header_lines") else ([], clean)
    names = list(dict.fromkeys(header)) if len(set(header)) == len(header) else []
    width = max((len(record) for record in clean), default=1)
    columns = [name(names[at] if at < len(names) else "", at) for at in range(width)]
    with tempfile.TemporaryDirectory() as place:
        output = pathlib.Path(place) / "r"
        text = job(source, columns, options(parameters, parameters.get("delimiter") or ","), output)
        sql = pathlib.Path(place) / "job.sql"
        sql.write_text(text)
        ran = subprocess.run([binary, "run", sql, "--quiet"], capture_output=True, timeout=120)
        files = sorted(output.rglob("*.csv")) if ran.returncode == 0 else []
        tables = [read(file) for file in files]
    if not tables:
        return 0.0
    found_header = tables[0][0] if tables[0] else []
    found = [tuple(record) for table in tables for record in table[1:]]
    expected = [tuple(record) + ("",) * (width - len(record)) for record in records]
    cells = lambda rows: [cell for row in rows for cell in row]
    of_header = scores(found_header, header or found_header)
    return 1.0 + sum(of_header) + sum(scores(found, expected)) + sum(scores(cells(found), cells(expected)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--binary", default="target/release/tidewater")
    parser.add_argument("--weights", type=pathlib.Path, help="a JSON object of weights by file name")
    arguments = parser.parse_args()
    weights = json.loads(arguments.weights.read_text()) if arguments.weights else {}
    results = {}
    for source in sorted((arguments.folder / "csv").iterdir()):
        results[source.name] = score(arguments.binary, arguments.folder, source)
    if not results:
        raise SystemExit(f"{arguments.folder}/csv holds no files")
    for file, value in sorted(results.items(), key=lambda result: result[1]):
        if value < 10:
            print(f"{value:.3f} {file}")
    print(f"{len(results)} files, simple {sum(results.values()) / len(results):.3f}")
    if weights:
        total = sum(weights.get(file, 0) for file in results)
        weighted = sum(value * weights.get(file, 0) for file, value in results.items()) / total
        print(f"weighted {weighted:.3f}")


if __name__ == "__main__":
    main()
