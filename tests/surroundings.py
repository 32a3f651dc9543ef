"""What a check of the doctor looks at, without looking at this machine."""

from collections.abc import Mapping
from pathlib import Path

from tasks import SWITCHES
from tasks.health.seen import Process, Surroundings


def seen_of(root: Path, environment: Mapping[str, str] | None = None, *processes: Process) -> Surroundings:
    """A checkout, what is exported in its shell, and processes."""
    return Surroundings(
        root=root, environment=environment or {}, processes=processes, unseen_ports=(), services=(),
        users=frozenset({"admin"}), tracking=f"sqlite:///{root}/mlflow.db", airflow=None, switches=SWITCHES,
    )  # fmt: skip
