"""The production stack, really: every service of docker/compose.yaml as a process, and a small project in it.

with Stack.begin(folder) as stack:
    run = stack.trigger({"finetune.seed": 7})
    stack.kill("postgres")          # all of its processes at once; what ended is started again, as an engine would
    stack.ended(run)
    stack.wrong(run, Came.of(root)) # []: as if nothing had happened

Two workers with folders of their own; they share PostgreSQL, Redis, the object store, a bare git repository, and the
folder of task logs, which nothing but a person reads.
"""

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import pytest
import yaml

from tasks import stack
from tasks.orchestrator import Airflow, ServiceError
from tasks.processes import members, recorded
from tasks.runs.asked import slug_of
from tasks.runs.changed import changed
from tasks.stack_settings import HOME, places, secrets
from tests import small

DAG = "finetune_pipeline"
STAGES = ("fetch", "validate", "expand", "finetune", "predict", "evaluate", "register")
LONG_S = 1200.0
MAY_DIFFER = {  # ids and clocks
    "models/training_run.json", "reports/efficiency.json", "reports/evaluation.json", "reports/report.html",
}  # fmt: skip


def lacking() -> str:
    """What this machine lacks for the stack, and what to do; empty: nothing."""
    postgres = shutil.which("postgres") or list(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    wanted = {"PostgreSQL (apt-get install postgresql)": postgres}
    wanted["Redis (apt-get install redis-server)"] = shutil.which("redis-server")
    return ", ".join(name for name, there in wanted.items() if not there)


def require_services() -> None:
    """Skip where a service is not installed; in CI that is a failure."""
    if lack := lacking():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"the stack needs {lack}", pytrace=False)


def project(root: Path, **changes: Any) -> Path:
    """A small project of which a clone has all: table and base model are in git."""
    small.write(root, **changes)
    schedule = root / "dags/schedule.yaml"
    assert 'cron: "0 3 * * *"' in schedule.read_text()  # a test that is at work at three o'clock has one run more
    schedule.write_text(schedule.read_text().replace('cron: "0 3 * * *"', "cron: null     "))
    ignored = root / ".gitignore"
    ignored.write_text(ignored.read_text().replace("/toy/\n", ""))
    small.call(root, "git", "add", "--force", "toy", "data/articles.csv")
    small.commit(root, "with its data")
    return root


def in_parts(root: Path, count: int) -> Path:
    """The same project with so many mapped tasks that share predict's work."""
    schedule = root / "dags/schedule.yaml"
    one, several = "predict_parts: 1 ", f"predict_parts: {count} "
    assert one in schedule.read_text()
    schedule.write_text(schedule.read_text().replace(one, several))
    small.commit(root, f"predict in {count} parts")
    return root


def digests(lock: str) -> dict[str, str]:
    """Each output's md5 in a dvc.lock, but for those that hold ids and clocks."""
    stages = yaml.safe_load(lock)["stages"]
    found = {out["path"]: out["md5"] for one in stages.values() for out in one["outs"]}
    return {path: md5 for path, md5 in found.items() if path not in MAY_DIFFER}


def alone(root: Path, clone: Path, sets: Mapping[str, Any] | None = None) -> dict[str, str]:
    """What `dvc repro` comes to in a clone of its own, with other values by dotted key of params.yaml."""
    small.call(root, "git", "clone", "--quiet", str(root), str(clone))
    (clone / "params.yaml").write_text(changed((clone / "params.yaml").read_text(), sets or {}))
    small.call(clone, "dvc", "repro", "--quiet", MLFLOW_TRACKING_URI=f"sqlite:///{clone / 'mlflow.db'}")
    return digests((clone / "dvc.lock").read_text())


def points(clone: Path) -> dict[str, list[int]]:
    """The steps at which a training of `dvc repro` logged each of its own metrics."""
    with closing(sqlite3.connect(clone / "mlflow.db")) as database:
        rows = database.execute("SELECT key, step FROM metrics WHERE key IN ('loss', 'dev_loss') ORDER BY step")
        found: dict[str, list[int]] = {}
        for key, step in rows:
            found.setdefault(key, []).append(step)
    return found


@dataclass
class Stack:
    """A running stack."""

    root: Path
    api: Airflow
    started_s: float
    """From the command to the last answer."""
    kept: list[str] = field(default_factory=list)
    """Services that were started again, in order."""

    @classmethod
    @contextmanager
    def begin(cls, root: Path, **settings: str) -> Iterator["Stack"]:
        """Start it, keep it running, and end all of it."""
        root = root.resolve()
        over = threading.Event()
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith(("AIRFLOW", "MLFLOW_", "LUTHIER_", "AWS_"))]:
                patch.delenv(name)
            for name, value in settings.items():
                patch.setenv(name, value)
            since, kept = time.monotonic(), list[str]()
            keeper = threading.Thread(target=stack.keep, args=(root, over, kept.append))
            try:
                stack.up(root)
                taken = time.monotonic() - since
                where, known = places(root), secrets(root)
                with Airflow(f"http://{where['AIRFLOW_PUBLIC']}", known["AIRFLOW_ADMIN_PASSWORD"]) as api:
                    there = cls(root, api, taken, kept)
                    keeper.start()
                    wait(lambda: api.known(DAG))
                    yield there
            finally:
                over.set()
                if keeper.ident:
                    keeper.join()
                stack.down(root)
                with suppress(ServiceError):  # it never came so far
                    shutil.rmtree(places(root)["POSTGRES_DATA"], ignore_errors=True)

    def trigger(self, sets: dict[str, Any] | None = None, dag: str = DAG) -> str:
        """Start a run."""
        body = {"logical_date": None, "conf": sets or {}}
        return str(self.api.call("POST", f"dags/{dag}/dagRuns", body)["dag_run_id"])

    def tasks(self, run: str) -> dict[str, dict[str, Any]]:
        """Its tasks by name; none while Airflow does not answer."""
        with suppress(ServiceError, httpx.HTTPError):
            return {task["task_id"]: task for task in self.api.tasks(DAG, run)}
        return {}

    def reaches(self, run: str, stage: str) -> None:
        """Wait until a stage of a run is being done."""
        wait(lambda: self.tasks(run).get(stage, {}).get("state") not in {None, "scheduled", "queued", "none"})

    def ended(self, run: str) -> dict[str, str]:
        """The state of each task, once the run has ended."""

        def over() -> bool:
            with suppress(ServiceError, httpx.HTTPError):
                return self.api.state(DAG, run) in {"success", "failed"}
            return False

        wait(over)
        tasks = self.tasks(run)
        failed = {name: task for name, task in tasks.items() if task["state"] not in {"success", "skipped"}}
        for task in failed.values():
            if task["state"] == "failed":
                print("\n".join(self.api.log(DAG, run, task)[-40:]))
        return {name: task["state"] for name, task in tasks.items()}

    def kill(self, name: str) -> None:
        """All processes of a service, tasks included, without a word."""
        service = next(one for one in recorded(self.root / HOME) if one.name == name)
        killed = members([service])
        assert killed, f"{name} does not run"
        for process in killed:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def lock(self, run: str) -> dict[str, str]:
        """What a run came to, out of the repository that carries runs."""
        branch = f"runs/{slug_of(f'{DAG}/{run}')}"
        return digests(small.call(Path(places(self.root)["GIT_URL"]), "git", "show", f"{branch}:dvc.lock"))

    def mlflow(self, path: str, **query: Any) -> Any:
        """MLflow's answer to its administrator."""
        auth = ("admin", secrets(self.root)["MLFLOW_ADMIN_PASSWORD"])
        url = f"http://{places(self.root)['MLFLOW_PUBLIC']}/api/2.0/mlflow/{path}"
        return httpx.get(url, params=query, auth=auth, trust_env=False, timeout=60).raise_for_status().json()

    def versions(self) -> list[dict[str, Any]]:
        """All versions of the model."""
        return list(self.mlflow("model-versions/search").get("model_versions", []))

    def steps(self, run_id: str, metric: str) -> list[int]:
        """At which steps a metric was logged."""
        found = self.mlflow("metrics/get-history", run_id=run_id, metric_key=metric, max_results=1000)
        return sorted(int(point["step"]) for point in found.get("metrics", []))

    def bucket(self, name: str, identity: str = "ADMIN") -> Any:
        """A client of the object store, and the keys of a bucket."""
        known, where = secrets(self.root), places(self.root)
        client = boto3.client(
            "s3", endpoint_url=f"http://127.0.0.1:{where['S3_PORT']}", region_name="us-east-1",
            aws_access_key_id=known[f"{identity}_S3_KEY_ID"], aws_secret_access_key=known[f"{identity}_S3_SECRET"],
        )  # fmt: skip
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=name)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]

    def wrong(self, run: str, expected: dict[str, str], steps: dict[str, list[int]]) -> list[str]:
        """What is not as it is on one machine, alone: outputs, metrics that lack or are there twice, versions."""
        found = []
        states = self.ended(run)
        if not set(states.values()) <= {"success", "skipped"}:
            return [f"states {states}"]
        made = self.lock(run)
        found += [f"{path} is another" for path in expected if made.get(path) != expected[path]]
        branch = f"runs/{slug_of(f'{DAG}/{run}')}"
        own = [one for one in self.versions() if {"key": "luthier.run", "value": branch} in one.get("tags", [])]
        if len(own) != 1:
            return [*found, f"{len(own)} versions of one run"]
        for metric, wanted in steps.items():
            if (logged := self.steps(own[0]["run_id"], metric)) != wanted:
                found.append(f"{metric} at {logged}, not {wanted}")
        return found


def wait(ready: Any, patience_s: float = LONG_S) -> None:
    deadline = time.monotonic() + patience_s
    while not ready():
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.5)
