"""Processes that outlive the command that started them: started, found again and ended.

Every process of a service inherits LUTHIER_SERVICE, a random mark. Ending a service ends whatever carries its
mark: a step that outlived its scheduler goes too, and a process that merely got an old id is left alone.
"""

import secrets
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from tasks.data.files import read_json, write_json
from tasks.orchestrator import ServiceError

MARK = "LUTHIER_SERVICE"
STOP_S = 10  # from SIGTERM to SIGKILL
_children: dict[int, subprocess.Popen[bytes]] = {}  # those of this very process, to be reaped


@dataclass(frozen=True)
class Service:
    """One service that was started."""

    name: str
    pid: int
    mark: str
    """Value of LUTHIER_SERVICE in all its processes."""
    port: int
    """Its own, or that of the Airflow it belongs to."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def alive(self) -> bool:
        """Does its first process run?"""
        try:
            return _mark_of(psutil.Process(self.pid)) == self.mark
        except psutil.NoSuchProcess:
            return False


def recorded(root: Path) -> list[Service]:
    """The services that were started in this checkout and not ended by us, dead ones among them."""
    file = root / ".luthier/services.json"
    return [Service(**row) for row in read_json(file)] if file.exists() else []


def log_of(root: Path, name: str) -> Path:
    """Where a service writes."""
    return root / f".luthier/logs/{name}.log"


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log, introduced by its name."""
    end = "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return f"The end of {log}:\n{end}"


def start(root: Path, name: str, command: list[str], settings: dict[str, str], port: int) -> None:
    """Start a service in a session of its own, its log in log_of(root, name), and record it at once."""
    mark = secrets.token_hex(8)
    # SPT_NOENV: Airflow renames its processes, and this keeps their environment readable from outside.
    settings = settings | {MARK: mark, "SPT_NOENV": "1", "PYTHONUNBUFFERED": "1"}
    with log_of(root, name).open("wb") as log:
        child = subprocess.Popen(
            command, env=settings, cwd=root, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    _children[child.pid] = child
    others = [service for service in recorded(root) if service.name != name]
    _record(root, [*others, Service(name, child.pid, mark, port)])


def end(root: Path, services: list[Service]) -> None:
    """SIGTERM to every process of these services, SIGKILL to what is there after STOP_S."""
    marks = {service.mark for service in services}
    deadline, asked = time.monotonic() + STOP_S, set[int]()
    while members := _members(marks):
        too_long = time.monotonic() > deadline
        for process in members:
            if too_long or process.pid not in asked:
                asked.add(process.pid)
                with suppress(psutil.NoSuchProcess):
                    process.kill() if too_long else process.terminate()
        time.sleep(0.1)
    for service in services:
        if child := _children.pop(service.pid, None):
            child.wait()
    if services:
        _record(root, [service for service in recorded(root) if service not in services])


def free_port(first: int) -> int:
    """The first free port of 127.0.0.1 from `first` on."""
    for port in range(first, first + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just given back is free
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise ServiceError(f"no port from {first} to {first + 99} is free on 127.0.0.1: end what holds them.")


def _record(root: Path, services: list[Service]) -> None:
    write_json(root / ".luthier/services.json", [asdict(service) for service in services])


def _members(marks: set[str]) -> list[psutil.Process]:
    """The processes that carry one of these marks, whoever their parent is by now."""
    return [process for process in psutil.process_iter() if _mark_of(process) in marks] if marks else []


def _mark_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):  # ended meanwhile, or somebody else's
        return None
