"""What several metrics say together: what differs, what is equivalent, what cannot be told and how many would tell.

    rows = judge(measured, groups, resampling, margin=1.0)

Twenty metrics at 95 % find a difference between a model and itself two times in three, so p values are adjusted for
their number (Holm 1979), and a verdict goes by the adjusted one. p is the bootstrap's, of the interval that holds zero
at its edge; where examples are right or wrong and stand alone, it is McNemar's exact test. Neither is ever below a
sign test in which all groups agree. Equivalence within a margin is two one-sided tests (Schuirmann 1987). What could
have been told is the smallest difference that this many groups find four times in five, by the bootstrap's spread.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from scipy import stats

from tasks.metrics.compare import (
    DECIMALS,
    NOT_JUDGED,
    Draws,
    Matrix,
    Measured,
    Resampling,
    Scoring,
    interval_of,
    resample,
    row_of,
    span_of,
)

K = TypeVar("K", bound=Hashable)
POWER = 0.8  # with which a difference is to be found
P_DECIMALS = 6


def judge(
    measured: Mapping[str, Measured], groups: Sequence[str], resampling: Resampling, margin: float | None = None
) -> dict[str, dict[str, Any]]:
    """Compare two models by several metrics; p values are adjusted for all of them, so leave out what nobody judges.

    Args:
        measured: by metric, over the same n examples.
        groups: n names; examples of one name are drawn together.
        resampling: seed, number and confidence.
        margin: a difference up to it does not matter, in the metrics' scale; None: any matters.

    Returns:
        By metric what `row_of` says, with test ("bootstrap" or "mcnemar"), p, p_holm, detectable (the smallest
        difference that would be found), equivalent_within (the smallest margin within which the two are equivalent),
        groups_needed (None unless it cannot be told) and verdict: "better", "worse", "equivalent", "cannot tell" or,
        where neither direction is good, "not judged".
    """
    drawn = resample(measured, groups, resampling)
    tests = {key: p_of(one, drawn[key]) for key, one in measured.items()}
    adjusted = holm({key: p for key, (_, p) in tests.items()})
    rows = {}
    for key, one in measured.items():
        row = row_of(drawn[key], one.scoring, resampling) | more(drawn[key], one, resampling)
        test, p = tests[key]
        row |= {"test": test, "p": round(p, P_DECIMALS), "p_holm": round(adjusted[key], P_DECIMALS)}
        verdict = verdict_of(row, adjusted[key], one.scoring, resampling, margin)
        needed = groups_needed(row) if verdict == "cannot tell" else None
        rows[key] = row | {"groups_needed": needed, "verdict": verdict}
    return rows


def p_of(one: Measured, draws: Draws) -> tuple[str, float]:
    """The test that fits, and its two-sided p value."""
    if draws.n == draws.groups and (values := right_or_wrong(one)) is not None:
        gained, lost = (int(np.sum(values[0] < values[1])), int(np.sum(values[0] > values[1])))
        p = float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
        return "mcnemar", p
    difference = draws.drawn[:, 2]
    least = min(int(np.sum(difference <= 0)), int(np.sum(difference >= 0)))
    p = min(1.0, 2.0 * (1 + least) / (1 + len(difference)))
    return "bootstrap", max(p, 2.0 ** (1 - draws.groups))


def right_or_wrong(one: Measured) -> tuple[Matrix, Matrix] | None:
    """Each example's value of base and tuned, where there are only two values and each example counts once."""
    if one.base.shape[1] != 2 or one.scoring.ends is None or not (one.base[:, 1] == one.tuned[:, 1]).all():
        return None
    both = np.concatenate([one.base[:, 0], one.tuned[:, 0]])
    is_binary = (one.base[:, 1] == 1).all() and np.isin(both, one.scoring.ends).all()
    return (one.base[:, 0], one.tuned[:, 0]) if is_binary else None


def holm(values: Mapping[K, float]) -> dict[K, float]:
    """Adjust p values for their number: step down, the smallest times their count, the next times one less, ..."""
    adjusted: dict[K, float] = {}
    highest = 0.0
    for place, (key, p) in enumerate(sorted(values.items(), key=lambda item: item[1])):
        highest = max(highest, min(1.0, (len(values) - place) * p))
        adjusted[key] = highest
    return adjusted


def more(draws: Draws, one: Measured, resampling: Resampling) -> dict[str, Any]:
    """What could have been told, and how alike the two are."""
    alpha = 1.0 - resampling.confidence
    z = float(stats.norm.ppf(1.0 - alpha / 2.0) + stats.norm.ppf(POWER))
    one_sided = Resampling(resampling.seed, resampling.resamples, 1.0 - 2.0 * alpha)
    point, difference = float(draws.points[2]), draws.drawn[:, 2]
    low, high = interval_of(point, difference, draws.groups, one_sided, span_of(one.scoring.ends))
    return {
        "detectable": round(z * float(difference.std(ddof=1)), DECIMALS),
        "equivalent_within": round(max(abs(low), abs(high)), DECIMALS),
    }


def verdict_of(
    row: Mapping[str, Any], p_holm: float, scoring: Scoring, resampling: Resampling, margin: float | None
) -> str:
    """A difference that does not matter is none; one that does has to be clear of chance."""
    if scoring.better is None:
        return NOT_JUDGED
    if row["groups"] < resampling.least_groups:
        return "cannot tell"
    if margin is not None and row["equivalent_within"] <= margin:
        return "equivalent"
    if p_holm > 1.0 - resampling.confidence or row["difference"] == 0:
        return "cannot tell"
    return scoring.told(row["difference"])


def groups_needed(row: Mapping[str, Any]) -> int | None:
    """Groups that would tell, were the difference as it was seen; None where none was seen."""
    if not row["difference"] or not row["detectable"]:
        return None
    groups, times = int(row["groups"]), float(row["detectable"]) / float(row["difference"])
    return max(groups + 1, math.ceil(groups * times**2))
