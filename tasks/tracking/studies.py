"""A study in MLflow: one parent run, and below it one run for each of its points.

A point's run stands for a training that has a run of its own: it holds what the study is about (what was varied, the
scores with their intervals, the cost) and the id of that run. Every run is found again by its tag, and a number that it
has already is not logged again: collecting a study twice changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.tracking.evidence import add_files, by_id
from tasks.tracking.points import Point, finite, log_metrics, logged_steps
from tasks.tracking.runs import obtain_run
from tasks.tracking.server import client, refusals

STUDY = "luthier.study"  # tag of the parent: the study's run in Airflow
POINT = "luthier.study_point"  # tag of a child: the point's
TRAINING_RUN = "luthier.training_run"  # tag of a child: the run of the training that it stands for
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"  # what MLflow shows at the top of a run


@dataclass(frozen=True)
class Child:
    """One point, as its run holds it."""

    key: str
    """No other point has it."""
    name: str
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    training_run: str


@dataclass(frozen=True)
class Parent:
    """The study, as its run holds it."""

    key: str
    """No other study has it."""
    name: str
    params: Mapping[str, Any]
    note: str
    """Its answer."""
    curves: Mapping[str, Sequence[tuple[int, float]]]
    """Metrics over steps: by name (step, value)."""
    files: Mapping[Path, str]
    """Each with the folder that it goes to."""


def seconds_of(run_id: str) -> float | None:
    """How long a training's run went, without waiting for a device; None where this store does not know it.

    A training that was killed and went on counts from its first beginning.
    """
    with refusals():
        if not by_id(run_id):
            return None
        info = client().get_run(run_id).info
    return round((info.end_time - info.start_time) / 1000, 1) if info.end_time else None


def log_study(parent: Parent, children: Sequence[Child]) -> str:
    """Write the study and its points; return the parent's run id."""
    run_id = obtain_run(parent.name, parent.params, {STUDY: parent.key}, {}, STUDY)
    for child in children:
        tags = {POINT: child.key, PARENT: run_id, TRAINING_RUN: child.training_run}
        own = obtain_run(child.name, child.params, tags, {}, POINT)
        _log_last(own, child.metrics)
        _end(own, {PARENT: run_id, TRAINING_RUN: child.training_run})
    for key, values in parent.curves.items():
        with refusals():
            known = logged_steps(run_id, key)
            log_metrics(run_id, [finite(key, value, step) for step, value in values if step not in known])
    add_files(run_id, parent.files)
    _end(run_id, {NOTE: parent.note})
    return run_id


def _log_last(run_id: str, metrics: Mapping[str, float]) -> None:
    """Log final metrics, but for those that the run has with this value."""
    with refusals():
        known = client().get_run(run_id).data.metrics
        points: list[Point] = [finite(key, value, 0) for key, value in metrics.items() if known.get(key) != value]
        log_metrics(run_id, points)


def _end(run_id: str, tags: Mapping[str, str]) -> None:
    with refusals():
        for key, value in tags.items():
            client().set_tag(run_id, key, value)
        if client().get_run(run_id).info.status == "RUNNING":
            client().set_terminated(run_id, "FINISHED")
