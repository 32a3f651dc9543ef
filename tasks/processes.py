"""Processes that outlive the command that started them: started, found again and ended.

Every process of a service inherits LUTHIER_SERVICE, a random mark. Ending a service ends whatever carries its
mark: a step that outlived its scheduler goes too, and a process that merely got an old id is left alone. Redis and
PostgreSQL write their titles over their environment: they are known by when they began.
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
from tasks.data.sources import cache
from tasks.locks import give_back, take
from tasks.orchestrator import ServiceError

MARK = "LUTHIER_SERVICE"
STOP_S = 10  # from SIGTERM to SIGKILL
_kept: list[int] = []  # locks of ports that are promised to a service that does not listen yet
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
    created: float = 0.0
    """When its first process began, as the system counts; 0: not noted."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def alive(self) -> bool:
        """Does its first process run?"""
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return _mark_of(process) == self.mark or process.create_time() == self.created
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
    _record(root, [*others, Service(name, child.pid, mark, port, psutil.Process(child.pid).create_time())])


def end(root: Path, services: list[Service]) -> None:
    """SIGTERM to every process of these services, SIGKILL to what is there after STOP_S."""
    deadline, asked = time.monotonic() + STOP_S, set[int]()
    while there := members(services):
        too_long = time.monotonic() > deadline
        for process in there:
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


def free_port(first: int, together: int = 1) -> int:
    """The first free port of 127.0.0.1 from `first` on, kept from other starts on this machine until `give_ports`.

    Args:
        first: where to look from.
        together: so many ports in a row are free.
    """
    folder = cache() / "ports"
    folder.mkdir(parents=True, exist_ok=True)
    for port in range(first, first + 100 * together, together):
        descriptor = take(folder / f"{port}.lock")
        if descriptor is None:  # a service of another checkout is about to listen there
            continue
        if all(_is_free(one) for one in range(port, port + together)):
            _kept.append(descriptor)
            return port
        give_back(descriptor)
    raise ServiceError(f"no port from {first} to {first + 99} is free on 127.0.0.1: end what holds them.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just given back is free
        with suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False


def give_ports() -> None:
    """Keep no port any longer: who needed one listens there by now."""
    while _kept:
        give_back(_kept.pop())


def _record(root: Path, services: list[Service]) -> None:
    write_json(root / ".luthier/services.json", [asdict(service) for service in services])


def members(services: list[Service]) -> list[psutil.Process]:
    """The processes that carry a mark of these services, whoever their parent is by now, and their first ones."""
    marks = {service.mark for service in services}
    begun = {(service.pid, service.created) for service in services}
    return [process for process in psutil.process_iter() if _is_of(process, marks, begun)] if services else []


def _is_of(process: psutil.Process, marks: set[str], begun: set[tuple[int, float]]) -> bool:
    with suppress(psutil.Error):
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return _mark_of(process) in marks or (process.pid, process.create_time()) in begun
    return False


def _mark_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except (psutil.Error, OSError):  # ended meanwhile, or somebody else's
        return None
