"""A small project that a real Airflow operates, seen from outside: its runs, their processes, what came of them.

    with Operated.begin(folder, own_mlflow=True) as operated:
        run = operated.trigger({"finetune.seed": 7})
        operated.ended(run)
        operated.wrong(run, expected)      # []: as if nothing had happened

A run's processes carry LUTHIER_WORKSPACE (tasks/runs/attempt.py), and those of a DVC stage DVC_STAGE.
"""

import json
import os
import re
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from tasks import services
from tasks.chain.git import asked
from tasks.data.files import sha256_of
from tasks.orchestrator import Airflow, password
from tasks.runs.asked import slug_of
from tasks.runs.attempt import MARK
from tests import small
from tests.stores import Server

DAG = "finetune_pipeline"
STAGES = ("fetch", "validate", "expand", "finetune", "predict", "evaluate", "register")
LOCKED = re.compile(
    r"Unable to acquire lock|is busy|database is locked|index\.lock|Traceback|cannot lock ref|is in use by process"
)
LONG_S = 1200.0  # for one run of a toy, on a machine that others use too


@dataclass(frozen=True)
class Came:
    """What a pipeline came to."""

    weights: str
    """Sha256 over the names and bytes of the tuned model's weights."""
    log: list[dict[str, float]]
    """The training log."""


def processes_of(mark: str, stage: str = "") -> list[psutil.Process]:
    """Processes that work in a run's worktree, or only those that are the step `stage` itself."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            there = process.environ()
            if there.get(MARK) != mark or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if not stage or process.cmdline()[1:3] == ["-m", f"tasks.{stage}"]:
                found.append(process)
    return found


@dataclass
class Watch:
    """Looks all the time whether two processes of a run do the same step at once: two writers."""

    root: Path
    seen: set[str] = field(default_factory=set)
    """Steps that had two at once."""
    looks: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """Until it is over, several times a second."""
        while not self._over.wait(0.3):
            self.looks += 1
            self.seen |= {
                f"{mark.rpartition('/')[2]}: {step}" for (mark, step), count in self._now().items() if count > 1
            }

    def _now(self) -> Counter[tuple[str, str]]:
        now: Counter[tuple[str, str]] = Counter()
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                mark = process.environ().get(MARK, "")
                if mark.startswith(str(self.root)) and process.status() != psutil.STATUS_ZOMBIE:
                    words = process.cmdline()
                    steps = [step for step in STAGES if words[1:3] == ["-m", f"tasks.{step}"]]
                    now.update((mark, step) for step in steps)
        return now


class Operated:
    """A project with its Airflow and, where it is to be killed, an MLflow server of its own."""

    def __init__(self, root: Path, mlflow: Server | None) -> None:
        self.root, self.mlflow = root, mlflow
        self.watch = Watch(root)
        self.airflow: Airflow

    @classmethod
    @contextmanager
    def begin(cls, folder: Path, own_mlflow: bool = False, **changes: Any) -> Iterator["Operated"]:
        """Write the project, start everything; all of it ends afterwards."""
        before = dict(os.environ)
        for name in [name for name in os.environ if name.startswith(("AIRFLOW", "MLFLOW_TRACKING"))]:
            del os.environ[name]
        os.environ["LUTHIER_DEVICE_SLOTS"] = "16"
        (folder / "mlflow").mkdir(parents=True)
        server = Server(folder / "mlflow") if own_mlflow else None
        operated = cls(small.write(folder / "project", **changes).resolve(), server)
        looking = threading.Thread(target=operated.watch.look, daemon=True)
        try:
            if server:
                os.environ["MLFLOW_TRACKING_URI"] = server.uri
                server.start()
                server.wait()
            operated.up()
            looking.start()
            yield operated
        finally:
            operated.watch._over.set()
            services.down(operated.root)
            if server:
                with suppress(ProcessLookupError):
                    server.kill()
            os.environ.clear()
            os.environ.update(before)

    def up(self) -> None:
        """Start what does not run, and sign in."""
        services.up(self.root, say=lambda _: None)
        self.airflow = Airflow(services.status(self.root)["api-server"].url, password(self.root))
        until = time.monotonic() + 240
        while not self.airflow.known(DAG):
            assert time.monotonic() < until, self.airflow.import_errors()
            time.sleep(0.5)

    def trigger(self, conf: Mapping[str, Any]) -> str:
        """Start a run."""
        body = {"logical_date": None, "conf": dict(conf)}
        return str(self.airflow.call("POST", f"dags/{DAG}/dagRuns", body)["dag_run_id"])

    def mark(self, run: str) -> str:
        """What the run's processes carry in LUTHIER_WORKSPACE."""
        return str(self.root / ".luthier/runs" / slug_of(f"{DAG}/{run}"))

    def branch(self, run: str) -> str:
        """The run's branch."""
        return f"runs/{slug_of(f'{DAG}/{run}')}"

    def task(self, run: str, name: str) -> dict[str, Any]:
        """A task of a run, as Airflow sees it."""
        return next(task for task in self.airflow.tasks(DAG, run) if task["task_id"] == name)

    def ended(self, run: str) -> str:
        """Wait for the run's end: success or failed."""
        until = time.monotonic() + LONG_S
        while (state := self.airflow.state(DAG, run)) in {"queued", "running"}:
            assert time.monotonic() < until, (
                f"{run}: {[(t['task_id'], t['state']) for t in self.airflow.tasks(DAG, run)]}"
            )
            time.sleep(1)
        return state

    def logs(self, run: str) -> dict[str, list[str]]:
        """The lines of every try of every task."""
        found = {}
        for task in self.airflow.tasks(DAG, run):
            for number in range(1, task["try_number"] + 1):
                with suppress(Exception):  # a try that was killed before its first line has none
                    found[f"{task['task_id']} {number}"] = self.airflow.log(DAG, run, {**task, "try_number": number})
        return found

    def locked(self, run: str) -> list[str]:
        """Lines of any try of any task that show a person a lock, or a traceback."""
        logs = self.logs(run)
        told = [line for lines in logs.values() for line in lines if f"branch {self.branch(run)}" in line]
        assert len(told) >= len(STAGES), f"the logs of {run} were not read: {list(logs)}"
        return [f"{name}: {line[:160]}" for name, lines in logs.items() for line in lines if LOCKED.search(line)]

    def made(self, run: str, path: str) -> Path:
        """An output of the run, in DVC's cache: its worktree is gone by then."""
        return cached(self.root, git_lock(self.root, self.branch(run)), path)

    def came(self, run: str) -> Came:
        """What the run came to."""
        return came_of(self.root, git_lock(self.root, self.branch(run)))

    def store(self) -> sqlite3.Connection:
        """The database under MLflow."""
        return sqlite3.connect(self.mlflow.folder / "s.db" if self.mlflow else self.root / "mlflow.db", timeout=20)

    def versions(self) -> list[dict[str, str]]:
        """The model's versions: tags of each, with `version` and `run_id`."""
        with closing(self.store()) as store:
            rows = store.execute(
                "select version, run_id, name from model_versions where current_stage != 'Deleted_Internal'"
            ).fetchall()
            tags = store.execute("select version, key, value, name from model_version_tags").fetchall()
        return [
            {"version": str(version), "run_id": run_id}
            | {key: value for number, key, value, of in tags if (number, of) == (version, name)}
            for version, run_id, name in rows
            if "." not in name  # luthier.journal is no model
        ]

    def tracked_wrong(self, run: str, log: list[dict[str, float]]) -> list[str]:
        """What is wrong with the training's MLflow run (tests/faults/project.py asks the same of a training)."""
        mine = json.loads(self.made(run, "models/training_run.json").read_text())["run_id"]
        with closing(self.store()) as store:
            query = "select status from runs where run_uuid = ?"
            status = store.execute(query, (mine,)).fetchall()
            points = store.execute("select key, step, value from metrics where run_uuid = ?", (mine,)).fetchall()
        wrong = [] if status == [("FINISHED",)] else [f"the MLflow run is {status}"]
        twice = [place for place, count in Counter((key, step) for key, step, _ in points).items() if count > 1]
        wrong += [f"{key} of step {step} is logged twice" for key, step in twice]
        found = {(key, step): value for key, step, value in points}
        expected = {(key, row["step"]): value for row in log for key, value in row.items() if key != "step"}
        return wrong + [
            f"{key} of step {step} is {found.get((key, step))} instead of {value}"
            for (key, step), value in expected.items() if found.get((key, step)) != value
        ]  # fmt: skip

    def wrong(self, run: str, expected: Came, versions: int = 1) -> list[str]:
        """What is not as if nothing had happened."""
        wrong = []
        here = self.came(run)
        if here.weights != expected.weights:
            wrong.append("other weights")
        if here.log != expected.log:
            wrong.append("another training log")
        if len(there := self.versions()) != versions:
            wrong.append(f"{len(there)} versions instead of {versions}")
        if left := processes_of(self.mark(run)):
            wrong.append(f"left at work: {[(process.pid, process.cmdline()[:4]) for process in left]}")
        if Path(self.mark(run)).exists():
            wrong.append("the worktree is left")
        if self.watch.seen:
            wrong.append(f"two at once: {sorted(self.watch.seen)}")
        return wrong + self.tracked_wrong(run, expected.log)


def git_lock(root: Path, revision: str) -> dict[str, Any]:
    """dvc.lock of a revision."""
    text = asked(root, "show", f"{revision}:dvc.lock")
    return dict(yaml.safe_load(text)) if text else {"stages": {}}


def cached(root: Path, lock: Mapping[str, Any], path: str) -> Path:
    """An output's file in DVC's cache."""
    outs = [out for stage in lock["stages"].values() for out in stage.get("outs", []) if out["path"] == path]
    return root / ".dvc/cache/files/md5" / outs[0]["md5"][:2] / outs[0]["md5"][2:]


def came_of(root: Path, lock: Mapping[str, Any]) -> Came:
    """What a pipeline came to, out of DVC's cache."""
    listing = json.loads(cached(root, lock, "models/tuned").read_text())
    weights = {
        one["relpath"]: sha256_of(root / ".dvc/cache/files/md5" / one["md5"][:2] / one["md5"][2:])
        for one in listing if one["relpath"].endswith(".safetensors")
    }  # fmt: skip
    assert weights
    log = [json.loads(line) for line in cached(root, lock, "reports/training.jsonl").read_text().splitlines()]
    return Came(json.dumps(weights, sort_keys=True), log)
