"""What is trained under faults, what has to come out of it, and what of that did not."""

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.data.files import read_json, read_rows, sha256_of, write_rows
from tests import toys
from tests.faults.strike import Strike
from tests.faults.warm import Ended, Warm

KINDS = ("causal", "seq2seq")
METHODS = ("lora", "full")
LAST = 10  # steps: 2 epochs of 20 examples in batches of 4; saves after 3, 6, 9 and 10
PARAMS: dict[str, Any] = toys.PARAMS | {
    "lora": toys.PARAMS["lora"] | {"dropout": 0.1},
    "optimizer": toys.PARAMS["optimizer"] | {"epochs": 2, "max_tokens_at_once": 400, "weight_decay": 0.01},
    "care": toys.PARAMS["care"] | {"save_every": 3},
}


@dataclass(frozen=True)
class Case:
    """A training that may be disturbed."""

    name: str
    template: Path
    """A project in which nothing was trained yet."""
    tuned: str
    """Sha256 of the tuned model's folder where nothing disturbs it."""
    log: bytes
    """The training log likewise."""
    events: list[str]
    """All that happens meanwhile."""

    def fresh(self, name: str) -> Path:
        """A project of its own."""
        folder = self.template.parent / "tried" / self.name / name
        shutil.rmtree(folder, ignore_errors=True)
        return Path(shutil.copytree(self.template, folder / "project"))

    def wrong(self, folder: Path) -> list[str]:
        """What is not as it is where nothing disturbs the training; empty: nothing."""
        wrong = []
        if not (folder / "tuned").is_dir() or sha256_of(folder / "tuned") != self.tuned:
            wrong.append("other weights")
        if not (folder / "training.jsonl").is_file() or (folder / "training.jsonl").read_bytes() != self.log:
            wrong.append("another training log")
        left = [path.name for path in (folder / ".luthier/training").iterdir() if path.name != "lock"]
        if left:
            wrong.append(f"left behind: {', '.join(left)}")
        return wrong or tracked_wrong(folder)


def tracked_wrong(folder: Path) -> list[str]:
    """What is wrong with the MLflow run: one, finished, each metric's steps once and with the log's values."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as store:
        runs = store.execute("select run_uuid, status from runs where lifecycle_stage = 'active'").fetchall()
        points = store.execute("select key, step, value from metrics").fetchall()
    run = read_json(folder / "training_run.json")["run_id"]
    wrong = [] if runs == [(run, "FINISHED")] else [f"MLflow has the runs {runs}"]
    twice = [place for place, count in Counter((key, step) for key, step, _ in points).items() if count > 1]
    wrong += [f"{key} of step {step} is logged twice" for key, step in twice]
    found = {(key, step): value for key, step, value in points}
    rows = read_rows(folder / "training.jsonl")
    expected = {(key, row["step"]): value for row in rows for key, value in row.items() if key != "step"}
    return wrong + [
        f"{key} of step {step} differs" for key, step in expected if expected[key, step] != found.get((key, step))
    ]


def write_params(folder: Path, **changes: Mapping[str, Any] | Any) -> None:
    """Write params.yaml; a changed section keeps what is not said."""
    merged = {key: {**PARAMS[key], **value} if isinstance(value, Mapping) else value for key, value in changes.items()}
    (folder / "params.yaml").write_text(json.dumps({"finetune": {**PARAMS, **merged}}))  # JSON is YAML


def case(warm: Warm, place: Path, kind: str, method: str, **changes: Any) -> Case:
    """A project, and what it comes to where nothing disturbs it."""
    name = "-".join([kind, method, *changes])
    template = place / "templates" / name
    rows = toys.examples(24)
    write_rows(template / "examples/train.jsonl", rows[:20])
    write_rows(template / "examples/dev.jsonl", rows[20:])
    write_params(template, method=method, **changes)
    toys.write_base(template / "base", kind)
    prepare_store(warm, template, place)
    plain = Case(name, template, "", b"", [])
    folder = plain.fresh("undisturbed")
    ended = warm.run(folder)
    assert ended.status == 0, ended.said
    made = Case(name, template, sha256_of(folder / "tuned"), (folder / "training.jsonl").read_bytes(), ended.events)
    assert not made.wrong(folder), made.wrong(folder)
    return made


def prepare_store(warm: Warm, template: Path, place: Path) -> None:
    """An empty MLflow store, made once: it takes seconds."""
    store = place / "mlflow.db"
    if not store.exists():
        shutil.copytree(template, place / "store/project")
        ended = warm.run(place / "store/project", Strike("mkdir training/.step-00000003.partial"))
        assert ended.status == -9, ended.said
        with closing(sqlite3.connect(place / "store/project/mlflow.db")) as filled:
            tables = ("metrics", "latest_metrics", "params", "tags", "inputs", "input_tags", "datasets", "runs")
            for table in tables:
                filled.execute(f"delete from {table}")  # noqa: S608
            filled.commit()
            filled.execute("pragma wal_checkpoint(truncate)")
        shutil.copyfile(place / "store/project/mlflow.db", store)
    shutil.copyfile(store, template / "mlflow.db")


def said(ended: Ended) -> str:
    """The last sentence, short enough for a table."""
    return f"exit {ended.status}: {ended.last}"
