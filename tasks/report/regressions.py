"""The examples on which one model lost most against another: the same questions, each answer scored by itself.

regressions(theirs, ours, "summarise.rouge1", metrics)   # at most 20, the worst first
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.metrics.identity import MEASURES
from tasks.metrics.texts import Texts

Row = Mapping[str, Any]
MOST = 20


@dataclass(frozen=True)
class Regression:
    """One example."""

    before: Row
    """What the other model wrote: a row of generations.jsonl."""
    after: Row
    """What this one wrote."""
    scores: tuple[float, float]
    """Of both, in the metric's scale."""


@dataclass(frozen=True)
class Lost:
    """What was looked at, and the worst of it."""

    family: str
    key: str
    """Metric that each example is scored by."""
    compared: int
    """Examples that both answered."""
    worse: int
    """Of these, how many the new model answers worse."""
    worst: list[Regression]


def regressions(before: Sequence[Row], after: Sequence[Row], primary: str, metrics: Mapping[str, Any]) -> Lost | None:
    """The worst losses in the primary metric's family; None where no example was answered by both.

    Args:
        before: rows of generations.jsonl of the model that it is compared with.
        after: of the new model.
        primary: family.metric; of a suite, the first family is looked at instead.
        metrics: of each family its metrics, in order.
    """
    family, key = _measured(primary, after, metrics)
    pairs = _paired(before, after, family)
    if not pairs or not key:
        return None
    measure = MEASURES[key]
    scored = [
        measure.scoring.score(measure.statistics(Texts.of(side))[key]).tolist() for side in zip(*pairs, strict=True)
    ]
    sign = 1.0 if measure.better == "lower" else -1.0
    found = [
        Regression(one, other, scores) for (one, other), scores in zip(pairs, zip(*scored, strict=True), strict=True)
    ]
    losses = [(sign * (item.scores[1] - item.scores[0]), item) for item in found]
    worst = sorted((loss for loss in losses if loss[0] > 0), key=lambda loss: (-loss[0], str(loss[1].after["id"])))
    return Lost(family, key, len(pairs), len(worst), [item for _, item in worst[:MOST]])


def _measured(primary: str, rows: Sequence[Row], metrics: Mapping[str, Any]) -> tuple[str, str]:
    """Family and metric; "" where no family has a metric that scores each example by itself."""
    section, _, key = primary.partition(".")
    families = list(dict.fromkeys(str(row["family"]) for row in rows))
    family = section.removesuffix("_seen_wording").removesuffix("_held_out_wording")
    if family in families and key in MEASURES:
        return family, key
    for other in families:
        for name in metrics.get(other, {}):
            if name in MEASURES and MEASURES[name].judged:
                return other, name
    return "", ""


def _paired(before: Sequence[Row], after: Sequence[Row], family: str) -> list[tuple[Row, Row]]:
    """Both answers to each example that was asked alike."""
    others = {row["id"]: row for row in before if row["family"] == family}
    own = [row for row in after if row["family"] == family and row["id"] in others]
    return [(others[row["id"]], row) for row in own if others[row["id"]]["target"] == row["target"]]
