"""One attempt at a run at a time on a machine: a later one ends what an earlier one left behind.

A scheduler that lost sight of a task starts it again, whether or not its processes still live. What works in a
workspace inherits LUTHIER_WORKSPACE, and who started it holds the run's lock: so a later attempt finds and ends all of
them before it touches anything. Two never write at once.
"""

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tasks.errors import BusyError
from tasks.locks import give_back, holder_of, take
from tasks.runs.asked import Asked

MARK = "LUTHIER_WORKSPACE"  # in the environment of what works in a run's workspace: its folder
PART = "LUTHIER_PART"  # of what makes a part of a stage there: which
LOCKS = Path(".luthier/runs/.locks")
PATIENCE_S = 4.0  # Airflow kills 5 s after it asked
TAKE_S = 15.0  # for an earlier attempt to be gone


@contextmanager
def sole_attempt(root: Path, run: Asked, folder: Path, part: str = "") -> Iterator[None]:
    """Hold the run's lock while nothing else works in its folder; what an earlier attempt left is ended.

    Args:
        root: the checkout.
        run: what it is a run of.
        folder: that it works in.
        part: of a stage, such as 2/4: parts read the folder side by side, and each has a lock of its own. A whole
            stage that begins ends them.

    Raises:
        BusyError: it cannot be ended: another user's, or another machine's on a shared disk. Or a part is asked for
            while a stage of the run is at work.
    """
    lock = root / LOCKS / run.slug
    lock.parent.mkdir(parents=True, exist_ok=True)
    if part:
        _require_free(lock, run)
        lock = lock.with_name(f"{run.slug}.part-{part.replace('/', '-of-')}")
    deadline = time.monotonic() + TAKE_S
    while (descriptor := take(lock)) is None:
        if time.monotonic() > deadline:
            raise BusyError(f"the run {run.run} is in use by {holder_of(lock)}.")
        _end_holder(lock)
        time.sleep(0.2)
    try:
        if left := members(folder, part):
            end(folder, 0.0, part)
            names = ", ".join(str(process.pid) for process in left)
            print(f"workspace: ended {len(left)} processes that an earlier attempt left ({names})", flush=True)
        yield
    finally:
        give_back(descriptor)


def _end_holder(lock: Path) -> None:
    """Ask an earlier attempt on this machine to end: whoever starts a second one has given it up."""
    with suppress(OSError, ValueError, KeyError):
        note = json.loads(lock.read_text())
        if note["host"] == socket.gethostname():
            os.kill(int(note["pid"]), signal.SIGTERM)


def _require_free(lock: Path, run: Asked) -> None:
    if (descriptor := take(lock)) is None:
        raise BusyError(f"a stage of the run {run.run} is at work, by {holder_of(lock)}; a part of one has to wait.")
    give_back(descriptor)


def members(folder: Path, part: str = "") -> list[psutil.Process]:
    """The processes that work in a run's folder (of a part, if said), but for this one and those it descends from."""
    ours = {process.pid for process in psutil.Process().parents()} | {os.getpid()}
    found = []
    for process in psutil.process_iter():
        if process.pid not in ours:
            with suppress(psutil.Error, OSError):  # ended meanwhile, or somebody else's
                told = process.environ()
                ours_too = told.get(MARK) == str(folder) and (not part or told.get(PART) == part)
                if ours_too and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
    return found


def end(folder: Path, patience_s: float, part: str = "") -> None:
    """End what works in a run's folder (on a part, if said): asked first, then made to."""
    deadline, asked = time.monotonic() + patience_s, set[int]()
    while there := members(folder, part):
        too_long = time.monotonic() >= deadline
        for process in there:
            if too_long or process.pid not in asked:
                asked.add(process.pid)
                with suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL if too_long else signal.SIGTERM)
        time.sleep(0.1)


def forget_locks(project: Path) -> None:
    """Remove what a killed DVC noted as in use in a run's folder, unless somebody really works there.

    DVC believes such a note as long as any process has that number (dvc/rwlock.py): one that waits to be reaped, or
    after a restart of the machine one that has nothing to do with it. And a kill may have cut the note short.
    """
    file = project / ".dvc/tmp/rwlock"
    with suppress(FileNotFoundError):
        named = {int(pid) for pid in re.findall(r'"pid": (\d+)', file.read_text(errors="replace"))}
        if not any(_works_in(pid, project) for pid in named):
            file.unlink()


def _works_in(pid: int, project: Path) -> bool:
    with suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(project.resolve())
    return False
