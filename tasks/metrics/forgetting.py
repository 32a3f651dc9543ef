"""Has the tuned model forgotten? A test of non-inferiority on each general suite, against a margin declared before.

"No difference was found" is no proof that nothing was lost: a test of too few questions never finds one. So the burden
is turned round. A suite is *kept* when the loss is surely smaller than the margin, *forgotten* when it is surely
larger, and else it cannot be told, with the number of groups of questions that would tell. The bound is one-sided, at
the evaluation's confidence (a paired percentile bootstrap over groups). Truth: Wellek, Testing Statistical Hypotheses
of Equivalence and Noninferiority (2010), ch. 5.
"""

import math
from collections.abc import Mapping
from typing import Any

from scipy import stats

from tasks.metrics.compare import DECIMALS, Draws, Resampling, interval_of, resample, span_of
from tasks.metrics.judged import POWER
from tasks.metrics.together import Compared

Row = dict[str, Any]
KEPT, FORGOTTEN, UNSURE = "kept", "forgotten", "cannot tell"


def budget(sections: Mapping[str, Compared], resampling: Resampling, margin: float) -> list[Row]:
    """A row a suite with accuracy: base, tuned, difference, low and high (one-sided each), margin, verdict, needed.

    Args:
        sections: suites; those without accuracy (stereotypes) are no ability and left out.
        resampling: seed, number and confidence.
        margin: points of accuracy that may be lost.
    """
    rows = []
    for name, section in sections.items():
        if "accuracy" not in section.measured:
            continue
        one = section.measured["accuracy"]
        draws = resample({"accuracy": one}, section.groups, resampling)["accuracy"]
        one_sided = Resampling(resampling.seed, resampling.resamples, 2.0 * resampling.confidence - 1.0)
        base, tuned, difference = (float(value) for value in draws.points)
        low, high = interval_of(difference, draws.drawn[:, 2], draws.groups, one_sided, span_of(one.scoring.ends))
        numbers = {"base": base, "tuned": tuned, "difference": difference, "low": low, "high": high}
        row: Row = {key: round(value, DECIMALS) + 0.0 for key, value in numbers.items()}
        verdict = _verdict(low, high, draws, resampling, margin)
        row |= {"suite": name, "n": draws.n, "groups": draws.groups, "margin": margin, "verdict": verdict}
        rows.append(row | {"groups_needed": _needed(draws, resampling, margin) if verdict == UNSURE else None})
    return rows


def _verdict(low: float, high: float, draws: Draws, resampling: Resampling, margin: float) -> str:
    if draws.groups < resampling.least_groups:
        return UNSURE
    return KEPT if low > -margin else FORGOTTEN if high < -margin else UNSURE


def _needed(draws: Draws, resampling: Resampling, margin: float) -> int | None:
    """Groups that would show it four times in five, were the difference as it was seen."""
    spread, room = float(draws.drawn[:, 2].std(ddof=1)), abs(float(draws.points[2]) + margin)
    if not spread or not room:
        return None
    z = float(stats.norm.ppf(resampling.confidence) + stats.norm.ppf(POWER))
    return max(draws.groups + 1, math.ceil(draws.groups * (z * spread / room) ** 2))


def worst(rows: list[Row]) -> str:
    """One verdict of all: forgotten if any is, kept if all are."""
    verdicts = {row["verdict"] for row in rows}
    return FORGOTTEN if FORGOTTEN in verdicts else KEPT if verdicts == {KEPT} else UNSURE
