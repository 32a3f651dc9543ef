"""From an order to a job's end: exactly one job, whatever happens to who follows it.

    with held(launcher) as hold:
        job = begun(launcher, order, patience, hold) or submitted(launcher, order, patience, hold)
        seen = follow(launcher, job, patience)       # its log on ours, until it has ended

A process that is killed leaves the job running; whoever tries again finds it by what it is of, and goes on. One that is
asked to end (SIGTERM, Ctrl-C) cancels it first. A launcher that does not answer is waited for; a submission without an
answer is looked up before it is tried again.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from tasks.errors import OutageError
from tasks.jobs.hold import Hold, say
from tasks.jobs.job import CANCELLED, TAIL, Job, Launcher, Order, Seen, TakenError

T = TypeVar("T")
FIRST_S, LONGEST_S = 0.5, 30.0  # between two tries of what does not answer
REST_TRIES = 6
ENDING_S = 300.0  # a cancelled job may take so long to end: SageMaker gives two minutes, a pod its grace period


@dataclass(frozen=True)
class Patience:
    """How long is waited for what."""

    poll_s: float
    stuck_s: float
    outage_s: float


@dataclass(frozen=True)
class Followed:
    """A job that is ours to follow."""

    order: Order
    """With the job's own commit and number."""
    adopted: bool
    """An earlier attempt submitted it."""


def patiently(call: Callable[[], T], patience: Patience) -> T:
    """What a call gives, tried again as long as the launcher does not answer.

    Raises:
        OutageError: it did not, for `outage_s` seconds.
    """
    deadline, delay = time.monotonic() + patience.outage_s, FIRST_S
    while True:
        try:
            return call()
        except OutageError as error:
            if time.monotonic() + delay > deadline:
                raise OutageError(f"{error} It did not answer for {patience.outage_s:.0f} s; a job goes on.") from None
            if delay == FIRST_S:
                say(f"{error} It is asked again.")
            time.sleep(delay)
            delay = min(2 * delay, LONGEST_S)


def begun(launcher: Launcher, order: Order, patience: Patience, hold: Hold) -> Followed | None:
    """The job that an earlier attempt left, once those that it cancelled have ended; None: there is none.

    What an earlier job that was not reported came to is reported by following it, though it has ended.
    """
    jobs = patiently(lambda: launcher.find(order), patience)
    for job in jobs:
        if job.mark == CANCELLED and not job.ended:
            _end(launcher, job, patience)
    open_ = [job for job in jobs if not job.mark]
    if not open_:
        return None
    chosen = next((job for job in reversed(open_) if not job.ended), open_[-1])
    hold.name = "" if chosen.ended else chosen.name
    for job in open_:
        if job.ended and job is not chosen:
            patiently(lambda name=job.name: launcher.mark(name, "superseded"), patience)  # type: ignore[misc]
    say(f"goes on with job {chosen.name}, which an earlier attempt submitted.")
    return Followed(_order_of(order, chosen), adopted=True)


def _order_of(order: Order, job: Job) -> Order:
    return replace(order, commit=job.commit, number=job.number)


def _end(launcher: Launcher, job: Job, patience: Patience) -> None:
    """Wait until a job that was told to end has.

    Raises:
        OutageError: it takes too long.
    """
    say(f"job {job.name} was cancelled, and ends.")
    patiently(lambda: launcher.cancel(job.name), patience)
    deadline = time.monotonic() + ENDING_S
    while patiently(lambda: launcher.look(job.name), patience).phase not in {"ended", "gone"}:
        if time.monotonic() > deadline:
            raise OutageError(f"job {job.name} was cancelled and has not ended in {ENDING_S:.0f} s.")
        time.sleep(patience.poll_s)


def submitted(launcher: Launcher, order: Order, patience: Patience, hold: Hold) -> Followed:
    """A new job of an order. One that is there by the time it is submitted is adopted.

    Raises:
        LuthierError: the launcher refuses it.
    """
    jobs = patiently(lambda: launcher.find(order), patience)
    used = [job.number for job in jobs if job.commit == order.commit and job.mark]  # not by who submits beside us
    order = replace(order, number=max(used, default=0) + 1)
    lost = False  # a submission without an answer
    deadline, delay = time.monotonic() + patience.outage_s, FIRST_S
    while True:
        try:
            if lost and patiently(lambda: launcher.job(order.name), patience):  # noqa: B023
                say(f"job {order.name} was submitted, though its answer was lost.")
                return Followed(order, adopted=False)
            hold.name = order.name
            launcher.submit(order)
            say(f"submitted job {order.name}.")
            return Followed(order, adopted=False)
        except TakenError:
            there = patiently(lambda: launcher.job(order.name), patience)  # noqa: B023
            if there and not there.mark:
                say(f"job {order.name} is there already: goes on with it.")
                return Followed(order, adopted=not lost)
            if there:  # reported: its number is used up
                order = order.next()
        except OutageError as error:
            if time.monotonic() + delay > deadline:
                raise
            say(f"{error} Whether job {order.name} was submitted is looked up.")
            lost = True
            time.sleep(delay)
            delay = min(2 * delay, LONGEST_S)


def follow(launcher: Launcher, job: Followed, patience: Patience) -> Seen:
    """Show a job's log as it comes, until it has ended; what it waits for, whenever that changes.

    A job that waits too long for what does not come by itself is ended.

    Raises:
        OutageError: the launcher does not answer any more.
    """
    name, told, stuck_at = job.order.name, "", None
    last = TAIL if job.adopted else None
    while True:
        seen = patiently(lambda: launcher.look(name), patience)
        if seen.phase in {"ended", "gone"}:
            _show_rest(launcher, name, last)
            return seen
        _show(launcher, name, last)
        if seen.told and seen.told != told:
            say(f"job {name}: {seen.told}")
        told = seen.told
        stuck_at = (stuck_at or time.monotonic()) if seen.stuck else None
        if stuck_at is not None and time.monotonic() - stuck_at >= patience.stuck_s:
            patiently(lambda: launcher.cancel(name), patience)
            return Seen("ended", f"{seen.told} It was given up after {patience.stuck_s:.0f} s (launch.stuck_s).")
        time.sleep(patience.poll_s)


def _show(launcher: Launcher, name: str, last: int | None) -> bool:
    """Put new lines on ours; whether the log could be read. It comes from another machine than the rest."""
    try:
        lines = launcher.read(name, last)
    except OutageError:
        return False
    if lines:
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()
    return True


def _show_rest(launcher: Launcher, name: str, last: int | None) -> None:
    for _ in range(REST_TRIES):
        if _show(launcher, name, last):
            return
        time.sleep(FIRST_S)
    say(f"the end of the log of job {name} cannot be read.")
