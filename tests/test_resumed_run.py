"""One training, one MLflow run: killed and continued, through lost answers and outages, every step once.

The servers here are real: `mlflow server` in its own process group, ended by its id.
"""

import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tasks import tracking
from tasks.errors import TrackingError
from tasks.tracking import evidence, runs, server
from tests.stores import Server

DATA = {"examples": "ab" * 32}
END_S = 30
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "600")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("mlflow"))
    made.start()
    try:
        made.wait()
        yield made
    finally:
        made.kill()
    assert not psutil.pid_exists(made.process.pid)


@pytest.fixture
def mlflow_server(running: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", running.uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    return running


class DroppingProxy:
    """Passes bytes on to a server, but drops the answers to the first `drops` requests that create a run."""

    def __init__(self, port: int, drops: int) -> None:
        self.port, self.drops, self.dropped = port, drops, 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed at the end of the test
            while True:
                asking, _ = self.listening.accept()
                threading.Thread(target=self._pass_on, args=(asking,), daemon=True).start()

    def _pass_on(self, asking: socket.socket) -> None:
        with suppress(OSError), asking, socket.create_connection(("127.0.0.1", self.port)) as answering:
            drop = threading.Event()
            threading.Thread(target=self._answer, args=(answering, asking, drop), daemon=True).start()
            while data := asking.recv(65536):
                if b"/runs/create " in data and self.dropped < self.drops:
                    drop.set()
                answering.sendall(data)

    def _answer(self, answering: socket.socket, asking: socket.socket, drop: threading.Event) -> None:
        with suppress(OSError):
            while data := answering.recv(65536):
                if drop.is_set():  # what was asked for is done, and nobody hears of it
                    self.dropped += 1
                    break
                asking.sendall(data)
            asking.shutdown(socket.SHUT_RDWR)


def _steps(run_id: str, key: str = "loss") -> list[int]:
    return sorted(point.step for point in server.client().get_metric_history(run_id, key))


def _runs_of(key: str) -> list[str]:
    found = server.client().search_runs([server.experiment()], f"tags.`{runs.TRAINING}` = '{key}'")
    return [run.info.run_id for run in found]


def _killed(code: str) -> None:
    """Run this code in a process of its own, which kills itself."""
    begin = "import os, time\nfrom tasks import tracking\nfrom tasks.tracking import server\n"
    ended = subprocess.run(
        [sys.executable, "-c", begin + code], check=False, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert ended.returncode == -signal.SIGKILL


def test_a_resumed_training_continues_its_run() -> None:
    seen = []
    for status in ("KILLED", "FINISHED"):
        with suppress(KeyboardInterrupt), tracking.start_run("finetune", {"rank": 8}, {}, DATA, "k1") as run:
            run.log({"loss": 1.0}, len(seen))
            seen.append(run.run_id)
            assert server.client().get_run(run.run_id).info.status == "RUNNING"
            if status == "KILLED":
                raise KeyboardInterrupt
        found = server.client().get_run(run.run_id)
        assert found.info.status == status
        assert found.data.params == {"rank": "8"}
        assert [known.dataset.name for known in found.inputs.dataset_inputs] == ["examples"]
    assert seen[0] == seen[1]
    assert _steps(run.run_id) == [0, 1]


def test_another_training_gets_a_run_of_its_own() -> None:
    ids = []
    for key in ("k1", "k2"):
        with tracking.start_run("finetune", {}, {}, {}, key) as run:
            ids.append(run.run_id)
    assert ids[0] != ids[1]


def test_a_kill_right_after_the_run_was_created_leaves_no_second_one() -> None:
    _killed(
        "made = server.client().create_run\n"
        "def create_and_die(*args, **more):\n"
        "    made(*args, **more)\n"
        "    os.kill(os.getpid(), 9)\n"
        "server.client().create_run = create_and_die\n"
        "with tracking.start_run('finetune', {'rank': 8}, {}, {}, 'k1'): pass\n"
    )
    (left,) = _runs_of("k1")
    assert server.client().get_run(left).data.params == {}
    with tracking.start_run("finetune", {"rank": 8}, {}, {}, "k1") as run:
        pass
    assert run.run_id == left
    assert server.client().get_run(left).data.params == {"rank": "8"}


def test_points_that_a_kill_took_with_it_are_brought_back_and_none_is_twice() -> None:
    _killed(
        "with tracking.start_run('finetune', {}, {}, {}, 'k1') as run:\n"
        "    for step in range(5): run.log({'loss': 1.5 * step}, step)\n"
        "    time.sleep(3)\n"
        "    for step in range(5, 8): run.log({'loss': 1.5 * step}, step)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    (left,) = _runs_of("k1")
    assert _steps(left) == list(range(5))
    with tracking.start_run("finetune", {}, {}, {}, "k1") as run:
        for step in range(10):
            run.log({"loss": 1.5 * step, "dev_loss": 1.0}, step)
    assert run.run_id == left
    assert _steps(left) == _steps(left, "dev_loss") == list(range(10))


def test_of_two_runs_of_one_training_the_one_that_was_gone_on_with_is_continued() -> None:
    made = [server.client().create_run(server.experiment(), tags={runs.TRAINING: "k1"}).info.run_id for _ in range(2)]
    server.client().log_param(made[1], "rank", 8)
    with tracking.start_run("finetune", {"rank": 8}, {}, {}, "k1") as run:
        pass
    assert run.run_id == made[1]
    assert _runs_of("k1") == [made[1]]


@pytest.mark.service
def test_a_run_whose_creation_was_not_answered_is_not_created_again(
    mlflow_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = DroppingProxy(mlflow_server.port, drops=1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.uri)
    with tracking.start_run("finetune", {"rank": 8}, {}, {}, "answer-lost") as run:
        run.log({"loss": 1.0}, 1)
    assert proxy.dropped == 1
    assert _runs_of("answer-lost") == [run.run_id]
    assert _steps(run.run_id) == [1]
    proxy.drops = 2
    server.client().create_run(server.experiment(), tags={runs.TRAINING: "control"})  # with MLflow's own second try
    assert proxy.dropped == 2
    assert len(_runs_of("control")) == 2
    proxy.listening.close()


def _train_until(run: tracking.Run, done: threading.Event, logged: list[float]) -> None:
    """Log a step every 5 ms, beginning with the step after the last, and note the seconds of each call."""
    while not done.is_set():
        started = time.perf_counter()
        run.log({"loss": 1.0 / (len(logged) + 1)}, len(logged))
        logged.append(time.perf_counter() - started)
        time.sleep(0.005)


@pytest.mark.long
@pytest.mark.service
@pytest.mark.parametrize("fault", ["killed", "hung"])
def test_an_outage_does_not_slow_a_training_and_every_point_arrives_once(
    fault: str, mlflow_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    with tracking.start_run("finetune", {}, {}, {}, fault) as run:
        done, calls = threading.Event(), list[float]()
        training = threading.Thread(target=_train_until, args=(run, done, calls))
        training.start()
        time.sleep(2)
        control = server.client().create_run(server.experiment()).info.run_id
        mlflow_server.kill() if fault == "killed" else mlflow_server.send(signal.SIGSTOP)
        before = len(calls)
        assert not mlflow_server.answers()
        if fault == "killed":
            own = server.client().log_metric(control, "loss", 1.0, step=1, synchronous=False)
            with pytest.raises(Exception, match="Max retries exceeded"):
                own.wait()
            mlflow_server.start()
        else:
            time.sleep(9)  # longer than a request and its second try
            mlflow_server.send(signal.SIGCONT)
        mlflow_server.wait()
        during = calls[before:]
        time.sleep(1)
        done.set()
        training.join()
    assert sum(during) < 1
    assert statistics.quantiles(during, n=100)[98] < 0.010
    assert _steps(run.run_id) == list(range(len(calls)))
    assert _steps(control) == []  # MLflow's own asynchronous logging sends nothing again
    assert not run.lost
    assert server.client().get_run(run.run_id).info.status == "FINISHED"
    assert capsys.readouterr().err.count("The training goes on") == 1


@pytest.mark.service
@pytest.mark.long
def test_a_server_that_is_away_at_the_end_is_told_once_and_filled_in_by_register(
    mlflow_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    with tracking.start_run("finetune", {}, {}, {}, "away") as run:
        run.log({"loss": 2.0}, 1)
        time.sleep(2.5)
        assert _steps(run.run_id) == [1]
        mlflow_server.send(signal.SIGSTOP)  # hangs, with its port open
        started = time.monotonic()
        run.log({"loss": 1.0}, 2)
        run.log({"loss": 0.5}, 3)
    assert time.monotonic() - started < END_S
    assert run.lost
    assert capsys.readouterr().err.count("'register' fills in what is missing") == 1
    mlflow_server.send(signal.SIGCONT)
    log = [{"step": step, "loss": loss} for step, loss in ((1, 2.0), (2, 1.0), (3, 0.5))]
    mlflow_server.wait()
    assert evidence.training_run(run.run_id, {}, {}, {}, log) == run.run_id
    assert _steps(run.run_id) == [1, 2, 3]
    assert server.client().get_run(run.run_id).info.status == "FINISHED"


@pytest.mark.service
def test_a_training_that_must_end_does_not_wait_for_a_server_that_hangs(mlflow_server: Server) -> None:
    try:
        with pytest.raises(KeyboardInterrupt), tracking.start_run("finetune", {}, {}, {}, "stopped") as run:
            mlflow_server.send(signal.SIGSTOP)
            run.log({"loss": 2.0}, 1)
            started = time.monotonic()
            raise KeyboardInterrupt
        assert time.monotonic() - started < 5  # SIGKILL comes 5 s after SIGTERM
    finally:
        mlflow_server.send(signal.SIGCONT)


@pytest.mark.service
def test_a_server_that_hangs_at_the_start_is_told_and_makes_no_run_twice(mlflow_server: Server) -> None:
    tracking.check()
    where = server.experiment()
    mlflow_server.send(signal.SIGSTOP)
    try:
        started = time.monotonic()
        with pytest.raises(TrackingError, match="refuses"), tracking.start_run("finetune", {}, {}, {}, "hung-start"):
            pass
        assert time.monotonic() - started < END_S
    finally:
        mlflow_server.send(signal.SIGCONT)
    assert where == server.experiment()
    with tracking.start_run("finetune", {}, {}, {}, "hung-start") as run:
        pass
    assert _runs_of("hung-start") == [run.run_id]
