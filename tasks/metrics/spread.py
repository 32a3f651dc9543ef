"""Several seeds at several learning rates: which rate is best, surely so, and how much does the seed alone change?

    told = spread(trainings, groups, how, present=1e-3)

Two things make a rate's mean uncertain: which examples were asked, and which seeds were drawn. Rates are compared seed
by seed on the same examples. The half width of the interval is the root of two squares: the bootstrap's over groups of
the difference of the seeds' means, and Student's of the mean of the differences by seed. It holds for all rates
together (Bonferroni): the best of many is the best by luck too.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from tasks.metrics.compare import DECIMALS, Matrix, Resampling, Scoring, compare
from tasks.metrics.curve import How

Row = dict[str, Any]


@dataclass(frozen=True)
class Trained:
    """One training's answers to the test examples, counted."""

    label: str
    seed: int
    rate: float
    statistics: Matrix
    """(n, k) of each example's output, in the one order of all trainings."""


def spread(trainings: Sequence[Trained], groups: Sequence[str], how: How, present: float) -> Row:
    """Mean and standard deviation over seeds of every rate, and each rate against the present one.

    Args:
        trainings: of the grid, as many as there are.
        groups: n names; examples of one name are drawn together.
        how: scoring, intervals, margin.
        present: the learning rate of params.yaml.

    Returns:
        {rates: a row each: rate, seeds, scores, mean, deviation, and against the present one difference, with _low and
        _high, and verdict; best: the rate with the best mean; present; deviation: of the present rate's scores}.
    """
    by_rate: dict[float, dict[int, Trained]] = {}
    for one in sorted(trainings, key=lambda one: (one.rate, one.seed)):
        by_rate.setdefault(one.rate, {})[one.seed] = one
    others = max(1, len(by_rate) - (present in by_rate))
    rows = []
    for rate, own in by_rate.items():
        scores = {seed: _score(one.statistics, how.scoring) for seed, one in own.items()}
        row: Row = {"rate": rate, "scores": scores, "seeds": len(scores)}
        row |= {"mean": _rounded(statistics.fmean(scores.values())), "deviation": _deviation(list(scores.values()))}
        if rate != present and present in by_rate:
            row |= against(own, by_rate[present], groups, how, others)
        rows.append(row)
    sign = -1.0 if how.scoring.better == "lower" else 1.0
    best = max(rows, key=lambda row: sign * row["mean"])
    here = next((row for row in rows if row["rate"] == present), None)
    return {"rates": rows, "best": best["rate"], "present": present, "deviation": here and here["deviation"]}


def against(own: dict[int, Trained], present: dict[int, Trained], groups: Sequence[str], how: How, rates: int) -> Row:
    """A rate against the present one, over the seeds that both have.

    Args:
        own: its trainings, by seed.
        present: the other's.
        groups: of the examples.
        how: scoring, intervals, margin.
        rates: that are compared with the present one, for which the interval holds together.
    """
    seeds = sorted(own.keys() & present.keys())
    if len(seeds) < 2:
        return {"difference": None, "difference_low": None, "difference_high": None, "verdict": "cannot tell"}
    confidence = 1.0 - (1.0 - how.resampling.confidence) / rates
    resampling = Resampling(how.resampling.seed, how.resampling.resamples, confidence)
    two = [np.hstack([side[seed].statistics for seed in seeds]) for side in (present, own)]
    row = compare(two[0], two[1], groups, over_seeds(how.scoring, len(seeds)), resampling)
    scores = [[_score(side[seed].statistics, how.scoring) for seed in seeds] for side in (present, own)]
    moves = [other - one for one, other in zip(*scores, strict=True)]
    t = float(stats.t.ppf(0.5 + confidence / 2.0, len(seeds) - 1))
    seeds_half = t * statistics.stdev(moves) / math.sqrt(len(seeds))
    point, low, high = (float(row[f"difference{end}"]) for end in ("", "_low", "_high"))
    low, high = point - math.hypot(point - low, seeds_half), point + math.hypot(high - point, seeds_half)
    clear = (low > 0 or high < 0) and int(row["groups"]) >= resampling.least_groups
    verdict = how.scoring.told(point) if clear else "cannot tell"
    return {
        "difference": _rounded(point), "difference_low": _rounded(low), "difference_high": _rounded(high),
        "verdict": verdict, "n": row["n"], "groups": row["groups"],
    }  # fmt: skip


def over_seeds(scoring: Scoring, seeds: int) -> Scoring:
    """The mean of the scores of several trainings whose statistics stand side by side."""

    def score(sums: Matrix) -> Matrix:
        each = np.split(sums, seeds, axis=-1)
        return np.asarray(np.mean([scoring.score(own) for own in each], axis=0))

    whole: Callable[[Matrix], Matrix] = score
    return Scoring(whole, scoring.ends, scoring.better)


def _score(counted: Matrix, scoring: Scoring) -> float:
    return _rounded(float(scoring.score(counted.sum(axis=0))))


def _deviation(scores: Sequence[float]) -> float | None:
    return _rounded(statistics.stdev(scores)) if len(scores) > 1 else None


def _rounded(value: float) -> float:
    return round(value, DECIMALS) + 0.0
