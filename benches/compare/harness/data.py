"""Makes the inputs: transactions as CSV by `tidewater generate`, the same as Parquet, and what happens to them."""

import os
import pathlib
import random
import shutil
import subprocess
import tempfile

from .engines import SCRIPTS

LATE_ROWS = 1000
# Where directories are set aside that are not needed any more, beside each.
ASIDE = "aside"


class Data:
    """The inputs below a directory, each made when it is first asked for."""

    def __init__(self, directory, binary, python, say):
        self.directory, self.binary, self.python, self.say = pathlib.Path(directory), binary, python, say

    def csv(self, records, layout):
        """A directory of one CSV file (`single`) or one a day (`daily`)."""
        target = self.directory / f"{layout}-{records}-csv"
        return self.make(target, [self.binary, "generate", "--records", records, "--files", layout, "--quiet", "--out"])

    def parquet(self, records, layout):
        """The same rows as Parquet, file by file."""
        source = self.csv(records, layout)
        target = self.directory / f"{layout}-{records}-parquet"
        return self.make(target, [self.python, SCRIPTS / "duckdb_convert.py", source])

    def make(self, target, command):
        """Runs a command that fills the directory that it takes as its last argument."""
        if not target.exists():
            self.say(f"making {target}")
            part = target.with_name(target.name + ".part")
            shutil.rmtree(part, ignore_errors=True)
            subprocess.run([str(word) for word in [*command, part]], check=True)
            part.rename(target)
        return target

    def copy(self, source, target):
        """A directory with the same files, for changing: links, since files are replaced and never written to."""
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for file in source.iterdir():
            os.link(file, target / file.name)
        return target


def warm(directory):
    """Reads all files once, into the page cache; returns their number and bytes."""
    files, size = 0, 0
    for path in sorted(directory.iterdir()):
        with open(path, "rb", buffering=0) as file:
            while piece := file.read(1 << 24):
                size += len(piece)
        files += 1
    return {"files": files, "bytes": size}


def days(directory):
    """The daily files."""
    return sorted(path for path in directory.iterdir() if "late" not in path.name)


def late_file(directory, number):
    """A file of rows like those of one day, with ids of their own."""
    random.seed(number)
    files = days(directory)
    day = files[len(files) // 6]
    header, *rows = day.read_text(encoding="utf-8").splitlines()
    lines = (f"LATE{number:03}{at:06}," + random.choice(rows).split(",", 1)[1] for at in range(LATE_ROWS))
    replace(directory / f"{day.stem}-late-{number}.csv", "\n".join([header, *lines]) + "\n")


def correct(directory):
    """Every row of one day changes: what was approved is declined, and the other way round."""
    files = days(directory)
    day = files[len(files) // 4]
    text = day.read_text(encoding="utf-8")
    replace(day, text.replace(",approved,", ",?,").replace(",declined,", ",approved,").replace(",?,", ",declined,"))


def replace(path, text):
    """A new file at `path`, there at once and whole; one that was there keeps its bytes under its other names."""
    part = path.parent.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.rename(path)


def size(directory):
    """What is stored below a directory, in bytes on disk."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return sum(path.stat().st_blocks * 512 for path in files)


def remove(*directories):
    """Takes directories away and waits until the disk is at rest. Their files are emptied and set aside until the end: ext4
    looks at every inode that was freed in the last minute, one after the other, before it gives out a new one, and the
    next run, whichever engine's it is, would be timed with that (a quarter of a second for 750 files)."""
    for directory in directories:
        if not directory.exists():
            continue
        for path in directory.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1:
                os.truncate(path, 0)
        aside = directory.parent / ASIDE
        aside.mkdir(exist_ok=True)
        directory.rename(pathlib.Path(tempfile.mkdtemp(dir=aside)) / directory.name)
    os.sync()
