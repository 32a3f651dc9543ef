"""A lock file that a process holds as long as it lives (flock), with a note of who has it.

    descriptor = take(path)      # None: another process has it, and holder_of(path) says which
    give_back(descriptor)

It ends with the process, however that ends, and with nothing else: a fork gives up its copy at birth.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

_held: set[int] = set()  # descriptors of the locks that this very process holds


def take(path: Path) -> int | None:
    """Lock a file, which is made where it is not there; its descriptor, or None where another process has it.

    The file stays: removing it would let a third process lock another file of the same name.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    _held.add(descriptor)
    since = datetime.now(UTC).isoformat(timespec="seconds")
    holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, holder.encode(), 0)
    return descriptor


def give_back(descriptor: int) -> None:
    """Unlock what `take` locked."""
    _held.discard(descriptor)
    os.close(descriptor)


@contextmanager
def waited(path: Path) -> Iterator[None]:
    """Hold a lock, whose folder is made, once whoever has it gives it back: for work of moments."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while (descriptor := take(path)) is None:
        time.sleep(0.05)
    try:
        yield
    finally:
        give_back(descriptor)


def holder_of(path: Path) -> str:
    """Who holds a lock and what to do about it, as far as the file says so."""
    try:
        holder = json.loads(path.read_text())
        pid, host, since = holder["pid"], holder["host"], holder["since"]
    except (ValueError, KeyError, TypeError):  # read between the holder's lock and its note
        return "another process. Wait until it ends"
    return f"process {pid} on {host} since {since}. Wait until it ends, or end it ('kill {pid}' on {host})"


def _give_up_in_a_fork() -> None:
    """A fork shares its parent's lock and would hold it after the parent's death: close its copy."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_give_up_in_a_fork)
