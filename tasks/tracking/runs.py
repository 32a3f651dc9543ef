"""MLflow's runs: params, metrics over time and data digests of one training.

    with start_run("finetune", params, tags, data) as run:
        fit(..., log=run.log)

An outage before the training stops it; one during the training does not.
"""

import math
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tasks.errors import TrackingError
from tasks.tracking.server import client, experiment, refusals, shown

SECRET = re.compile(
    r"(^|[_.\-])(password|passwd|secret|token|credentials?|authorization|(api|access|private)_?key)([_.\-]|$)",
    re.IGNORECASE,
)
Point = tuple[str, float, int]  # metric key, value, step


@dataclass
class Run:
    """One MLflow run that is being written."""

    run_id: str
    lost: bool = False
    """MLflow stopped answering: until `register` fills it in, what follows is in the training log alone."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Log metrics of one step; an outage is told once and does not stop the training.

        Raises:
            TrackingError: a metric is not finite.
        """
        points = [finite(key, value, step) for key, value in metrics.items()]
        self._write(lambda: log_metrics(self.run_id, points))

    def end(self, status: str) -> None:
        """Close the run as FINISHED, FAILED or KILLED."""
        self._write(lambda: client().set_terminated(self.run_id, status))

    def _write(self, write: Callable[[], object]) -> None:
        if self.lost:
            return
        try:
            with refusals():
                write()
        except TrackingError as error:
            self.lost = True
            goes_on = "The step goes on without it; 'register' fills in what is missing."
            print(f"luthier: {error} {goes_on}", file=sys.stderr, flush=True)


@contextmanager
def start_run(
    name: str, params: Mapping[str, Any], tags: Mapping[str, str], data: Mapping[str, str] | None = None
) -> Iterator[Run]:
    """A new run: FINISHED when the block ends, FAILED when it raises, KILLED when Ctrl-C or SIGTERM ends it.

    Args:
        name: the run's name.
        params: nested or flat; secrets are hidden.
        tags: shown beside it.
        data: name and sha256 of what it is trained on.

    Raises:
        TrackingError: MLflow cannot be reached; the block has not begun then.
    """
    run = Run(create_run(name, params, tags, data or {}))
    try:
        yield run
    except Exception:
        run.end("FAILED")
        raise
    except BaseException:
        run.end("KILLED")
        raise
    run.end("FINISHED")


def create_run(name: str, params: Mapping[str, Any], tags: Mapping[str, str], data: Mapping[str, str]) -> str:
    """Create what `start_run` describes; return its id. The caller ends it."""
    mlflow_client, flat = client(), sorted(flattened(params).items())
    from mlflow.entities import Dataset, DatasetInput, Param  # noqa: PLC0415

    # MLflow shows at most 36 characters of a digest; the whole of it is in the source and in a tag.
    datasets = [Dataset(key, sha[:36], "local", f'{{"sha256": "{sha}"}}') for key, sha in data.items()]
    digests = {f"data.{key}": sha for key, sha in data.items()}
    with refusals():
        created = mlflow_client.create_run(experiment(), run_name=name, tags={**tags, **digests})
        run_id = str(created.info.run_id)
        for start in range(0, len(flat), 100):  # the most that one request may carry
            mlflow_client.log_batch(run_id, params=[Param(*pair) for pair in flat[start : start + 100]])
        mlflow_client.log_inputs(run_id, [DatasetInput(dataset) for dataset in datasets])
    return run_id


def log_metrics(run_id: str, points: Sequence[Point], model_id: str | None = None) -> None:
    """Log points of a run and, where a model's id is given, of the model that they measure."""
    mlflow_client = client()
    from mlflow.entities import Metric  # noqa: PLC0415

    now_ms = int(time.time() * 1000)
    metrics = [Metric(key, value, now_ms, step, model_id) for key, value, step in points]
    for start in range(0, len(metrics), 1000):  # the most that one request may carry
        mlflow_client.log_batch(run_id, metrics=metrics[start : start + 1000])


def finite(key: str, value: float, step: int) -> Point:
    """The point, if its value is a finite number.

    Raises:
        TrackingError: it is not.
    """
    if not math.isfinite(value):
        raise TrackingError(f"the metric '{key}' is {value} at step {step}: only finite numbers are logged.")
    return key, float(value), step


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested params as dotted keys and text, with secrets hidden: by name, and the login inside a URL."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{name}.")
        else:
            secret = isinstance(value, str) and SECRET.search(name)
            flat[f"{prefix}{name}"] = "(hidden)" if secret else shown(str(value))
    return flat
