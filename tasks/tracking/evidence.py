"""After a training: its run, found or made anew, and the files and numbers that are added to it."""

import hashlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.tracking.points import finite, log_metrics, logged_steps
from tasks.tracking.runs import obtain_run
from tasks.tracking.server import client, patience, refusals

SETTLE_S = 2.0
TRAINED_AS = "luthier.trained_as"  # the run id that a training had where it was tracked


def training_run(
    trained_as: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    data: Mapping[str, str],
    log: Sequence[Mapping[str, Any]],
) -> str:
    """Id of the run that stands for a training in this store, holding every point of its log.

    A training that DVC replayed from its cache, or that another store tracked, has no run here: it is made
    anew from the training log, and its tag `luthier.trained_as` says so. A run that missed points gets them.

    Args:
        trained_as: the run id that finetune noted.
        params: of the training.
        tags: of the run, if it is made anew.
        data: name and sha256 of what it was trained on.
        log: rows with `step` and metrics.
    """
    client()
    with refusals():
        anew = {**tags, TRAINED_AS: trained_as}
        found = by_id(trained_as)
        here = found or obtain_run("finetune", params, anew, data, TRAINED_AS)
        unended = client().get_run(here).info.status == "RUNNING"
        if found and unended:  # its end was lost in an outage: what it sent last may be waiting in the server
            time.sleep(SETTLE_S)
        for key in sorted({key for row in log for key in row} - {"step", "steps"}):
            points = [finite(key, row[key], row["step"]) for row in log if row.get(key) is not None]
            known = logged_steps(here, key)
            log_metrics(here, [point for point in points if point.step not in known])
        if unended:
            client().set_terminated(here, "FINISHED")
    return here


def by_id(run_id: str) -> str | None:
    """The id, if this store has such a run."""
    try:
        found = client().get_run(run_id)
    except Exception as error:  # an id of another store is either unknown here or not even an id
        if getattr(error, "error_code", None) in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise
    return run_id if found.info.lifecycle_stage == "active" else None


def add_files(run_id: str, files: Mapping[Path, str]) -> None:
    """Copy files and folders into the run's artifacts, each into the folder that it is mapped to."""
    with refusals(), patience():
        for file, folder in files.items():
            if file.is_dir():
                client().log_artifacts(run_id, str(file), f"{folder}/{file.name}")
            else:
                client().log_artifact(run_id, str(file), folder)


def add_text(run_id: str, text: str, folder: str, suffix: str) -> str:
    """Keep a text in the run's artifacts under its own sha256; return that."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    with refusals(), patience(), tempfile.TemporaryDirectory() as here:
        file = Path(here) / f"{digest}{suffix}"
        file.write_bytes(text.encode())
        client().log_artifact(run_id, str(file), folder)
    return digest


def add_metrics(run_id: str, model_id: str, metrics: Mapping[str, float]) -> None:
    """Log final metrics of the run; MLflow shows them with the model too."""
    with refusals():
        log_metrics(run_id, [finite(key, value, 0) for key, value in metrics.items()], model_id)


def fetch_files(run_id: str, path: str, into: Path) -> Path:
    """Copy a folder of the run's artifacts into a folder here; return where it is then.

    Raises:
        TrackingError: the run has none, or its artifacts cannot be reached.
    """
    client()
    with refusals(), patience():
        return Path(client().download_artifacts(run_id, path, str(into)))
