"""Finds or makes the Python environment that holds the peers, outside the source tree.

The interpreter that runs a script is kept when it can import what the script needs. Otherwise a virtual environment is
made once and the script starts again in it. Its place is TIDEWATER_BENCH_VENV, or tidewater-bench/venv in the user's
cache directory.
"""

import importlib.util
import os
import pathlib
import subprocess
import sys

REQUIREMENTS = pathlib.Path(__file__).with_name("requirements.txt")


def ensure(*modules):
    """Returns when all `modules` can be imported; replaces this process by one in the environment until then."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if not missing:
        return
    venv = location()
    if pathlib.Path(sys.prefix).resolve() == venv.resolve():
        sys.exit(f"{venv} lacks {', '.join(missing)}: remove the directory and run again")
    python = venv / "bin" / "python"
    if not (venv / ".complete").exists():
        print(f"making a Python environment in {venv}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", REQUIREMENTS], check=True)
        (venv / ".complete").touch()
    os.execv(python, [str(python), *sys.argv])


def location():
    """Where the environment is, made or not."""
    if chosen := os.environ.get("TIDEWATER_BENCH_VENV"):
        return pathlib.Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "tidewater-bench" / "venv"
