#!/usr/bin/env python3
"""How fast `follow` keeps up with a topic, with a real broker on the same machine.

    benches/kafka/follow.py [--rows 5000000] [--rate 20000] [--seconds 40] [--tidewater target/release/tidewater]

Starts the broker of the tests (`tests/kafka/broker fetch` once before), feeds it card transactions as JSON with `tidewater
produce`, and measures jobs/card-kafka.sql, state and thirteen Parquet tables included:

- backlog: so many rows wait when `follow` starts; rows a second from its start to the commit of the last one.
- live: rows come at that rate for so long, `--every 1s`; of each message the time from its timestamp, which is that of
  `produce`, to the commit that holds it.

Prints one JSON object. kcat (Debian package kcat) tells the timestamps.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
OFFSETS = re.compile(r".*/(\d+), offsets (\d+) to (\d+)")


class Bench:
    """A broker, a binary, and a place for what they leave."""

    def __init__(self, binary, work):
        self.binary, self.work = binary.resolve(), work
        started = subprocess.run([ROOT / "tests/kafka/broker", "start", work / "broker"], check=True, text=True,
                                 stdout=subprocess.PIPE)
        self.brokers = re.search(r"bootstrap=(\S+)", started.stdout).group(1)

    def stop(self):
        subprocess.run([ROOT / "tests/kafka/broker", "stop", self.work / "broker"], check=True)

    def rows(self, count):
        """A CSV file of so many transactions."""
        directory = self.work / f"rows-{count}"
        subprocess.run([self.binary, "generate", "--records", str(count), "--files", "single", "--out", directory,
                        "--quiet"], check=True)
        return directory

    def produce(self, topic, files, *more):
        subprocess.run([self.binary, "produce", files, "--to", f"kafka://{self.brokers}/{topic}", "--partitions", "4",
                        "--quiet", *more], check=True, stdout=subprocess.DEVNULL)

    def follow(self, topic):
        """A follower of a topic, from nothing."""
        return subprocess.Popen(
            [self.binary, "follow", ROOT / "jobs/card-kafka.sql", "--set", f"brokers=kafka://{self.brokers}", "--set",
             f"topic={topic}", "--set", f"output={self.work / topic / 'out'}", "--state", self.work / topic / "state",
             "--every", "1s", "--json", "--quiet"], text=True, stdout=subprocess.PIPE)

    def until(self, follower, rows):
        """Its commits, until it has read so many rows."""
        commits, taken = [], 0
        while taken < rows:
            commits.append(json.loads(follower.stdout.readline()))
            taken += commits[-1]["rows_read"]
        follower.send_signal(signal.SIGTERM)
        follower.wait(60)
        return commits

    def backlog(self, rows):
        self.produce("backlog", self.rows(rows))
        began = time.time()
        commits = self.until(self.follow("backlog"), rows)
        seconds = commits[-1]["committed_at_ms"] / 1000 - began
        return {"rows": rows, "seconds": round(seconds, 2), "rows_per_second": round(rows / seconds),
                "epochs": len(commits), "peak_memory_bytes": commits[-1]["peak_memory_bytes"]}

    def live(self, rate, seconds):
        rows = rate * seconds
        files = self.rows(rows)
        self.produce("live", self.rows(1))
        # Gigabytes that the backlog left to be written would be written by the first commits.
        os.sync()
        follower = self.follow("live")
        # Commits are read as they come, or the follower would wait for its reader.
        with concurrent.futures.ThreadPoolExecutor() as pool:
            produced = pool.submit(self.produce, "live", files, "--rate", str(rate))
            commits = self.until(follower, rows + 1)
            produced.result()
        sent = self.timestamps("live")
        latencies = sorted(
            commit["committed_at_ms"] - sent[partition, offset]
            for commit in commits[1:]
            for delivery in commit["deliveries"]
            for partition, first, last in [map(int, OFFSETS.match(delivery["path"]).groups())]
            for offset in range(first, last + 1))
        at = lambda share: latencies[min(int(len(latencies) * share), len(latencies) - 1)]
        return {"rows": len(latencies), "rate": rate, "latency_ms_p50": at(0.5), "latency_ms_p99": at(0.99),
                "latency_ms_max": latencies[-1], "epochs": len(commits),
                "peak_memory_bytes": commits[-1]["peak_memory_bytes"]}

    def timestamps(self, topic):
        dumped = subprocess.run(["kcat", "-C", "-b", self.brokers, "-t", topic, "-e", "-q", "-f", "%p %o %T\n"],
                                check=True, text=True, stdout=subprocess.PIPE)
        lines = (tuple(map(int, line.split())) for line in dumped.stdout.splitlines())
        return {(partition, offset): at for partition, offset, at in lines}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000, help="rows of the backlog")
    parser.add_argument("--rate", type=int, default=20_000, help="rows a second, live")
    parser.add_argument("--seconds", type=int, default=40, help="how long they come")
    parser.add_argument("--tidewater", type=pathlib.Path, default=ROOT / "target/release/tidewater")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(args.tidewater, pathlib.Path(work))
        try:
            print(json.dumps({"backlog": bench.backlog(args.rows), "live": bench.live(args.rate, args.seconds)}, indent=1))
        finally:
            bench.stop()


if __name__ == "__main__":
    main()
