"""One attempt at a stage that is done elsewhere: its job found or submitted, followed, taken, and noted as taken.

Whatever moment an attempt is killed at, the next one goes on from what the launcher knows: a job that is not noted as
reported is followed, and one that has succeeded is taken, before another is thought of.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tasks.errors import LuthierError
from tasks.jobs.declared import Launch
from tasks.jobs.follow import Patience, begun, follow, patiently, submitted
from tasks.jobs.hold import held, say
from tasks.jobs.job import Launcher, Order
from tasks.runs.calls import SKIPPED


class NotArrivedError(LuthierError):
    """A job, which this names, says that it is done, and its outputs are not there."""


@dataclass(frozen=True)
class Workspace:
    """A stage's outputs, here."""

    untouched: Callable[[], bool]
    """Whether they are there, and those of the stage's present inputs."""
    take: Callable[[], bool]
    """Bring what a job made; whether they are."""


def patience_of(launch: Launch) -> Patience:
    """As params.yaml has it."""
    return Patience(launch.poll_s, launch.stuck_s, launch.outage_s)


def sent(launcher: Launcher, order: Callable[[], Order], patience: Patience, workspace: Workspace) -> int:
    """Have an order done once, and its outputs here.

    Args:
        launcher: who does it.
        order: what has to be done, as the run stands.
        patience: how long is waited for what.
        workspace: where the outputs go.

    Returns:
        The stage's own exit status, as `tasks.runs.calls.call` tells it.

    Raises:
        NotArrivedError: a job succeeded, and what it made is not there.
        LuthierError: the launcher refuses.
    """
    while True:
        asked = order()
        with held(launcher) as hold:
            job = begun(launcher, asked, patience, hold)
            if job is None and workspace.untouched():
                print(f"Stage '{asked.stage}' didn't change, skipping", flush=True)
                return SKIPPED
            job = job or submitted(launcher, asked, patience, hold)
            seen = follow(launcher, job, patience)
            hold.name = ""
        name, succeeded = job.order.name, seen.status in {0, SKIPPED}
        say(f"job {name} ended with {seen.status}. {seen.told}".rstrip())
        arrived = succeeded and workspace.take()
        patiently(lambda: launcher.mark(name, f"exit {seen.status}"), patience)  # noqa: B023
        if arrived:
            say(f"{asked.stage} is taken over: its outputs have the bytes that dvc.lock names.")
        if arrived or not succeeded:
            return seen.status
        if not job.adopted:
            raise NotArrivedError(name)
        say(f"{asked.stage} has changed since job {name} did it, and is done again.")
