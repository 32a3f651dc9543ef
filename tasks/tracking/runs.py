"""MLflow's runs: params, metrics over time and data digests of one training.

    with start_run("finetune", params, tags, data, key) as run:
        fit(..., log=run.log)

A training that was killed and goes on continues its run: it is found by `key`. An outage before the training
stops it; one during the training neither stops nor slows it.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.errors import TrackingError, without_logins
from tasks.tracking.points import finite
from tasks.tracking.server import client, experiment, insist, once, refusals
from tasks.tracking.spool import File, Spool
from tasks.tracking.system import system_metrics

if TYPE_CHECKING:
    from mlflow.entities import Run as Found

TRAINING = "luthier.training"  # tag: the key that one training keeps, however often it is killed
WAIT_S = {"FINISHED": 20.0, "FAILED": 20.0, "KILLED": 2.0}  # for the last points; after SIGTERM, KILL is 5 s away
SECRET = re.compile(
    r"(^|[_.\-])(password|passwd|secret|token|credentials?|authorization|(api|access|private)_?key)([_.\-]|$)",
    re.IGNORECASE,
)


class Run:
    """One MLflow run that is being written."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.spool = Spool(run_id)

    @property
    def lost(self) -> bool:
        """Something did not reach MLflow: until `register` fills it in, it is in the training log alone."""
        return self.spool.lost

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Log metrics of one step, at once and whatever MLflow does; what the run already has is skipped.

        A resumed training may therefore log every row of its training log again: a kill takes up to a second of
        points that were not sent yet, and this brings them back.

        Raises:
            TrackingError: a metric is not finite.
        """
        for point in [finite(key, value, step) for key, value in metrics.items()]:
            self.spool.put(point)

    def log_file(self, path: Path, folder: str) -> None:
        """Keep a small file, as it is now, in a folder of the run's artifacts; one of that name is replaced."""
        self.spool.put(File(path.name, path.read_bytes(), folder))

    def end(self, status: str) -> None:
        """Send what waits, for a while, and close the run as FINISHED, FAILED or KILLED."""
        self.spool.close(status, WAIT_S[status])


@contextmanager
def start_run(
    name: str, params: Mapping[str, Any], tags: Mapping[str, str], data: Mapping[str, str], key: str
) -> Iterator[Run]:
    """The run of one training: FINISHED when the block ends, FAILED when it raises, KILLED by Ctrl-C or SIGTERM.

    The machine's load is sampled meanwhile.

    Args:
        name: the run's name.
        params: nested or flat; secrets are hidden.
        tags: shown beside it.
        data: name and sha256 of what it is trained on.
        key: of this training: letters, digits, `-` and `_`. A run that has it is continued.

    Raises:
        TrackingError: MLflow cannot be reached; the block has not begun then.
    """
    run = Run(obtain_run(name, params, {**tags, TRAINING: key}, data, TRAINING))
    with refusals():
        client().update_run(run.run_id, status="RUNNING")
    run.spool.start()
    try:
        with system_metrics(run.run_id, run.log):
            yield run
    except Exception:
        run.end("FAILED")
        raise
    except BaseException:
        run.end("KILLED")
        raise
    run.end("FINISHED")


def obtain_run(
    name: str, params: Mapping[str, Any], tags: Mapping[str, str], data: Mapping[str, str], identity: str
) -> str:
    """Id of the one run with this identity, created if there is none, holding these params and inputs.

    Args:
        name: the run's name, if it is created.
        params: those that it lacks are added.
        tags: of the run, if it is created.
        data: name and sha256; those that it lacks are added as inputs.
        identity: the tag that no other run has with this value.
    """
    client()
    from mlflow.entities import Dataset, DatasetInput, Param  # noqa: PLC0415

    run = _found_or_created(name, {**tags, **{f"data.{key}": sha for key, sha in data.items()}}, identity)
    run_id = str(run.info.run_id)
    flat = sorted(pair for pair in flattened(params).items() if pair[0] not in run.data.params)
    here = {known.dataset.name for known in run.inputs.dataset_inputs} if run.inputs else set()
    # MLflow shows at most 36 characters of a digest; the whole of it is in the source and in a tag.
    datasets = [Dataset(key, sha[:36], "local", f'{{"sha256": "{sha}"}}') for key, sha in data.items()]
    inputs = [DatasetInput(dataset) for dataset in datasets if dataset.name not in here]
    with refusals():
        for start in range(0, len(flat), 100):  # the most that one request may carry
            client().log_batch(run_id, params=[Param(*pair) for pair in flat[start : start + 100]])
    if inputs:
        insist(lambda: client().log_inputs(run_id, inputs))  # a dataset is one row for all runs that have it
    return run_id


def _found_or_created(name: str, tags: Mapping[str, str], identity: str) -> "Found":
    """The run with this identity. Never created twice: an error may be a lost answer, so we look again first."""
    if found := _find(identity, tags[identity]):
        return found
    where, tries = experiment(), 0
    while True:
        tries += 1
        try:
            with refusals(), once():
                made = client().create_run(where, run_name=name, tags=dict(tags))
        except TrackingError:
            if found := _find(identity, tags[identity]):
                return found
            if tries == 3:
                raise
        else:  # after an error there may be an older one by now
            return (_find(identity, tags[identity]) if tries > 1 else None) or made


def _find(identity: str, value: str) -> "Found | None":
    """The run with this identity; of several the one that was gone on with, and the empty others are deleted.

    There are several where MLflow was so slow to create one that it was taken for lost.
    """
    with refusals():
        several = client().search_runs([experiment()], f"tags.`{identity}` = '{value}'")
        found = sorted(several, key=lambda run: (-len(run.data.params), run.info.start_time, run.info.run_id))
        for run in found[1:]:
            if not run.data.params and not run.data.metrics:
                client().delete_run(run.info.run_id)
    return found[0] if found else None


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested params as dotted keys and text, with secrets hidden: by name, and the login inside a URL."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{name}.")
        else:
            secret = isinstance(value, str) and SECRET.search(name)
            flat[f"{prefix}{name}"] = "(hidden)" if secret else without_logins(str(value))
    return flat
