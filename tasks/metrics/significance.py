"""What a comparison of one metric says about a promotion: better, not better, or how many examples would tell."""

import math
from collections.abc import Mapping

from tasks.metrics.compare import MEAN, Scoring
from tasks.metrics.evidence import Check, Row
from tasks.metrics.identity import MEASURES
from tasks.metrics.identity_choices import CHOICE_MEASURES


def finite(value: object) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def finite_row(metrics: Mapping[str, Mapping[str, Row]], name: str) -> Row | None:
    """The comparison that family.metric or suite_Nshot.accuracy names; None where it is not there or not all finite."""
    section, _, key = name.partition(".")
    row = metrics.get(section, {}).get(key)
    wanted = ("base", "tuned", "difference", "difference_low", "difference_high", "n")
    return row if row is not None and all(finite(row.get(part)) for part in wanted) else None


def scoring_of(primary: str) -> Scoring:
    """How the metric that decides comes out of its statistics; a suite's is the share of right answers."""
    key = primary.partition(".")[2]
    if key in MEASURES:
        return MEASURES[key].scoring
    return CHOICE_MEASURES[key].scoring if key in CHOICE_MEASURES else MEAN


def judged(told: str, row: Row, scoring: Scoring) -> Check:
    """Whether a difference is a gain, none, or too small to tell.

    Args:
        told: what is compared, the beginning of the sentence.
        row: of `compare`.
        scoring: which direction is good.
    """
    low, high, difference = (float(row[f"difference{end}"]) for end in ("_low", "_high", ""))
    told += f", difference {difference:+.2f} [{low:+.2f}, {high:+.2f}]"
    if scoring.better == "lower":  # from here on as a gain
        low, high, difference = -high, -low, -difference
    if row["verdict"] == "better" and low > 0:
        return Check(True, f"{told}.")
    if row["verdict"] == "worse" or high <= 0:
        return Check(False, f"{told}: not better.")
    return Check(None, f"{told}: cannot tell; {_needed(row, low, high, difference)}.")


def _needed(row: Row, low: float, high: float, difference: float) -> str:
    """An interval narrows with the root of n: how many examples would put it clear of this difference."""
    if difference <= 0:
        return "more examples are not expected to show it better"
    needed = math.ceil(row["n"] * ((high - low) / 2 / difference) ** 2)
    if needed <= row["n"]:
        return f"{row.get('groups', row['n'])} groups are too few for a verdict"
    return f"about {needed} examples would tell a difference of that size"
