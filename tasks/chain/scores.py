"""Whether two evaluations of what should be one model say the same, as far as their noise lets them.

The floor of a score is `noise` of its row in metrics.json (tasks/metrics/noise.py): twice what a difference of two such
means moves by when nothing changes. A score without a floor is shown and does not decide.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.errors import LineageError

Metrics = Mapping[str, Mapping[str, Mapping[str, Any]]]  # section -> metric -> row
MODELS = ("base", "tuned")
EXACT = 1e-9  # of numbers that were rounded and written down


@dataclass(frozen=True)
class Moved:
    """A score then and now."""

    name: str
    """summarise.rouge1 tuned"""
    before: float
    now: float
    floor: float | None
    """What it may differ by; None: nobody measured that."""

    @property
    def within(self) -> bool:
        """Whether it is the same as far as can be told; not a number is not."""
        return abs(self.now - self.before) <= (self.floor or 0.0) + EXACT


def moved(before: Metrics, now: Metrics) -> list[Moved]:
    """Every score of both models, in the order in which it was recorded.

    Raises:
        LineageError: the new evaluation has other scores than the recorded one.
    """
    names = [{f"{section}.{key}" for section, rows in one.items() for key in rows} for one in (before, now)]
    if lacking := sorted(names[0] ^ names[1]):
        raise LineageError(f"the two evaluations do not have the same scores: {lacking[0]} is in one of them alone.")
    return [
        Moved(f"{section}.{key} {model}", row[model], now[section][key][model], row.get("noise"))
        for section, rows in before.items()
        for key, row in rows.items()
        for model in MODELS
    ]
