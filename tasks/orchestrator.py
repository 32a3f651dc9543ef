"""Airflow seen from outside: its settings, its secrets and its REST API. Nothing here imports it.

    airflow = Airflow("http://127.0.0.1:8080", password(root))
    run_id = airflow.trigger("finetune_pipeline")

REST reference: https://airflow.apache.org/docs/apache-airflow/stable/stable-rest-api-ref.html
"""

import json
import os
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from tasks.data.files import read_json
from tasks.devices import devices
from tasks.errors import LuthierError

USER = "admin"
DEVICE = "device"  # the pool that dags/stage.py names: who trains or answers waits for a slot of it
HEARTBEATS = {"scheduler": "scheduler", "dag-processor": "dag_processor", "triggerer": "triggerer"}


class ServiceError(LuthierError):
    """Airflow or MLflow does not start, does not answer or refuses."""


def password(root: Path) -> str:
    """The password of USER, in a file that only its owner can read."""
    return str(read_json(root / ".airflow/passwords.json")[USER])


def environment(root: Path, port: int) -> dict[str, str]:
    """Every setting of Airflow as environment variables; secrets are made once and kept in `.airflow/`."""
    home = root / ".airflow"
    home.mkdir(exist_ok=True)
    home.chmod(0o700)
    _secret(home / "passwords.json", lambda: json.dumps({USER: secrets.token_urlsafe(12)}))
    address = f"http://127.0.0.1:{port}"
    settings = {
        "CORE__DAGS_FOLDER": root / "dags",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": 16,  # each is a process that waits; pools say what works. Alerts need a free one
        "CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # no look-up in DNS at every start
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": home / "passwords.json",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": False,
        "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "CORE__FERNET_KEY": _secret(home / "fernet", lambda: urlsafe_b64encode(os.urandom(32)).decode()),
        "API__SECRET_KEY": _secret(home / "api_secret", lambda: secrets.token_urlsafe(32)),
        "API_AUTH__JWT_SECRET": _secret(home / "jwt_secret", lambda: secrets.token_urlsafe(64)),
        "API__HOST": "127.0.0.1",
        "API__PORT": port,
        "API__BASE_URL": address,
        "API__WORKERS": 1,
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        # Training takes every core: parse seldom and one file at a time, and forgive a late answer.
        "DAG_PROCESSOR__PARSING_PROCESSES": 1,
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 60,
        # After a kill -9: of a task, noticed in 90 s; of the scheduler, its tasks are started again in under a minute.
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 90,
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": 15,
        "WORKERS__EXECUTION_API_TIMEOUT": 60,
        "WORKERS__MAX_FAILED_HEARTBEATS": 20,
    }
    return {
        "AIRFLOW_HOME": str(home),
        "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1", "localhost"])),
    } | {f"AIRFLOW__{key}": str(value) for key, value in settings.items()}


def _secret(path: Path, make: Callable[[], str]) -> str:
    """Read a secret, or make it once, readable by its owner alone."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(make())
    return path.read_text()


class Airflow:
    """A signed-in client of one Airflow.

    Raises:
        ServiceError: from every method, when Airflow does not answer or refuses.
    """

    def __init__(self, url: str, password: str) -> None:
        self.url = url
        self._password = password
        self._token = ""
        # The machine's proxy settings do not concern 127.0.0.1; a busy core may make an answer late.
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=60)

    def __enter__(self) -> "Airflow":
        return self

    def __exit__(self, *_error: object) -> None:
        self._client.close()

    def call(self, method: str, path: str, body: object = None, allow: tuple[int, ...] = (), **query: Any) -> Any:
        """Send one request to `/api/v2/<path>`; the answer's JSON, or None for a status in `allow`."""
        answer = self._request(method, f"/api/v2/{path}", body, query)
        if answer.status_code in allow:
            return None
        if answer.is_error:
            raise ServiceError(f"Airflow refused {method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json()

    def _request(self, method: str, path: str, body: object, query: dict[str, Any]) -> httpx.Response:
        for attempt in range(5):
            try:
                headers = {"Authorization": f"Bearer {self._signed_in()}", "Accept": "application/json"}
                return self._client.request(method, path, json=body, params=query, headers=headers)
            except httpx.TransportError as error:
                if method == "POST" or attempt == 4:  # a POST may have been done: never twice
                    raise ServiceError(f"Airflow at {self.url} does not answer ({error}): see .luthier/logs.") from None
                time.sleep(2)
        raise AssertionError("unreachable")

    def _signed_in(self) -> str:
        if self._token:
            return self._token
        answer = self._client.post("/auth/token", json={"username": USER, "password": self._password})
        if answer.is_error:
            raise ServiceError(
                f"Airflow at {self.url} does not accept the password in .airflow/passwords.json "
                f"({answer.status_code}): run 'luthier down', then 'luthier up'."
            )
        self._token = str(answer.json()["access_token"])
        return self._token

    def waiting_for(self, services: set[str], since: float) -> set[str]:
        """Which of these services have not reported since `since` (seconds since the epoch)."""
        try:
            health = self._client.get("/api/v2/monitor/health", timeout=10).raise_for_status().json()
        except httpx.HTTPError:
            return {"api-server"}
        waiting = set()
        for name in services & HEARTBEATS.keys():
            beat = (health[HEARTBEATS[name]] or {}).get(f"latest_{HEARTBEATS[name]}_heartbeat")
            if beat is None or datetime.fromisoformat(beat).timestamp() < since:
                waiting.add(name)
        return waiting

    def make_pool(self) -> None:
        """Make the pool of devices, where there is none; a task that names a missing pool waits for ever."""
        if self.call("GET", f"pools/{DEVICE}", allow=(404,)) is None:
            told = "one training, or one model that answers, for each slot"
            self.call("POST", "pools", {"name": DEVICE, "slots": len(devices()), "description": told})

    def known(self, dag_id: str) -> bool:
        """Has this DAG been read from its file?"""
        return self.call("GET", f"dags/{dag_id}", allow=(404,)) is not None

    def import_errors(self) -> list[str]:
        """What is wrong with the DAG files, one text a file."""
        errors = self.call("GET", "importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}" for error in errors]

    def unpause(self, dag_id: str) -> None:
        """Let a DAG run; a paused one is triggered in vain."""
        self.call("PATCH", f"dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str) -> str:
        """Start a run of a DAG; the run's id."""
        return str(self.call("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None})["dag_run_id"])

    def state(self, dag_id: str, run_id: str) -> str:
        """queued, running, success or failed."""
        return str(self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Task instances of a run: task_id, state, start_date, end_date, duration, try_number."""
        found = self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"]
        return list(found)

    def log(self, dag_id: str, run_id: str, task: dict[str, Any]) -> list[str]:
        """The lines that the last try of a task, or of one of its mapped ones, wrote."""
        where = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task['task_id']}/logs/{task['try_number']}"
        content = self.call("GET", where, full_content=True, map_index=task.get("map_index", -1))["content"]
        return [line["event"] if isinstance(line, dict) else line for line in content]

    def triggered_by(self, dag_id: str, run_id: str) -> list[tuple[str, str]]:
        """(dag id, run id) of the runs that this run's assets started."""
        # Airflow 3.3 answers 500 as long as such a run is queued and has no start date yet.
        found = self.call("GET", "assets/events", source_dag_id=dag_id, source_run_id=run_id, allow=(500,))
        events = found["asset_events"] if found else []
        return [(run["dag_id"], run["run_id"]) for event in events for run in event["created_dagruns"]]

    def stop(self, dag_id: str, run_id: str) -> None:
        """Mark a run failed; Airflow ends its running task within seconds."""
        self.call("PATCH", f"dags/{dag_id}/dagRuns/{run_id}", {"state": "failed"})
