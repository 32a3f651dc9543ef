"""What a job is, whoever runs it, and what is asked of who does: a Launcher.

A job's name says which it is: two that submit the same work submit the same name, and of those there is one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from tasks.errors import LuthierError

LONGEST = 60  # characters of a name: 63 on Kubernetes and SageMaker alike, where "-10" names one of its machines
ENTRY = "luthier-job"  # docker/job.sh, as the image has it
CANCELLED = "cancelled"  # a job's mark: it was told to end, and counts no more
TAIL = 100  # lines of a log that an adopted job is shown with


class TakenError(LuthierError):
    """There is a job of this name already."""


@dataclass(frozen=True)
class Order:
    """A stage of a run, to be done elsewhere."""

    run: str
    """The commit that the run's branch began with: no other run has it, in any project."""
    slug: str
    stage: str
    commit: str
    """Where the run's branch stands."""
    number: int
    """Of the jobs for this stage at this commit, from 1."""
    environment: Mapping[str, str]
    """Of the container; no secrets."""

    @property
    def name(self) -> str:
        """The job's."""
        return f"{self.work}-{self.commit[:10]}-{self.number}"

    @property
    def work(self) -> str:
        """What the names of all jobs for this run and stage begin with."""
        room = LONGEST - len(self.stage) - len("--0123456789-9999")
        return f"{self.slug[:room].strip('-')}-{self.stage}"

    def next(self) -> "Order":
        """The same once more."""
        return replace(self, number=self.number + 1)


@dataclass(frozen=True)
class Job:
    """A job that a launcher knows."""

    name: str
    commit: str
    number: int
    ended: bool
    mark: str
    """What was noted on it: how it ended, once that was reported; CANCELLED; empty: nothing yet."""


@dataclass(frozen=True)
class Seen:
    """How a job stands."""

    phase: Literal["waiting", "running", "ending", "ended", "gone"]
    told: str = ""
    """What it waits for, or how it ended, where there is more to say than a status."""
    status: int = 1
    """Ended: 0, 99, 75, 74 or 1, as `tasks.runs.calls` means them."""
    stuck: bool = False
    """It waits for what does not come by itself."""


class Launcher(Protocol):
    """Who runs jobs. Everything may raise an OutageError: it does not answer, and may later."""

    def find(self, order: Order) -> list[Job]:
        """The jobs of an order's run and stage, whatever their commit, oldest first."""

    def submit(self, order: Order) -> None:
        """Have an order done.

        Raises:
            TakenError: there is a job of its name.
            LuthierError: it is refused.
        """

    def job(self, name: str) -> Job | None:
        """The job of this name; None: there is none."""

    def look(self, name: str) -> Seen:
        """How it stands."""

    def read(self, name: str, last: int | None) -> list[str]:
        """The lines of its log that were not read yet; the first time, no more than the `last` ones, if said."""

    def mark(self, name: str, text: str) -> None:
        """Note something on it."""

    def cancel(self, name: str) -> None:
        """Have it end, within 4 seconds; a no-op where it is gone."""
