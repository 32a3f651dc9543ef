"""Tests against a margin that was declared before: a floor that has to be reached, a loss that may not be larger.

"No difference was found" is no proof that nothing was lost, so the burden is turned round: a check holds where the
whole interval lies on the good side of the margin, fails where all of it lies on the bad side, and else cannot be told.
Truth: Wellek, Testing Statistical Hypotheses of Equivalence and Noninferiority (2010).
"""

import math

from tasks.metrics.evidence import Check, Row
from tasks.metrics.significance import finite, scoring_of


def reached(name: str, row: Row, floor: float) -> Check:
    """Whether a score has surely reached its floor; one that is better when lower, whether it is surely under it."""
    if not finite(row.get("tuned_low")) or not finite(row.get("tuned_high")):
        return Check(None, f"{name} has no finite interval, so whether it reaches {floor:g} cannot be told.")
    low, high = float(row["tuned_low"]), float(row["tuned_high"])
    lower = scoring_of(name).better == "lower"
    good, bad = (high <= floor, low > floor) if lower else (low >= floor, high < floor)
    asked = f"{'at most' if lower else 'at least'} {floor:g} is asked for"
    told = f"{name}: {row['tuned']:.2f} [{low:.2f}, {high:.2f}], n = {row['n']}; {asked}"
    return Check(True if good else False if bad else None, f"{told}{'' if good or bad else ': cannot tell'}.")


def bounded(name: str, row: Row, allowed: float, against: str = "") -> Check:
    """Whether a metric is surely worse by no more than is allowed.

    Args:
        name: of the metric.
        row: with base, tuned, their difference and its interval.
        allowed: points, 0 or more, in the metric's scale.
        against: what "base" is in the sentence, where it is not the base model.
    """
    lower = scoring_of(name).better == "lower"
    ends = row["difference_low"], row["difference_high"]
    least, most = (ends[0], ends[1]) if lower else (-ends[1], -ends[0])  # how much worse it is, at least and at most
    interval = f"[{ends[0]:+.2f}, {ends[1]:+.2f}]"
    told = f"{name}{against}: {row['base']:.2f} to {row['tuned']:.2f} {interval}, n = {row['n']}"
    return _told(told, least, most, allowed, row["n"])


def forgotten(row: Row, allowed: float) -> Check:
    """Whether a general suite surely lost less accuracy than is allowed, by its own one-sided interval."""
    if not all(finite(row.get(name)) for name in ("base", "tuned", "low", "high", "n")):
        return Check(None, f"{row.get('suite')} has no finite accuracy.")
    told = f"{row['suite']}: accuracy {row['base']:.2f} to {row['tuned']:.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"
    return _told(f"{told}, n = {row['n']}", -row["high"], -row["low"], allowed, row["n"])


def _told(told: str, least: float, most: float, allowed: float, n: int) -> Check:
    if most <= allowed:
        return Check(True, f"{told}; worse by at most {max(most, 0.0) + 0.0:.2f}, {allowed:g} allowed.")
    if least > allowed:
        return Check(False, f"{told}; surely worse by over {allowed:g}, which is refused.")
    return Check(
        None, f"{told}; whether it is worse by over {allowed:g} cannot be told{_needed(least, most, allowed, n)}."
    )


def _needed(least: float, most: float, allowed: float, n: int) -> str:
    """An interval narrows with the root of n: how many examples would put it on this side of the margin."""
    room = allowed - (least + most) / 2
    if room <= 0:
        return ""
    return f"; about {math.ceil(n * ((most - least) / 2 / room) ** 2)} examples would tell"
