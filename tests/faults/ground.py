"""Where faults are delivered: the warm process, the trainings to disturb, and what was found."""

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.faults import stock
from tests.faults.project import Case, case
from tests.faults.strike import Strike
from tests.faults.warm import Ended, Warm

NEEDS_ROOT = "needs root"  # in a finding's proof: this machine cannot deliver it


@dataclass(frozen=True)
class Finding:
    """One row of the board."""

    fault: str
    """As FAULTS.md and the issues number it."""
    injected: str
    proof: str
    """That it was delivered; empty: it was not."""
    stock: str
    """What the transformers Trainer does; `-`: not tried."""
    luthier: str
    good: bool

    @property
    def verdict(self) -> str:
        """In one word."""
        if self.proof == NEEDS_ROOT:
            return NEEDS_ROOT
        return "not delivered" if not self.proof else "good" if self.good else "RED"


class Ground(AbstractContextManager["Ground"]):
    """A folder, a warm process, and undisturbed trainings, each made when it is first asked for."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.chmod(0o755)  # another user looks in
        self.warm = Warm()
        self._cases: dict[str, Case] = {}
        self._stock: str | None = None

    def case(self, kind: str = "causal", method: str = "lora", **changes: Any) -> Case:
        """An undisturbed training, and what it comes to."""
        key = f"{kind} {method} {changes}"
        if key not in self._cases:
            self._cases[key] = case(self.warm, self.place, kind, method, **changes)
        return self._cases[key]

    def run(self, folder: Path, strike: Strike | None = None, env: Mapping[str, str] | None = None) -> Ended:
        """Luthier's training in a folder."""
        return self.warm.run(folder, strike, env=env)

    def stock(self, folder: Path, strike: Strike | None = None, arguments: str = "{}") -> Ended:
        """The stock trainer in a folder."""
        return self.warm.run(folder, strike, what="stock", env={"STOCK": arguments})

    @property
    def stock_weights(self) -> str:
        """What the stock trainer comes to where nothing disturbs it."""
        if self._stock is None:
            folder = self.case().fresh("stock-undisturbed")
            ended = self.stock(folder)
            assert ended.status == 0, ended.said
            self._stock = stock.weights(folder)
        return self._stock

    def stock_killed(self, name: str, event: str, nth: int = 1) -> str:
        """What becomes of the stock trainer after a kill."""
        folder = self.case().fresh(f"stock-{name}")
        expected = self.stock_weights
        first = self.stock(folder, Strike(event, nth))
        if first.status != -9:
            return f"not delivered: {first.last[:80]}"
        return stock.came_to(folder, self.stock(folder), expected)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.warm.__exit__(kind, error, at)


def at(events: Sequence[str], index: int, do: str = "kill") -> Strike:
    """The strike at an event of an undisturbed training."""
    return Strike(re.escape(events[index]), events[: index + 1].count(events[index]), do)


def after(events: Sequence[str], first: str, then: str, do: str = "kill") -> Strike:
    """The strike at the first event with the text `then` behind the event `first`."""
    return at(events, events.index(then, events.index(first)), do)


def proof_of(ended: Ended, status: int) -> str:
    """That a fault was delivered and ended the process as it has to; empty otherwise."""
    return f"'{ended.struck['event']}', exit {ended.status}" if ended.struck and ended.status == status else ""
