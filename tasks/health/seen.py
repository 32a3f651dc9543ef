"""What the checks look at: the checkout, the environment, and the processes of this machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import psutil

MARKS = ("LUTHIER_SERVICE", "LUTHIER_RUN")  # in the environment of whatever a service or a run started


@dataclass(frozen=True)
class Process:
    """One process, as far as this user may look into it."""

    pid: int
    parent: int
    command: tuple[str, ...]
    folder: str
    """Its working directory."""
    environment: Mapping[str, str]
    started: float
    """Seconds since the epoch."""
    listens: tuple[tuple[str, int], ...] = ()
    """(address, port) of its listening TCP sockets."""

    @property
    def said(self) -> str:
        """For a person: without arguments, which may hold a secret."""
        words = [Path(word).name for word in self.command[:3] if not word.startswith("-")]
        return f"process {self.pid} ({' '.join(words)[:40] or '?'})"


@dataclass(frozen=True)
class Running:
    """A service that `luthier up` recorded."""

    name: str
    pid: int
    mark: str
    port: int
    alive: bool


@dataclass(frozen=True)
class AirflowSaid:
    """What the running Airflow answered."""

    silent: frozenset[str]
    """Services that gave no sign of life for a minute."""
    pools: Mapping[str, int] = field(default_factory=dict)
    """Slots by name; -1: no bound."""
    import_errors: tuple[str, ...] = ()
    refused: str = ""
    """What it said instead of an answer."""


@dataclass(frozen=True)
class Surroundings:
    """All that the checks look at."""

    root: Path
    environment: Mapping[str, str]
    processes: tuple[Process, ...]
    unseen_ports: tuple[tuple[str, int], ...]
    """Listening sockets of processes that this user may not look into."""
    services: tuple[Running, ...]
    users: frozenset[str]
    """Who can sign in to the Airflow that `luthier up` starts."""
    tracking: str
    """MLflow's address, with a login where it has one: never printed."""
    airflow: AirflowSaid | None
    """None: it does not run."""
    switches: Mapping[str, str]
    """Environment variables as Luthier's own steps want them."""

    def process(self, pid: int) -> Process | None:
        """A process by its id."""
        return next((one for one in self.processes if one.pid == pid), None)

    def checkouts(self) -> list[Path]:
        """This one, and those of its runs."""
        return [self.root, *self.runs()]

    def runs(self) -> list[Path]:
        """The workspaces of runs, which lie below the checkout, beside a folder of locks."""
        folder = self.root / ".luthier/runs"
        return sorted(path for path in folder.glob("[!.]*") if path.is_dir())

    def named(self, path: Path) -> str:
        """A path as a person in the checkout would type it."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)


def inside(folder: str, root: Path) -> bool:
    """Is this working directory the checkout or below it?"""
    return bool(folder) and Path(folder).is_relative_to(root)


def is_loopback(address: str) -> bool:
    """Can only this machine reach it?"""
    try:
        seen = ip_address(address.partition("%")[0])
    except ValueError:
        return address == "localhost"
    mapped = getattr(seen, "ipv4_mapped", None)
    return bool((mapped or seen).is_loopback)


def look_at_processes() -> tuple[tuple[Process, ...], tuple[tuple[str, int], ...]]:
    """All processes with their listening sockets, and the sockets whose process this user may not see."""
    listens: dict[int, set[tuple[str, int]]] = {}
    unseen: set[tuple[str, int]] = set()
    for socket in psutil.net_connections("tcp"):
        if socket.status == psutil.CONN_LISTEN:
            address = (str(socket.laddr.ip), int(socket.laddr.port))  # type: ignore[union-attr]
            listens.setdefault(socket.pid, set()).add(address) if socket.pid else unseen.add(address)
    found = []
    for process in psutil.process_iter():
        try:
            with process.oneshot():
                command, parent, started = tuple(process.cmdline()), process.ppid(), process.create_time()
        except (psutil.Error, OSError):
            continue  # it ended meanwhile
        try:
            folder, environment = process.cwd(), process.environ()
        except (psutil.Error, OSError):
            folder, environment = "", {}  # another user's
        mine = tuple(sorted(listens.get(process.pid, ())))
        found.append(Process(process.pid, parent, command, folder, environment, started, mine))
    return tuple(found), tuple(sorted(unseen))
