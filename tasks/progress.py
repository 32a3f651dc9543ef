"""Progress of long work: a line now and then that reads well in a log file, and a file for whoever follows.

`.luthier/progress.json` is rewritten at each line; the demo and the scheduler's page read it.
"""

import math
import sys
import time
from pathlib import Path

from tasks.data.files import write_json

PROGRESS = Path(".luthier/progress.json")


class Progress:
    """Counts work done and says what is left.

    Args:
        step: the pipeline step's name.
        total: units of work in all.
        unit: their name, e.g. "steps".
        every_s: seconds between lines; the first and last unit always give one.
        begun: units that were done before, by an earlier try.
        aside: print to stderr and keep no file: a command's, whose stdout is its result.
    """

    def __init__(
        self, step: str, total: int, unit: str, every_s: float = 5.0, begun: int = 0, aside: bool = False
    ) -> None:
        self.aside = aside
        self.step, self.total, self.unit, self.every_s, self.begun = step, total, unit, every_s, begun
        self.started = time.monotonic()
        self.last = float("-inf")
        self.done = float(begun)

    def update(self, done: float, note: str = "") -> None:
        """Say that `done` units are finished."""
        self.done = done
        now = time.monotonic()
        if now - self.last < self.every_s and done < self.total:
            return
        self.last = now
        new = done - self.begun
        left = (now - self.started) / new * (self.total - done) if new else float("nan")
        line = f"{self.step}  {done:.0f} of {self.total} {self.unit}  {note}  {clock(left)} left"
        print(line, flush=True, file=sys.stderr if self.aside else sys.stdout)
        if self.aside:
            return
        row = {"step": self.step, "done": done, "total": self.total, "unit": self.unit}
        write_json(PROGRESS, {**row, "seconds_left": None if math.isnan(left) else round(left, 1)})

    def advance(self, units: float, note: str = "") -> None:
        """Say that `units` more are finished."""
        self.update(self.done + units, note)


def clock(seconds: float) -> str:
    """3m07s, or ? when it is not known yet."""
    if math.isnan(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
