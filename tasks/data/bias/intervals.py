"""Intervals: of a share, of a difference of shares, of a difference of means; and what one of a difference says.

Of a share Wilson's (Wilson 1927, by scipy), of a difference of shares Newcombe's, made of two Wilson intervals
(Newcombe 1998, Statistics in Medicine 17:873, method 10), of a difference of means Welch's (Welch 1947).
"""

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95  # of one interval, or of all intervals of a set together
NO_DIFFERENCE = "no difference seen"
Numbers = npt.NDArray[np.float64]


def wilson(count: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of a share, 0 to 1, of `count` in `n` > 0."""
    from scipy.stats import binomtest  # noqa: PLC0415  (scipy takes half a second: wrong params come first)

    interval = binomtest(count, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def newcombe(count: int, n: int, rest_count: int, rest_n: int, confidence: float) -> tuple[float, float]:
    """The interval of the difference of two independent shares, count / n - rest_count / rest_n."""
    share, rest = count / n, rest_count / rest_n
    (low, high), (rest_low, rest_high) = wilson(count, n, confidence), wilson(rest_count, rest_n, confidence)
    below = float(np.hypot(share - low, rest_high - rest))
    above = float(np.hypot(high - share, rest - rest_low))
    return share - rest - below, share - rest + above


def welch(ours: Numbers, rest: Numbers, confidence: float) -> tuple[float, float]:
    """The interval of the difference of two means, ours - rest, of two numbers or more each; no equal variances.

    It is that of scipy.stats.ttest_ind(equal_var=False), which warns where a group's numbers are all the same.
    """
    from scipy.stats import t  # noqa: PLC0415

    spread, rest_spread = ours.var(ddof=1) / len(ours), rest.var(ddof=1) / len(rest)
    difference = float(ours.mean() - rest.mean())
    if not (variance := spread + rest_spread):
        return difference, difference
    freedom = variance**2 / (spread**2 / (len(ours) - 1) + rest_spread**2 / (len(rest) - 1))
    margin = float(t.ppf((1 + confidence) / 2, freedom) * np.sqrt(variance))
    return difference - margin, difference + margin


def verdict(low: float, high: float, more: str, less: str) -> str:
    """What an interval of a difference says."""
    return more if low > 0 else less if high < 0 else NO_DIFFERENCE


def each(comparisons: int) -> float:
    """The confidence of each of so many intervals, for `CONFIDENCE` of all together (Bonferroni)."""
    return 1 - (1 - CONFIDENCE) / max(comparisons, 1)
