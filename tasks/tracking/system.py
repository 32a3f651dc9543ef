"""What a training takes of its machine: CPU, memory, disk, network and GPUs, every 10 s, as `system/...` metrics.

MLflow's own monitor measures; GPUs need its optional package `nvidia-ml-py`. Its loop is not used: that one ends
for good at the first request that fails, and stopping it waits for MLflow. The points go where all others go.
MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL sets other seconds.
Truth: mlflow 3.17, `mlflow/system_metrics/system_metrics_monitor.py`.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tasks.tracking.server import address

EVERY_S = 10.0
Log = Callable[[Mapping[str, float], int], None]


class _Recorder:
    """Stands where MLflow's monitor keeps the logger that it hands its metrics to."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def record_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        self._log(metrics, step)


@contextmanager
def system_metrics(run_id: str, log: Log) -> Iterator[None]:
    """Sample the machine as long as the block lasts; steps go on from those that the run has. Never fatal."""
    ended = threading.Event()
    thread = threading.Thread(target=_sample, args=(run_id, log, ended), name="luthier-system", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(1.0)  # it may be asking a mute MLflow for the run's last step


def _sample(run_id: str, log: Log, ended: threading.Event) -> None:
    try:
        monitor = _monitor(run_id, log)
        while not ended.wait(monitor.sampling_interval):
            monitor.collect_metrics()
            monitor.publish_metrics(monitor.aggregate_metrics())
    except Exception as error:  # a measurement of the machine is no reason to stop a training
        told = f"the machine's load is not logged any more: {type(error).__name__}: {error}."
        print(f"luthier: {told}", file=sys.stderr, flush=True)


def _monitor(run_id: str, log: Log) -> Any:
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor  # noqa: PLC0415

    monitor: Any = SystemMetricsMonitor(  # type: ignore[no-untyped-call]
        run_id, EVERY_S, resume_logging=True, tracking_uri=address()
    )
    monitor.mlflow_logger = _Recorder(log)
    return monitor
