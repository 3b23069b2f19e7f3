"""What a measurement was made on."""

import datetime
import os
import pathlib
import platform
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[3]


def machine():
    """Processor, memory, system and the commit that is measured."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "memory_bytes": memory_bytes(),
        "system": platform.platform(),
        "commit": output_of(["git", "-C", ROOT, "describe", "--always", "--dirty"]),
    }


def memory_bytes():
    """The memory of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def cpu_name():
    """The processor's model name."""
    try:
        info = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    return found[1] if found else platform.machine()


def file_stem():
    """How the day's results on this machine are called."""
    slug = re.sub(r"[^a-z0-9]+", "-", cpu_name().lower()).strip("-")
    return f"{datetime.datetime.now(datetime.timezone.utc).date()}-{slug}"


def output_of(arguments):
    """What a command prints, or None when it cannot be had."""
    try:
        done = subprocess.run(arguments, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
