"""What a training logs, on its way to MLflow: the training never waits for it.

    spool = Spool(run_id)
    spool.start()
    spool.put(point)                      # microseconds, whatever MLflow does
    spool.close("FINISHED", wait_s=20.0)  # sends the rest, sets the status

One background thread sends what has come, in batches and in order, and sends again what was not answered. A step
that a metric already has in the store is skipped, so a resumed training may log again what it logged before.

MLflow's own asynchronous logging (`log_batch(synchronous=False)`) is not used: a batch that fails is gone, ten
workers write out of order, its queue has no bound, and leaving the process waits for it without one.
Truth: mlflow 3.17, `mlflow/utils/async_logging/async_logging_queue.py`.
"""

import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

from tasks.errors import TrackingError
from tasks.tracking.points import Point, log_metrics, logged_steps
from tasks.tracking.server import client, refusals, uri

SEND_EVERY_S = 1.0  # a request costs this process some 10 ms; a curve is a second late
TRY_AGAIN_S = 2.0
MOST_WAITING = 100_000  # points, about 20 MB: hours of an outage


@dataclass(frozen=True)
class File:
    """A small file, as it was when it was logged."""

    name: str
    content: bytes
    folder: str
    """Artifact folder that it goes to."""


class Spool:
    """Points and files of one run that wait to be sent, and the thread that sends them."""

    def __init__(self, run_id: str) -> None:
        self.lost = False
        """Something did not arrive, and will not."""
        self._run_id = run_id
        self._arriving: SimpleQueue[Point | File] = SimpleQueue()  # may be put to from a signal handler too
        self._points: list[Point] = []
        self._files: list[File] = []
        self._logged: dict[str, set[int]] = {}  # metric -> its steps in the store, as far as that is sure
        self._refused = ""  # what MLflow said the last time that it did not take something
        self._told = False
        self._status: str | None = None
        self._closing = threading.Event()
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._work, name="luthier-tracking", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def put(self, item: Point | File) -> None:
        """Leave a point or file to be sent; where too many wait already, it is lost and `close` tells it."""
        if self._arriving.qsize() + len(self._points) >= MOST_WAITING:
            self.lost = True
        else:
            self._arriving.put(item)

    def close(self, status: str, wait_s: float) -> None:
        """Send what waits and set the run's status; what MLflow does not take within `wait_s` is told and lost."""
        self._status = status
        self._closing.set()
        self._thread.join(wait_s)
        self._abandoned.set()
        if self._thread.is_alive():
            self.lost = True
        if self.lost:
            told = self._refused or f"MLflow at {uri()} did not take everything in time."
            self._say(f"{told} The step goes on without it; 'register' fills in what is missing.")

    def _work(self) -> None:
        while not self._abandoned.is_set():
            self._closing.wait(SEND_EVERY_S)
            closing = self._closing.is_set()  # asked before the queue is emptied: nothing comes after it
            self._collect()
            try:
                self._send(closing)
            except Exception as error:  # whatever it is, it may neither end this thread nor the training
                self._logged.clear()  # what was not answered may have been written all the same
                self._note(error)
                self._abandoned.wait(TRY_AGAIN_S)
            else:
                if closing:
                    return

    def _collect(self) -> None:
        try:
            while True:
                item = self._arriving.get_nowait()
                if isinstance(item, Point):
                    self._points.append(item)
                else:
                    self._files.append(item)
        except Empty:
            pass

    def _send(self, closing: bool) -> None:
        with refusals():
            if self._points:
                new = self._new_points()
                if self._abandoned.is_set():  # it answers now that 'register' may be filling in
                    return
                log_metrics(self._run_id, new)
                for point in self._points:
                    self._logged[point.key].add(point.step)
                self._points.clear()
            if closing and self._status:
                client().set_terminated(self._run_id, self._status)
                self._status = None
        while self._files:
            self._send_file(self._files[0])
            del self._files[0]

    def _new_points(self) -> list[Point]:
        """Those that wait and that the store does not have, once each."""
        new: dict[tuple[str, int], Point] = {}
        for point in self._points:
            if point.key not in self._logged:
                self._logged[point.key] = logged_steps(self._run_id, point.key)
            if point.step not in self._logged[point.key]:
                new.setdefault((point.key, point.step), point)
        return list(new.values())

    def _send_file(self, file: File) -> None:
        try:
            with refusals(), tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / file.name
                path.write_bytes(file.content)
                client().log_artifact(self._run_id, str(path), file.folder)
        except TrackingError:
            raise  # sent again later
        except Exception as error:  # of the place where artifacts are kept, which MLflow does not answer for
            self._say(f"{file.name} is not kept with the MLflow run: {type(error).__name__}: {error}.")

    def _note(self, error: Exception) -> None:
        known = isinstance(error, TrackingError)
        self._refused = str(error) if known else f"MLflow at {uri()}: {type(error).__name__}: {error}."
        if not self._told and not self._closing.is_set():
            self._told = True
            self._say(f"{self._refused} The training goes on; what it logs waits until MLflow answers again.")

    @staticmethod
    def _say(sentence: str) -> None:
        print(f"luthier: {sentence}", file=sys.stderr, flush=True)
