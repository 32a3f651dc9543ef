"""The processes of a machine that share a training: started together, asked to end together, and ended together.

    sys.exit(launch(2, "tasks.finetune", sys.argv[1:], node()))

Each is given what torchrun gives: RANK, WORLD_SIZE, LOCAL_RANK, and a store to meet at, which this process holds and
which listens on this machine alone, unless several share the training: then the first one's holds it for all.
torchrun's own port is open to the network on one machine too, every error comes with its own tracebacks, its exit
status is always 1, and killed, it leaves its processes behind.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch.distributed.rendezvous import TCPStore  # type: ignore[attr-defined]  # no module exports it to mypy

from tasks.errors import OutageError, TrainingError
from tasks.model.meeting import meet
from tasks.nodes import Node
from tasks.orphan import STAGE, end_after
from tasks.step import EX_TEMPFAIL

HELD = "TORCHELASTIC_USE_AGENT_STORE"  # torch's own name: "True" where the launcher holds the store, not process 0
SPOKEN = "luthier/spoken"  # in the store: the process that said why the training ends
PATIENCE_S = 10.0  # for a process that could not go on: to notice by itself, then to obey SIGTERM
LOOK_S = 0.05

Processes = list[subprocess.Popen[bytes]]


def launch(processes: int, module: str, arguments: Sequence[str], here: Node = Node(0, 1)) -> int:  # noqa: B008  frozen
    """Start a training's processes, wait for them, and return what to exit with.

    SIGTERM and Ctrl-C are passed on, once each: the processes save a checkpoint if that is quick, and end. Where one
    fails, the others cannot go on, and are ended too.

    Args:
        processes: how many.
        module: is run by each, as `python -m`.
        arguments: its command line.
        here: this machine among those that share the training, each with as many processes.

    Returns:
        The exit status of the process that said why it failed, or 0; EX_TEMPFAIL where one of another machine did.

    Raises:
        TrainingError: none could say why: one was killed.
        OutageError: another machine does not come, or is gone.
        ParamsError: the machines do not run as many processes.
    """
    store = meet(here, processes)
    started: Processes = []
    with _signals() as asked:
        try:
            for rank in range(processes):
                place = _place(rank, processes, store, here)
                # A process group of their own: Ctrl-C in a terminal reaches them through us, and once.
                started.append(subprocess.Popen([sys.executable, "-m", module, *arguments], env=place, process_group=0))
            _wait(started, asked)
        finally:
            for process in started:
                process.kill()
                process.wait()
    codes = [process.returncode for process in started]
    if any(codes) and not _spoken(store):
        if here.size > 1 and not any(code < 0 for code in codes):
            _leave_last()
            raise OutageError(f"another of the {here.size} machines of this training is gone: see what it said last.")
        raise TrainingError(_unsaid(codes))
    own = next((code for code in codes if code > 0 and code != EX_TEMPFAIL), EX_TEMPFAIL if any(codes) else 0)
    if own == EX_TEMPFAIL and here.size > 1:
        _leave_last()
    return own


def _leave_last() -> None:
    """Let the machine whose process knows why end before this one: whoever runs both ends all with the first."""
    time.sleep(3 * PATIENCE_S)


def _spoken(store: TCPStore) -> bool:
    """Whether a process has said why the training ends."""
    try:
        socket.create_connection((store.host, store.port), timeout=5).close()  # torch would complain in 20 lines
        return bool(store.check([SPOKEN]))
    except (OSError, RuntimeError):  # the machine that held the store is gone
        return False


def _place(rank: int, size: int, store: TCPStore, here: Node) -> dict[str, str]:
    """The environment of one process."""
    ours = {name: value for name, value in os.environ.items() if name != STAGE}  # it watches us; we watch DVC
    return ours | {
        "RANK": str(here.rank * size + rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(here.size * size),
        "LOCAL_WORLD_SIZE": str(size), "MASTER_ADDR": store.host, "MASTER_PORT": str(store.port), HELD: "True",
    }  # fmt: skip


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The numbers of SIGTERM and Ctrl-C that arrive meanwhile."""
    arrived: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda got, _: arrived.append(got)) for number in numbers}
    try:
        yield arrived
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(started: Processes, asked: list[int]) -> None:
    """Until all have ended: pass on what is asked; end those that wait in vain for one that failed."""
    due: list[tuple[float, int]] | None = None
    while any(process.poll() is None for process in started):
        now = time.monotonic()
        if due is None and any(process.returncode for process in started):
            due = [(now + PATIENCE_S, signal.SIGTERM), (now + 2 * PATIENCE_S, signal.SIGKILL)]
        while due and due[0][0] < now:
            asked.append(due.pop(0)[1])
        while asked:
            number = asked.pop(0)
            for process in started:
                process.send_signal(number)
        time.sleep(LOOK_S)


def _unsaid(codes: Sequence[int]) -> str:
    """What became of processes of which none could say it."""
    killed = [(rank, -code) for rank, code in enumerate(codes) if code < 0]
    if not killed:
        return f"its {len(codes)} processes lost each other. The same command goes on from the last checkpoint."
    rank, number = killed[0]
    return (
        f"process {rank} of its {len(codes)} was ended by {signal.Signals(number).name}, by hand or for want of "
        "memory, and the others cannot go on without it. The same command goes on from the last checkpoint."
    )


def end_with_launcher() -> None:
    """Have this process ended when its launcher ends, kill -9 included; at once, should it wait for another process."""
    if os.environ.get(HELD) != "True":
        return
    watched = os.pidfd_open(os.getppid())
    threading.Thread(target=_end, args=(watched,), name="end_with_launcher", daemon=True).start()


def _end(watched: int) -> None:
    end_after(watched)
    time.sleep(PATIENCE_S)  # in a collective, Python sees no signal
    os.kill(os.getpid(), signal.SIGKILL)
