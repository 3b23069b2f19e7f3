#!/usr/bin/env python3
"""Scores Tidewater by the Pollock benchmark, over a folder that holds the benchmark's files. Downloads nothing.

    python3 tests/corpora/pollock.py FOLDER --binary target/release/tidewater --weights pollock_weights.json

FOLDER has csv/NAME, clean/NAME and parameters/NAME_parameters.json, as `polluted_files` of the benchmark's repository
has them. Each file is read with the options that its parameters say; columns are TEXT, named and placed as the
parameters say, as the benchmark does for DuckDB. The measures are the benchmark's ten: success, and precision, recall
and F1 of header, records and cells. A file's score is their sum, ten at most. Header names and records are compared
in lower case; the benchmark also compares numbers and dates by value, which is the same for columns of text.

`--git` says that files came from a git checkout, which loses CRLF: they get the line ends that their
parameters say.
"""

import argparse
import collections
import csv
import json
import os
import pathlib
import subprocess
import tempfile

# The column with the name of a row's file.
FILE = "read_from"
# What becomes of rows of a wrong length.
RAGGED = "refuse"
ENCODINGS = {"ascii": "utf-8", "latin-1": "latin1", "iso-8859-1": "latin1"}


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def identifier(name):
    return '"' + name.replace('"', '""') + '"'


def column_names(parameters):
    """The names of the columns, as the benchmark gives them to the systems under test."""
    if parameters["column_names"]:
        return [name.strip() for name in parameters["column_names"]]
    return [f"col_{at}" for at in range(max(int(parameters["n_columns"]), 1))]


def options(parameters):
    """The options that say what the parameters say."""
    quote = parameters["quotechar"] or '"'
    escape = parameters["escapechar"] or quote
    encoding = parameters["encoding"].lower()
    chosen = {
        "has_header": "false",
        "skip_lines": str(int(parameters["preamble_lines"]) + int(parameters["header_lines"])),
        "delimiter": (parameters["delimiter"] or ",").replace("\t", "\\t"),
        "quote": quote,
        "encoding": ENCODINGS.get(encoding, encoding),
        "ragged": RAGGED,
        "min_good_rows": "0",
    }
    if escape != quote:
        chosen["escape"] = escape
    return chosen


def job(parameters, place):
    columns = [f"{identifier(name)} TEXT" for name in column_names(parameters)] + [f"{FILE} TEXT"]
    chosen = options(parameters) | {f"column.{FILE}": "file_name", "on_bad_file": "quarantine"}
    written = ", ".join(f"{quoted(key)} {quoted(value)}" for key, value in chosen.items())
    return (
        f"CREATE EXTERNAL TABLE t ({', '.join(columns)}) STORED AS CSV LOCATION {quoted(f'{place}/in')}\n"
        f"OPTIONS ({written});\n"
        f"CREATE MATERIALIZED VIEW r AS SELECT * FROM t;\nCOPY r TO {quoted(f'{place}/r')} STORED AS CSV;\n"
    )


def rows(path):
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file))


def scores(found, expected):
    """Precision, recall and F1 of two multisets, named and computed as in the benchmark."""
    found, expected = collections.Counter(found), collections.Counter(expected)
    common = sum((found & expected).values())
    if not expected:
        return [1.0, 1.0, 1.0]
    if not common:
        return [0.0, 0.0, 0.0]
    precision, recall = common / sum(expected.values()), common / sum(found.values())
    return [precision, recall, 2 * precision * recall / (precision + recall)]


def score(found, expected):
    """The score of a loaded table, both as rows with the header first."""
    if not expected:
        return 10.0
    lower = lambda row: [cell.lower() for cell in row]
    records = lambda table: ["".join(lower(row)) for row in table[1:]]
    cells = lambda table: [cell for row in table for cell in row]
    of_header = scores(lower(found[0]) if found else [], lower(expected[0]))
    of_records = scores(records(found), records(expected))
    return 1.0 + sum(of_header) + sum(of_records) + sum(scores(cells(found), cells(expected)))


def content(source, parameters, line_ends):
    """The bytes of a file, with the line ends that its parameters say."""
    text = source.read_bytes()
    if line_ends:
        text = text.replace(b"\r\n", b"\n").replace(b"\n", parameters["row_delimiter"].encode() or b"\n")
    return text


def loaded(binary, files, parameters):
    """The tables that Tidewater makes of files with the same parameters, header first. None for one that it refuses."""
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        (place / "in").mkdir()
        for name, text in files.items():
            (place / "in" / name).write_bytes(text)
        (place / "job.sql").write_text(job(parameters, place))
        command = [binary, "run", place / "job.sql", "--quiet", "--json"]
        ran = subprocess.run(command, capture_output=True)
        if ran.returncode != 0:
            raise SystemExit(f"{', '.join(files)}: {ran.stderr.decode(errors='replace')}")
        tables = {name: [column_names(parameters)] for name in files}
        for file in sorted((place / "r").rglob("*.csv")):
            for row in rows(file)[1:]:
                tables[row[-1]].append(row[:-1])
        for bad in json.loads(ran.stdout)["files_set_aside"]:
            tables[pathlib.Path(bad["path"]).name] = None
        return tables


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--binary", default="target/release/tidewater")
    parser.add_argument("--weights", type=pathlib.Path, help="a JSON object of weights by file name")
    parser.add_argument("--git", action="store_true", help="restore the line ends that git lost")
    arguments = parser.parse_args()
    names = sorted(file.name for file in (arguments.folder / "csv").iterdir())
    if not names:
        raise SystemExit(f"{arguments.folder}/csv holds no files")
    groups = collections.defaultdict(dict)
    for name in names:
        text = (arguments.folder / "parameters" / f"{name}_parameters.json").read_text()
        groups[text][name] = content(arguments.folder / "csv" / name, json.loads(text), arguments.git)
    results = {}
    for text, files in groups.items():
        for name, table in loaded(os.path.abspath(arguments.binary), files, json.loads(text)).items():
            expected = rows(arguments.folder / "clean" / name)
            results[name] = 0.0 if table is None else score(table, expected)
    for name, value in sorted(results.items(), key=lambda result: result[1]):
        if value < 9.9995:
            print(f"{value:.3f} {name}")
    print(f"{len(results)} files, simple {sum(results.values()) / len(results):.3f}")
    if arguments.weights:
        weights = json.loads(arguments.weights.read_text())
        total = sum(weights.get(name, 0) for name in names)
        weighted = sum(value * weights.get(name, 0) for name, value in results.items()) / total
        print(f"weighted {weighted:.3f}")


if __name__ == "__main__":
    main()
