"""Points of a run's metrics: one value of one metric at one step.

A point keeps the clock that it was made with, however often it is sent: MLflow's SQL stores know (run, metric,
clock, step, value) as one row, so a request that was answered too late and is sent again adds nothing.
Truth: mlflow 3.17, `mlflow/store/tracking/sqlalchemy_store.py`, `_log_metrics_once`.
"""

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

from tasks.errors import TrackingError
from tasks.tracking.server import client


class Point(NamedTuple):
    """What one metric was at one step."""

    key: str
    value: float
    step: int
    time_ms: int
    """When it was made, in ms since 1970."""


def finite(key: str, value: float, step: int) -> Point:
    """The point, made now, if its value is a finite number.

    Raises:
        TrackingError: it is not.
    """
    if not math.isfinite(value):
        raise TrackingError(f"the metric '{key}' is {value} at step {step}: only finite numbers are logged.")
    return Point(key, float(value), step, int(time.time() * 1000))


def log_metrics(run_id: str, points: Sequence[Point], model_id: str | None = None) -> None:
    """Log points of a run and, where a model's id is given, of the model that they measure."""
    mlflow_client = client()
    from mlflow.entities import Metric  # noqa: PLC0415

    metrics = [Metric(point.key, point.value, point.time_ms, point.step, model_id) for point in points]
    for start in range(0, len(metrics), 1000):  # the most that one request may carry
        mlflow_client.log_batch(run_id, metrics=metrics[start : start + 1000])


def logged_steps(run_id: str, key: str) -> set[int]:
    """The steps at which a run has a value of this metric."""
    return {point.step for point in client().get_metric_history(run_id, key)}
