"""Runs one process to its end and says what it took: wall and CPU time, and the memory of it and its children."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

POLL = 0.05
PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Limits:
    """When a process is ended: after so many seconds, or beyond so many bytes of memory."""

    seconds: float
    memory_bytes: int


def measure(command, limits, cwd=None, env=None):
    """Runs `command`. Returns (what it took, its standard output).

    The first has exit_code, wall_seconds, user_seconds, system_seconds, peak_memory_bytes and, of a process that
    failed, error: why, and the last lines of its standard error.
    """
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        started = time.perf_counter()
        # A session of its own: what it starts ends with it.
        process = subprocess.Popen([str(part) for part in command], stdout=stdout, stderr=stderr,
                                   stdin=subprocess.DEVNULL, cwd=cwd, env=env, start_new_session=True)
        tree = Tree(process.pid, limits, started)
        tree.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
        finally:
            tree.stop()
        process.returncode = os.waitstatus_to_exitcode(status)
        # Linux counts in KiB, macOS in bytes.
        largest = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        run = {
            "exit_code": process.returncode,
            "wall_seconds": round(seconds, 4),
            "user_seconds": round(max(usage.ru_utime, tree.user), 3),
            "system_seconds": round(max(usage.ru_stime, tree.system), 3),
            "peak_memory_bytes": max(largest, tree.peak),
        }
        if process.returncode != 0:
            run["error"] = reason(process.returncode, tree.ended, text(stderr))
        return run, text(stdout)


def reason(code, ended, stderr):
    """Why a process failed, in a line or a few."""
    last = "\n".join(stderr.strip().splitlines()[-12:])[-2000:]
    if ended:
        return ended
    if code == -signal.SIGKILL:
        return "killed by the system, most likely out of memory (SIGKILL)"
    if code < 0:
        return f"ended by {signal.Signals(-code).name}\n{last}"
    memory = ("OutOfMemory", "Out of Memory", "out of memory", "MemoryError", "bad_alloc", "memory allocation")
    said = "out of memory: " if any(word in stderr for word in memory) else ""
    return f"{said}exit code {code}\n{last}"


def text(file):
    """All that was written to a temporary file."""
    file.seek(0)
    return file.read().decode(errors="replace")


class Tree(threading.Thread):
    """Watches a process and all that it starts, and ends them at the limits. Without /proc it watches the time alone."""

    def __init__(self, pid, limits, started):
        super().__init__(daemon=True)
        self.pid, self.limits, self.started = pid, limits, started
        self.peak, self.user, self.system, self.ended = 0, 0.0, 0.0, None
        self.seen, self.done = {}, threading.Event()
        try:
            # When memory runs out the system ends this one, and neither the harness nor the machine.
            pathlib.Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
        except OSError:
            pass

    def run(self):
        while not self.done.wait(POLL):
            memory = self.look()
            if memory > self.limits.memory_bytes:
                self.end(f"ended at its memory limit of {self.limits.memory_bytes / 1e9:.1f} GB")
            elif time.perf_counter() - self.started > self.limits.seconds:
                self.end(f"ended at its time limit of {self.limits.seconds:.0f} s")

    def look(self):
        """Adds up memory and time of the session's processes; returns the memory."""
        memory = 0
        for pid in session(self.pid):
            try:
                stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
            except OSError:
                continue
            fields = stat.rpartition(")")[2].split()
            memory += int(fields[21]) * PAGE
            self.seen[pid] = (int(fields[11]) / TICK, int(fields[12]) / TICK)
        self.peak = max(self.peak, memory)
        return memory

    def end(self, why):
        self.ended = self.ended or why
        kill(self.pid)

    def stop(self):
        """Ends what is left of the tree, and adds up."""
        self.done.set()
        self.join()
        kill(self.pid)
        self.user = sum(user for user, _ in self.seen.values())
        self.system = sum(system for _, system in self.seen.values())


def session(leader):
    """The processes of a session: its leader's descendants, also those whose parents are gone."""
    found = []
    try:
        entries = os.listdir("/proc")
    except OSError:
        return found
    for entry in entries:
        if entry.isdigit():
            try:
                if os.getsid(int(entry)) == leader:
                    found.append(int(entry))
            except OSError:
                pass
    return found


def kill(leader):
    """Ends a process group."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except OSError:
        pass
