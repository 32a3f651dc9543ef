"""An attempt at a stage that is done elsewhere, as a process of its own that can be killed: no git, no DVC.

The job runs a script; what it makes is taken at once, and is there. `tests.launches` starts it.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from tasks.jobs import hold
from tasks.jobs.declared import Launch
from tasks.jobs.elsewhere import LAUNCHERS
from tasks.jobs.job import Order
from tasks.jobs.send import Workspace, patience_of, sent
from tasks.runs.calls import end_with_starter
from tasks.step import exit_status
from tasks.workspace import _terminate

RUN, COMMIT = "a" * 40, "b" * 40
WITH_STARTER = "WITH_STARTER"


def order(environment: dict[str, str], number: int = 1) -> Order:
    return Order(RUN, "a-run-0a1b2c", "finetune", COMMIT, number, environment)


def child(kind: str, section: dict[str, Any], environment: dict[str, str], env: dict[str, str], log: str) -> None:
    """A forked process, its output in a file."""
    signal.signal(signal.SIGTERM, _terminate)
    output = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(env)
    hold.STARTER = os.getppid()
    sys.exit(attempt(kind, section, environment))


def attempt(kind: str, section: dict[str, Any], environment: dict[str, str]) -> int:
    outcome = 0

    def work() -> None:
        nonlocal outcome
        if WITH_STARTER in os.environ:
            end_with_starter()
        asked = Launch.model_validate(section)
        place = Workspace(lambda: False, lambda: True)
        outcome = sent(LAUNCHERS[kind](asked), lambda: order(environment), patience_of(asked), place)

    return exit_status(work, "sender") or outcome


def grandchild(given: Path, *told: Any) -> None:
    """A forked process that starts another one, as a worker starts a task, and waits."""
    if (pid := os.fork()) == 0:
        child(*told)
    given.write_text(str(pid))
    os.waitpid(pid, 0)
