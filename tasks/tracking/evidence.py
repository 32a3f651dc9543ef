"""After a training: its run, found or made anew, and the files and numbers that are added to it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.tracking.runs import create_run, finite, log_metrics
from tasks.tracking.server import client, experiment, patience, refusals

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
        found = _by_id(trained_as) or _by_tag(trained_as)
        here = found or create_run("finetune", params, {**tags, TRAINED_AS: trained_as}, data)
        for key in sorted({key for row in log for key in row} - {"step", "steps"}):
            points = [finite(key, row[key], row["step"]) for row in log if row.get(key) is not None]
            known = {point.step for point in client().get_metric_history(here, key)}
            log_metrics(here, [point for point in points if point[2] not in known])
        if client().get_run(here).info.status == "RUNNING":  # made anew, or its end was lost in an outage
            client().set_terminated(here, "FINISHED")
    return here


def _by_id(run_id: str) -> str | None:
    try:
        found = client().get_run(run_id)
    except Exception as error:  # an id of another store is either unknown here or not even an id
        if getattr(error, "error_code", None) in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise
    return run_id if found.info.lifecycle_stage == "active" else None


def _by_tag(trained_as: str) -> str | None:
    found = client().search_runs([experiment()], f"tags.`{TRAINED_AS}` = '{trained_as}'", max_results=1)
    return str(found[0].info.run_id) if found else None


def add_files(run_id: str, files: Mapping[Path, str]) -> None:
    """Copy files and folders into the run's artifacts, each into the folder that it is mapped to."""
    with refusals(), patience():
        for file, folder in files.items():
            if file.is_dir():
                client().log_artifacts(run_id, str(file), f"{folder}/{file.name}")
            else:
                client().log_artifact(run_id, str(file), folder)


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
