"""An Airflow of the tests' own: SQLite, a scheduler with local workers, free ports on loopback."""

import json
import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

PROCESSES = {
    "api-server": [],
    "scheduler": ["--skip-serve-logs"],
    "dag-processor": [],
}
START_SECONDS = 180
STOP_SECONDS = 30
ENDED = ("success", "failed")


class Airflow:
    """Starts with `start`, ends with `stop`. Everything that it writes is in `home`."""

    def __init__(self, environment, home, dags):
        self.program = environment / "bin" / "airflow"
        self.home = home
        self.dags = dags
        self.running = []
        self.token = None
        self.url = f"http://127.0.0.1:{free_port()}"
        self.variables = self.settings()

    def settings(self):
        """Environment variables: the user's, without those of another Airflow."""
        port = self.url.rsplit(":", 1)[1]
        options = {
            "CORE__DAGS_FOLDER": self.dags,
            "CORE__LOAD_EXAMPLES": False,
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": 2,
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": True,
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow.db",
            "API__HOST": "127.0.0.1",
            "API__PORT": port,
            "API__BASE_URL": self.url,
            "API__WORKERS": 1,
            "API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": 1,
            "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.5,
            # A busy machine is not a failure.
            "WORKERS__EXECUTION_API_TIMEOUT": 60,
            "USAGE_DATA_COLLECTION__ENABLED": False,
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        ours = {f"AIRFLOW__{name}": str(value) for name, value in options.items()}
        # The programs of a virtual environment call each other by name.
        path = f"{self.program.parent}{os.pathsep}{os.environ['PATH']}"
        return {**kept, **ours, "AIRFLOW_HOME": str(self.home), "PATH": path, "NO_PROXY": "127.0.0.1"}

    def start(self):
        subprocess.run(
            [self.program, "db", "migrate"], env=self.variables, check=True, capture_output=True, timeout=START_SECONDS
        )
        for name, arguments in PROCESSES.items():
            log = open(self.home / f"{name}.log", "wb")
            process = subprocess.Popen(
                [self.program, name, *arguments],
                env=self.variables, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )
            log.close()
            self.running.append((name, process))
        self.wait("an answer of the API server", START_SECONDS, self.log_in)

    def stop(self):
        """Ends the processes with their children, and nothing else."""
        for _, process in self.running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for _, process in self.running:
            try:
                process.wait(max(0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()

    def wait(self, what, seconds, condition):
        """The first true value of `condition`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for name, process in self.running:
                if process.poll() is not None:
                    raise RuntimeError(f"airflow {name} ended:\n{tail(self.home / f'{name}.log')}")
            if value := condition():
                return value
            time.sleep(0.5)
        logs = "\n".join(f"-- {name}\n{tail(self.home / f'{name}.log')}" for name, _ in self.running)
        raise TimeoutError(f"no {what} in {seconds} s\n{logs}")

    def log_in(self):
        try:
            self.token = self.call("GET", "/auth/token")["access_token"]
        except (urllib.error.URLError, ConnectionError):
            return None
        return self.token

    def call(self, method, path, body=None):
        """The JSON answer of the REST API; None for a thing that is not there."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Accept": "application/json"}
            | ({"Authorization": f"Bearer {self.token}"} if self.token else {}),
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode()}") from error
        return json.loads(text) if text else {}

    def set_variable(self, key, value):
        """Sets an Airflow variable, or removes it for None."""
        self.call("DELETE", f"/api/v2/variables/{key}")
        if value is not None:
            self.call("POST", "/api/v2/variables", {"key": key, "value": value})

    def dag(self, dag):
        """The description of a DAG, once it was read."""
        return self.wait(f"DAG {dag}", 60, lambda: self.call("GET", f"/api/v2/dags/{dag}"))

    def import_errors(self):
        return self.call("GET", "/api/v2/importErrors")["import_errors"]

    def unpause(self, dag):
        self.call("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})

    def trigger(self, dag):
        """The id of a new run."""
        return self.call("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None})["dag_run_id"]

    def runs(self, dag):
        return self.call("GET", f"/api/v2/dags/{dag}/dagRuns")["dag_runs"]

    def ended(self, dag, run, seconds=300):
        """A run that has ended, with its tasks by name."""
        def look():
            found = self.call("GET", f"/api/v2/dags/{dag}/dagRuns/{run}")
            return found if found["state"] in ENDED else None

        found = self.wait(f"end of run {run}", seconds, look)
        tasks = self.call("GET", f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
        return found, {task["task_id"]: task for task in tasks}

    def xcom(self, dag, run, task):
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value"
        entry = self.call("GET", path)
        return entry and entry["value"]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def tail(path, lines=20):
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
