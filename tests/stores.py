"""Places where MLflow keeps what it is told: a file, a server of its own, PostgreSQL."""

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.tracking import server

POSTGRES = "postgresql+psycopg2://postgres@127.0.0.1:5432/{}"
STORES = ["server", "postgres"]


class Server:
    """An `mlflow server` on a port of its own."""

    def __init__(self, folder: Path, backend: str | None = None) -> None:
        self.backend = backend or f"sqlite:///{folder}/s.db"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", self.backend]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        own = os.environ | {"HOME": str(self.folder), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        own.pop("MLFLOW_TRACKING_URI", None)
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, cwd=self.folder, env=own
            )

    def wait(self) -> None:
        """Until it answers: 10 s, or 100 on a busy machine."""
        until = time.monotonic() + 180
        while not self.answers():
            assert time.monotonic() < until
            time.sleep(0.2)

    def answers(self) -> bool:
        try:
            server._ask_health(self.uri)
        except OSError:
            return False
        return True

    def send(self, sent: signal.Signals) -> None:
        """Send a signal to all its processes."""
        os.killpg(self.process.pid, sent)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.process.wait()


@contextmanager
def store(kind: str, folder: Path) -> Iterator[str]:
    """The address of a new, empty store: "sqlite", "server" (HTTP over sqlite) or "postgres"."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/mlflow.db"
    elif kind == "server":
        made = Server(folder)
        made.start()
        try:
            made.wait()
            yield made.uri
        finally:
            made.kill()
    else:
        yield from _database()


def _database() -> Iterator[str]:
    psycopg2 = pytest.importorskip("psycopg2")
    try:
        admin = psycopg2.connect(POSTGRES.format("postgres").replace("+psycopg2", ""), connect_timeout=3)
    except psycopg2.OperationalError:
        pytest.skip("no PostgreSQL answers on 127.0.0.1:5432 for user postgres")
    admin.autocommit = True
    name = f"luthier_{uuid.uuid4().hex[:12]}"
    admin.cursor().execute(f"CREATE DATABASE {name}")
    try:
        yield POSTGRES.format(name)
    finally:
        admin.cursor().execute(f"DROP DATABASE {name} WITH (FORCE)")
        admin.close()
