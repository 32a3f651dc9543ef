"""No step outlives the DVC that started it: a killed pipeline leaves no process that still writes.

    end_with_parent()    # of every step's command line, before its work

DVC runs a stage's command through a shell in the stage's own session, and neither ends when DVC is killed. So the step
itself watches, by a descriptor of DVC's process (pidfd), and sends itself the SIGTERM that DVC could not.
"""

import os
import select
import signal
import threading
import time

import psutil

STAGE = "DVC_STAGE"  # DVC sets it in the environment of every stage's command (dvc/stage/run.py)
PATIENCE_S = 30.0  # from SIGTERM to SIGKILL: a checkpoint is saved in seconds, and nobody waits for an orphan


class Terminated(BaseException):
    """SIGTERM arrived: whoever runs us wants the step to end now."""


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
    threading.Thread(target=_end, args=(watched,), name="end_with_parent", daemon=True).start()


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


def _end(watched: int) -> None:
    end_after(watched)
    time.sleep(PATIENCE_S)  # in a long call into a library, Python sees no signal
    os.kill(os.getpid(), signal.SIGKILL)
