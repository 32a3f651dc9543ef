"""Who stops a task wants its job to end, too; who kills a worker does not.

with held(launcher) as hold:
    hold.name = "..."       # from here on, SIGTERM and Ctrl-C cancel that job
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tasks.errors import LuthierError
from tasks.jobs.job import Launcher
from tasks.orphan import Terminated

STARTER = os.getppid()


@dataclass
class Hold:
    """The job that ends with this process, if that is asked to end."""

    name: str = ""


@contextmanager
def held(launcher: Launcher) -> Iterator[Hold]:
    """Cancel the held job where SIGTERM or Ctrl-C ends this process: Airflow stops, clears and times out by SIGTERM.

    But not where this process ends for the end of the one that started it (tasks/runs/calls.py): a worker that was
    killed is no wish of anybody, and the next attempt goes on with the job.
    """
    hold = Hold()
    try:
        yield hold
    except (Terminated, KeyboardInterrupt):
        if hold.name and os.getppid() == STARTER:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)  # a second one must not keep us from it
            _cancel(launcher, hold.name)
        elif hold.name:
            say(f"whoever started this attempt is gone; job {hold.name} goes on, and the next attempt with it.")
        raise


def _cancel(launcher: Launcher, name: str) -> None:
    try:
        launcher.cancel(name)
    except LuthierError as error:
        say(f"job {name} could not be cancelled, and may go on: {error} The next attempt goes on with it.")
    else:
        say(f"cancelled job {name}.")


def say(line: str) -> None:
    """One line for whoever reads the task's log."""
    sys.stdout.write(f"luthier: {line}\n")
    sys.stdout.flush()
