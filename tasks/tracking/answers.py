"""MLflow's runs of batch inference: one for each table, version and way of asking, however often it is begun."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tasks.tracking.points import finite, log_metrics
from tasks.tracking.runs import obtain_run
from tasks.tracking.server import client, experiment, refusals

ANSWERS = "luthier.answers"  # tag: the digest of table, version and way of asking


def finished_answers(key: str) -> str | None:
    """Id of the run that answered this already, to the end."""
    client()
    with refusals():
        chosen = f"tags.`{ANSWERS}` = '{key}' and attributes.status = 'FINISHED'"
        found = client().search_runs([experiment()], chosen, max_results=1)
    return str(found[0].info.run_id) if found else None


@contextmanager
def answers_run(key: str, params: Mapping[str, Any], tags: Mapping[str, str], data: Mapping[str, str]) -> Iterator[str]:
    """Id of the run that answers: FINISHED when the block ends, FAILED when it raises, KILLED by Ctrl-C or SIGTERM.

    One that was begun and not finished is gone on with.

    Args:
        key: of the run.
        params: nested or flat; secrets are hidden.
        tags: of the run.
        data: name and sha256 of what is answered.
    """
    run_id = obtain_run("answer", params, {**tags, ANSWERS: key}, data, ANSWERS)
    _end(run_id, "RUNNING")
    try:
        yield run_id
    except Exception:
        _end(run_id, "FAILED")
        raise
    except BaseException:
        _end(run_id, "KILLED")
        raise
    _end(run_id, "FINISHED")


def _end(run_id: str, status: str) -> None:
    with refusals():
        if status == "RUNNING":
            client().update_run(run_id, status=status)
        else:
            client().set_terminated(run_id, status)


def add_counts(run_id: str, counts: Mapping[str, float]) -> None:
    """Log numbers of the whole run."""
    with refusals():
        log_metrics(run_id, [finite(key, value, 0) for key, value in counts.items()])
