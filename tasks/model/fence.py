"""One training at a time in a folder, and none that outlives the pipeline that started it.

    end_with_parent()
    with sole_writer(folder):
        ...                     # BusyError where another process is in here

The lock is the training process's own (flock): it ends with that process, however that ends, and with nothing else. A
lock that a scheduler holds would be free again while the training that it lost sight of still writes.
"""

import fcntl
import json
import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil

from tasks.errors import BusyError
from tasks.step import Terminated

LOCK = "lock"
STAGE = "DVC_STAGE"  # DVC sets it in the environment of every stage's command (dvc/stage/run.py)
_held: set[int] = set()  # descriptors of the locks that this very process holds


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Be the only process in this block for this folder, which is made where it is not there.

    The file `lock` in it stays: removing it would let a third process lock another file of the same name.

    Raises:
        BusyError: another process is in such a block; its process id, its machine and since when.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    _held.add(descriptor)
    owner = os.getpid()
    try:
        _lock(descriptor, folder)
        yield
    finally:
        if os.getpid() == owner:  # a forked child gave up its copy at birth
            _held.discard(descriptor)
            os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BusyError(f"{folder} is in use by {_holder(descriptor)}, and run the step again.") from None
    since = datetime.now(UTC).isoformat(timespec="seconds")
    holder = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, holder.encode(), 0)


def _holder(descriptor: int) -> str:
    """Who holds the lock and what to do about it, as far as the file says so."""
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        pid, host, since = holder["pid"], holder["host"], holder["since"]
    except (ValueError, KeyError, TypeError):  # read between the holder's lock and its note
        return "another training. Wait until it ends"
    return f"process {pid} on {host} since {since}. Wait until it ends, or end it ('kill {pid}' on {host})"


def _give_up_in_a_fork() -> None:
    """A fork shares its parent's lock and would hold it after the parent's death: close its copy."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_give_up_in_a_fork)


def end_with_parent() -> None:
    """Have this process sent SIGTERM when the DVC that runs it as a stage ends, kill -9 included.

    Does nothing outside a stage: a training that a person started with nohup outlives its shell.
    PR_SET_PDEATHSIG would watch the direct parent only, and that thread of it which started us. Between DVC and us
    may stand a shell (dash does not replace itself by the command) or torchrun, which live on when DVC is killed.

    Raises:
        Terminated: DVC ended before this call.
    """
    if STAGE not in os.environ:
        return
    first, starter = _first_of_stage()
    try:
        watched = os.pidfd_open(starter)
        orphan = os.getsid(starter) != os.getsid(first) != first
        orphan = orphan or psutil.Process(first).ppid() != starter  # it ended while we looked
    except (ProcessLookupError, psutil.NoSuchProcess):
        raise Terminated from None
    if orphan:
        raise Terminated
    threading.Thread(target=end_after, args=(watched,), name="end_with_parent", daemon=True).start()


def _first_of_stage() -> tuple[int, int]:
    """The topmost process of this stage, and the parent that it has now: DVC, or who adopts what DVC leaves behind.

    What a stage starts inherits its environment. DVC starts it in its own session, so a parent of another session
    has adopted it; a stage's process that opened a session itself tells nothing.
    """
    first = psutil.Process()
    while (parent := first.parent()) is not None and _stage_of(parent) == os.environ[STAGE]:
        first = parent
    return first.pid, first.ppid()


def _stage_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(STAGE)
    except (psutil.Error, OSError):  # ended meanwhile, or somebody else's
        return None


def end_after(watched: int) -> None:
    """Wait for the end of a process, then end this one as `kill` would."""
    poll = select.poll()
    poll.register(watched, select.POLLIN)  # readable once it has ended, reaped or not
    poll.poll()
    os.kill(os.getpid(), signal.SIGTERM)
