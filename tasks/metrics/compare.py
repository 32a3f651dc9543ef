"""Is tuned better than base? Intervals for each score and for their difference, pair by pair.

    compare(base, tuned, groups, MEAN, Resampling(seed=17, resamples=2000, confidence=0.95))

Percentile bootstrap. What is drawn, with replacement, is groups and not examples, because examples of one
group (one dialogue, one article) are not independent. Base and tuned get the same draws, so what they share
cancels in the difference. An example is a row of sufficient statistics and a score is a function of their
sums, so a mean, a ratio and corpus BLEU are all recomputed in each resample by the same code.

Three rules keep small samples honest:
* too few groups for a sign test to reject at this confidence (6 at 0.95) is always "cannot tell";
* where no resample differs (every answer right, say) the bootstrap sees no spread, and the exact binomial
bound on
  what was never observed takes its place (for scores with known ends);
* an interval always holds its point estimate.
With fewer than about 20 groups percentile intervals are still some points too narrow.
Truth: Efron and Tibshirani, An Introduction to the Bootstrap (1993), ch. 13; Koehn 2004 (paired, for BLEU).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Ends = tuple[float, float]

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


MEAN = Scoring(mean, (0.0, 100.0))  # of percentages


def compare(
    base: Matrix, tuned: Matrix, groups: Sequence[str], scoring: Scoring, resampling: Resampling
) -> dict[str, float | int | str]:
    """Compare two models on the same examples.

    Args:
        base: (n, k) statistics of each example's base output.
        tuned: (n, k), the same examples in the same order.
        groups: n names; examples of one name are drawn together.
        scoring: from sums of statistics to the score.
        resampling: seed, number and confidence.

    Returns:
        base, tuned and difference (tuned - base), each with _low and _high, in the score's scale; n
        examples; groups; verdict "better" (the tuned score is higher, interval clear of zero), "worse" or
        "cannot tell".
    """
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    k = base.shape[1]
    totals = np.zeros((len(names), 2 * k))
    np.add.at(totals, member, np.hstack([base, tuned]))
    points = _scores(totals.sum(axis=0), k, scoring)
    draws = np.concatenate([_scores(sums, k, scoring) for sums in _resampled(totals, resampling)])
    ends = scoring.ends
    span = None if ends is None else (ends[0] - ends[1], ends[1] - ends[0])
    row: dict[str, float | int | str] = {}
    for column, name in enumerate(("base", "tuned", "difference")):
        reach = span if name == "difference" else ends
        point = float(points[column])
        low, high = _interval(point, draws[:, column], len(names), resampling, reach)
        row |= {name: _rounded(point), f"{name}_low": _rounded(low), f"{name}_high": _rounded(high)}
    verdict = _verdict(float(row["difference_low"]), float(row["difference_high"]), len(names), resampling)
    return row | {"n": len(base), "groups": len(names), "verdict": verdict}


def _scores(sums: Matrix, k: int, scoring: Scoring) -> Matrix:
    """(..., 2k) sums of base and tuned -> (..., 3): base, tuned, difference."""
    base, tuned = scoring.score(sums[..., :k]), scoring.score(sums[..., k:])
    return np.stack([base, tuned, tuned - base], axis=-1)


def _resampled(totals: Matrix, resampling: Resampling) -> list[Matrix]:
    """Sums of each resample, in blocks of (resamples, 2k): how often each group is drawn x its totals."""
    random = np.random.default_rng(resampling.seed)
    size = len(totals)
    block = max(1, DRAWS_AT_ONCE // size)
    starts = range(0, resampling.resamples, block)
    counts = (
        random.multinomial(size, np.full(size, 1.0 / size), size=min(block, resampling.resamples - start))
        for start in starts
    )
    return [count @ totals for count in counts]


def _interval(
    point: float, draws: Matrix, groups: int, resampling: Resampling, ends: Ends | None
) -> tuple[float, float]:
    tail = (1.0 - resampling.confidence) / 2.0
    low, high = (float(value) for value in np.quantile(draws, [tail, 1.0 - tail]))
    if ends is not None and math.isclose(draws.min(), draws.max(), abs_tol=1e-9):
        unseen = 1.0 - tail ** (1.0 / groups)  # Clopper-Pearson bound on what none of them showed
        low, high = ((1.0 - unseen) * point + unseen * end for end in ends)
    return min(low, point), max(high, point)


def _verdict(low: float, high: float, groups: int, resampling: Resampling) -> str:
    if groups < resampling.least_groups:
        return "cannot tell"
    return "better" if low > 0 else "worse" if high < 0 else "cannot tell"


def _rounded(value: float) -> float:
    return round(value, DECIMALS) + 0.0  # + 0.0: no negative zero
