"""Finds or makes the Python environment that holds the peers, outside the source tree.

Its place is TIDEWATER_BENCH_VENV, or tidewater-bench/venv in the user's cache directory. Packages are those of
requirements.txt, each installed when it is first needed, so that one that cannot be had does not stop the others.
"""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

REQUIREMENTS = pathlib.Path(__file__).resolve().parent.parent / "requirements.txt"


class Missing(Exception):
    """A package that could not be installed."""


def location():
    """Where the environment is, made or not."""
    if chosen := os.environ.get("TIDEWATER_BENCH_VENV"):
        return pathlib.Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "tidewater-bench" / "venv"


def interpreter():
    """The environment's Python; makes the environment when there is none."""
    python = location() / "bin" / "python"
    if not python.exists():
        print(f"making a Python environment in {location()}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", location()], check=True)
    return python


def requirements():
    """The pinned packages: {name: requirement}."""
    lines = (line.split("#")[0].strip() for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines())
    return {re.split(r"[=<>~! \[]", line, maxsplit=1)[0]: line for line in lines if line}


def install(*packages):
    """Installs those of `packages` that the environment lacks.

    Raises Missing with pip's last lines where that fails.
    """
    python, pinned = interpreter(), requirements()
    present = versions(packages)
    wanted = [pinned[name] for name in packages if pinned[name] != f"{name}=={present[name]}"]
    if not wanted:
        return
    print(f"installing {', '.join(wanted)}", file=sys.stderr)
    done = subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Missing(f"pip install {' '.join(wanted)} failed: {done.stdout.strip()[-500:]}")


def versions(packages):
    """The installed versions in the environment: {name: version or None}."""
    script = (
        "import importlib.metadata as m, json, sys\n"
        "def v(n):\n"
        "    try: return m.version(n)\n"
        "    except m.PackageNotFoundError: return None\n"
        "print(json.dumps({n: v(n) for n in sys.argv[1:]}))"
    )
    done = subprocess.run([interpreter(), "-c", script, *packages], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def ensure(*packages):
    """For scripts that import `packages` themselves: returns when they can be, and until then replaces this process by
    one in the environment."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if not missing:
        return
    install(*packages)
    if pathlib.Path(sys.prefix).resolve() == location().resolve():
        sys.exit(f"{location()} lacks {', '.join(missing)}: remove the directory and run again")
    python = interpreter()
    os.execv(python, [str(python), *sys.argv])
