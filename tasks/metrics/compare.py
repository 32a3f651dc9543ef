"""Is tuned better than base? Intervals for each score and for their difference, pair by pair.

    compare(base, tuned, groups, MEAN, Resampling(seed=17, resamples=2000, confidence=0.95))

Percentile bootstrap. What is drawn, with replacement, is groups and not examples, because examples of one group (one
dialogue, one article) are not independent. Base and tuned get the same draws, so what they share cancels in the
difference. An example is a row of sufficient statistics and a score is a function of their sums, so a mean, a ratio and
corpus BLEU are all recomputed in each resample by the same code.

Three rules keep small samples honest:
* too few groups for a sign test to reject at this confidence (6 at 0.95) is always "cannot tell";
* where no resample differs (every answer right, say) the bootstrap sees no spread, and the exact binomial bound on
  what was never observed takes its place (for scores with known ends);
* an interval always holds its point estimate.
With fewer than about 20 groups percentile intervals are still some points too narrow. Truth: Efron and Tibshirani, An
Introduction to the Bootstrap (1993), ch. 13; Koehn 2004 (paired, for BLEU).
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Ends = tuple[float, float]
Better = Literal["higher", "lower"] | None

NOT_JUDGED = "not judged"  # the verdict where neither direction is good
DECIMALS = 4  # of every written number: far below any interval, and above what summation order changes
DRAWS_AT_ONCE = 4_000_000  # group counts held in memory at a time: 32 MB


@dataclass(frozen=True)
class Resampling:
    """How intervals are made."""

    seed: int
    """Start of the random numbers; each comparison starts anew, so adding one leaves the others alone."""
    resamples: int
    """How many times the groups are drawn."""
    confidence: float
    """Share of intervals that should hold the true value, 0.5 to 1."""

    @property
    def least_groups(self) -> int:
        """Fewest groups that could reject "no difference" if all of them agreed (two-sided sign test)."""
        return math.ceil(math.log2(2.0 / (1.0 - self.confidence)) - 1e-9)


def mean(sums: Matrix) -> Matrix:
    """Sum over count, or any ratio of two sums: (..., 2) -> (...); 0 where there is nothing to divide by."""
    return np.divide(sums[..., 0], sums[..., 1], out=np.zeros(sums.shape[:-1]), where=sums[..., 1] != 0)


@dataclass(frozen=True)
class Scoring:
    """How a score comes out of summed statistics."""

    score: Callable[[Matrix], Matrix]
    """Sums of statistics (..., k) -> scores (...)."""
    ends: Ends | None
    """Least and greatest value of one example, and so of the score; None for a score that is no mean."""
    better: Better = "higher"
    """Which direction is good; None where neither is, and nothing is judged. A difference is always tuned - base."""

    def told(self, difference: float) -> str:
        """What a difference that is clear of chance means: the one place that knows which direction is good."""
        return "better" if (difference > 0) == (self.better == "higher") else "worse"


MEAN = Scoring(mean, (0.0, 100.0))  # of percentages, or a ratio of sums that is one
LOWER_MEAN = Scoring(mean, (0.0, 100.0), better="lower")


@dataclass(frozen=True)
class Measured:
    """One metric of two models over the same examples."""

    base: Matrix
    """(n, k) statistics of each example's base output."""
    tuned: Matrix
    """(n, k), the same examples in the same order."""
    scoring: Scoring


@dataclass(frozen=True)
class Draws:
    """What one metric came to: base, tuned, tuned - base."""

    points: Matrix
    """(3)"""
    drawn: Matrix
    """(resamples, 3)"""
    n: int
    groups: int


def compare(
    base: Matrix, tuned: Matrix, groups: Sequence[str], scoring: Scoring, resampling: Resampling
) -> dict[str, float | int | str]:
    """`row_of` a single metric.

    Args:
        base: (n, k) statistics of each example's base output.
        tuned: (n, k), the same examples in the same order.
        groups: n names; examples of one name are drawn together.
        scoring: from sums of statistics to the score.
        resampling: seed, number and confidence.
    """
    return row_of(resample({"": Measured(base, tuned, scoring)}, groups, resampling)[""], scoring, resampling)


def resample(measured: Mapping[str, Measured], groups: Sequence[str], resampling: Resampling) -> dict[str, Draws]:
    """Draw the groups again and again, once for all metrics.

    Args:
        measured: by metric, over the same n examples.
        groups: n names; examples of one name are drawn together.
        resampling: seed, number and confidence.
    """
    if not measured:
        return {}
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    ends = np.cumsum([0, *(2 * one.base.shape[1] for one in measured.values())])
    slices = [slice(start, end) for start, end in itertools.pairwise(ends)]
    totals = np.zeros((len(names), ends[-1]))  # once: the largest thing here
    for one, own in zip(measured.values(), slices, strict=True):
        for half, rows in zip(np.split(totals[:, own], 2, axis=1), (one.base, one.tuned), strict=True):  # views
            np.add.at(half, member, rows)
    drawn: dict[str, list[Matrix]] = {key: [] for key in measured}
    for drawn_sums in _resampled(totals, resampling):
        for (key, one), own in zip(measured.items(), slices, strict=True):
            drawn[key].append(_scores(drawn_sums[:, own], one.scoring))
    return {
        key: Draws(_scores(totals.sum(axis=0)[own], one.scoring), np.concatenate(drawn[key]), len(member), len(names))
        for (key, one), own in zip(measured.items(), slices, strict=True)
    }


def row_of(draws: Draws, scoring: Scoring, resampling: Resampling) -> dict[str, float | int | str]:
    """Scores, intervals and verdict of one metric.

    Args:
        draws: of it.
        scoring: the score's ends, and which direction is good.
        resampling: what they were drawn with.

    Returns:
        base, tuned and difference (tuned - base), each with _low and _high, in the score's scale; n examples; groups;
        verdict "better" (interval clear of zero, on the good side), "worse", "cannot tell" or "not judged".
    """
    row: dict[str, float | int | str] = {}
    for column, name in enumerate(("base", "tuned", "difference")):
        reach = span_of(scoring.ends) if name == "difference" else scoring.ends
        point = float(draws.points[column])
        low, high = interval_of(point, draws.drawn[:, column], draws.groups, resampling, reach)
        row |= {name: _rounded(point), f"{name}_low": _rounded(low), f"{name}_high": _rounded(high)}
    verdict = _verdict(_rounded(low), _rounded(high), draws.groups, scoring, resampling)  # of the difference, the last
    return row | {"n": draws.n, "groups": draws.groups, "verdict": verdict}


def _scores(sums: Matrix, scoring: Scoring) -> Matrix:
    """(..., 2k) sums of base and tuned -> (..., 3): base, tuned, difference."""
    k = sums.shape[-1] // 2
    base, tuned = scoring.score(sums[..., :k]), scoring.score(sums[..., k:])
    return np.stack([base, tuned, tuned - base], axis=-1)


def _resampled(totals: Matrix, resampling: Resampling) -> Iterator[Matrix]:
    """Sums of each resample, in blocks of (resamples, columns): how often each group is drawn x its totals."""
    random = np.random.default_rng(resampling.seed)
    size = len(totals)
    block = max(1, DRAWS_AT_ONCE // size)
    for start in range(0, resampling.resamples, block):
        count = min(block, resampling.resamples - start)
        yield random.multinomial(size, np.full(size, 1.0 / size), size=count) @ totals


def span_of(ends: Ends | None) -> Ends | None:
    """Least and greatest value of a difference."""
    return None if ends is None else (ends[0] - ends[1], ends[1] - ends[0])


def interval_of(
    point: float, draws: Matrix, groups: int, resampling: Resampling, ends: Ends | None
) -> tuple[float, float]:
    """The percentile interval of draws; where none differs, what the exact binomial bound leaves open.

    Args:
        point: what was seen.
        draws: (resamples)
        groups: drawn in each.
        resampling: its confidence counts.
        ends: least and greatest value, where there are.
    """
    tail = (1.0 - resampling.confidence) / 2.0
    low, high = (float(value) for value in np.quantile(draws, [tail, 1.0 - tail]))
    if ends is not None and math.isclose(draws.min(), draws.max(), abs_tol=1e-9):
        unseen = 1.0 - tail ** (1.0 / groups)  # Clopper-Pearson bound on what none of them showed
        low, high = ((1.0 - unseen) * point + unseen * end for end in ends)
    return min(low, point), max(high, point)


def _verdict(low: float, high: float, groups: int, scoring: Scoring, resampling: Resampling) -> str:
    if scoring.better is None:
        return NOT_JUDGED
    clear = groups >= resampling.least_groups and (low > 0 or high < 0)
    return scoring.told(low + high) if clear else "cannot tell"


def _rounded(value: float) -> float:
    return round(value, DECIMALS) + 0.0  # + 0.0: no negative zero
