"""Deliveries with wrong columns or types: what Great Expectations says of them, and whether Tidewater reads them."""

import json
import subprocess

DELIVERIES = {
    "as_declared": "id,amount,region\n1,2,seoul\n2,3,busan\n",
    "column_missing": "id,amount\n1,2\n2,3\n",
    "column_added": "id,amount,region,note\n1,2,seoul,a\n2,3,busan,b\n",
    "other_order": "amount,region,id\n2,seoul,1\n3,busan,2\n",
    "text_in_number": "id,amount,region\n1,2,seoul\n2,many,busan\n",
}


def compare(work, expectations, command):
    """Delivers each file alone. Returns (what was found, what differs).

    `expectations` is the command that prints what Great Expectations says of a directory's files, and `command(input,
    output)` one that runs Tidewater. A declaration has no order of columns: they are found by their names. So a
    delivery must be refused exactly if it lacks a column, has another one, or has a value of another type.
    """
    directory = work / "deliveries"
    directory.mkdir(parents=True)
    for name, text in DELIVERIES.items():
        (directory / f"{name}.csv").write_text(text, encoding="utf-8")
    done = subprocess.run([*map(str, expectations), str(directory), "--structure"], stdout=subprocess.PIPE, check=True)
    found, lines = json.loads(done.stdout), []
    for name, theirs in found.items():
        words = map(str, command(directory / f"{name}.csv", work / "tables"))
        ran = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        theirs["tidewater_exit_code"] = ran.returncode
        should_be_read = theirs["exist"] and theirs["set"] and theirs["type"]
        if should_be_read != (ran.returncode == 0):
            lines.append(f"{name}: {theirs}: {ran.stderr.strip()}")
    return found, lines
