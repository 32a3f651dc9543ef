"""How many examples does it take? Several trainings that differ in their records alone, scored on the same examples.

    told = curve(points, base, groups, how)

Every pair that is compared is compared example by example, resampled by group, all pairs together adjusted by Holm.
Each point is one training: what another seed would move it by is not in the bootstrap, so intervals of the difference
of two trainings are widened by it where it is known (`evaluate.seed_spread`), root of two times, in quadrature.

A size is enough when each larger one gains surely less than the margin: its whole interval lies below. Sizes are tried
from the largest down and the first that fails ends it: a fixed sequence, needing no adjustment (Maurer et al. 1995).
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from tasks.metrics.compare import DECIMALS, Matrix, Measured, Resampling, Scoring, compare
from tasks.metrics.judged import judge

Row = dict[str, Any]


@dataclass(frozen=True)
class Scored:
    """One training's answers to the test examples, counted."""

    label: str
    records: int
    """That it was trained on, replay aside."""
    wordings: int
    """That each of them was rendered with."""
    statistics: Matrix
    """(n, k) of each example's output, in the one order of all points."""
    tokens: int
    """Real tokens that it was trained on."""
    seconds: float | None
    """That the training took; None: not known."""


@dataclass(frozen=True)
class How:
    """What a difference has to withstand."""

    scoring: Scoring
    resampling: Resampling
    margin: float
    """Points: a difference that is surely no larger does not matter."""
    seed_spread: float | None
    """Standard deviation of the score between seeds, in points; None: not known."""


def curve(points: Sequence[Scored], base: Matrix, groups: Sequence[str], how: How) -> Row:
    """The learning curve: each point against the base, each against the next, and which size is enough.

    Args:
        points: two at least.
        base: (n, k) of the untouched model's outputs to the same examples.
        groups: n names; examples of one name are drawn together.
        how: scoring, intervals, margin.

    Returns:
        {points: a row each, lowest first, pairs: neighbours in records and in wordings, lines: for each
        number of wordings what `enough` says, best: the number of wordings whose largest set scores best}.
    """
    ordered = sorted(points, key=lambda one: (one.wordings, one.records))
    scored = [_scored(one, base, groups, how) for one in ordered]
    pairs = compared(pairs_of(ordered), groups, how)
    lines = []
    for wordings, line in _lines(ordered).items():
        whole = compared(list(itertools.combinations(line, 2)), groups, how)
        lines.append({"wordings": wordings} | enough(line, whole, how))
    sign = -1.0 if how.scoring.better == "lower" else 1.0
    last = {row["wordings"]: sign * row["score"] for row in scored}  # of the largest set: they are in order
    return {"points": scored, "pairs": pairs, "lines": lines, "best": max(last, key=lambda w: (last[w], -w))}


def _lines(points: Sequence[Scored]) -> dict[int, list[Scored]]:
    """By number of wordings, smallest set first."""
    counts = dict.fromkeys(one.wordings for one in points)
    return {count: [one for one in points if one.wordings == count] for count in counts}


def _scored(one: Scored, base: Matrix, groups: Sequence[str], how: How) -> Row:
    """Score and gain over the base with intervals, and what a point of the gain cost."""
    row = compare(base, one.statistics, groups, how.scoring, how.resampling)
    told: Row = {key: getattr(one, key) for key in ("label", "records", "wordings", "tokens", "seconds")}
    for name, key in (("score", "tuned"), ("gain", "difference"), ("base", "base")):
        told |= {f"{name}{end}": row[f"{key}{end}"] for end in ("", "_low", "_high")}
    better = row["verdict"] == "better"
    gained = abs(float(row["difference"]))
    for key in ("tokens", "seconds"):
        spent = told[key]
        told[f"{key}_per_point"] = round(spent / gained, 1) if better and spent is not None else None
    return told | {"n": row["n"], "groups": row["groups"], "verdict": row["verdict"]}


def pairs_of(points: Sequence[Scored]) -> list[tuple[Scored, Scored]]:
    """Neighbours: the next larger set with as many wordings, the next more wordings of as many records."""
    found = []
    for own, other in (("wordings", "records"), ("records", "wordings")):
        for _, line in itertools.groupby(
            sorted(points, key=lambda one: (getattr(one, own), getattr(one, other))), key=lambda one: getattr(one, own)
        ):
            found += list(itertools.pairwise(line))
    return found


def compared(pairs: Sequence[tuple[Scored, Scored]], groups: Sequence[str], how: How) -> list[Row]:
    """Each pair, smaller first, example by example: what `judge` says, with the ends of the widened interval."""
    measured = {
        f"{one.label} > {two.label}": Measured(one.statistics, two.statistics, how.scoring) for one, two in pairs
    }
    rows = judge(measured, groups, how.resampling, how.margin)
    return [
        {"from": one.label, "to": two.label, "records": [one.records, two.records]}
        | {"wordings": [one.wordings, two.wordings]}
        | widened(row, how)
        for (one, two), row in zip(pairs, rows.values(), strict=True)
    ]


def widened(row: Mapping[str, Any], how: How) -> Row:
    """The row of a difference of two trainings, its interval as wide as other seeds make it, and its verdict again."""
    if not how.seed_spread:
        return dict(row)
    z = NormalDist().inv_cdf(0.5 + how.resampling.confidence / 2.0)
    seeds = z * math.sqrt(2.0) * how.seed_spread
    point = row["difference"]
    low = point - math.hypot(point - row["difference_low"], seeds)
    high = point + math.hypot(row["difference_high"] - point, seeds)
    settled = row["verdict"]
    if (settled == "equivalent" and max(-low, high) > how.margin) or (settled != "equivalent" and low <= 0 <= high):
        settled = "cannot tell"
    detectable = math.hypot(row["detectable"], seeds * row["detectable"] / max(_half(row), 1e-9))
    ends = {"difference_low": round(low, DECIMALS), "difference_high": round(high, DECIMALS)}
    return {**row, **ends, "detectable": round(detectable, DECIMALS), "verdict": settled}


def _half(row: Mapping[str, Any]) -> float:
    return float(row["difference_high"] - row["difference_low"]) / 2.0


def gain_of(row: Mapping[str, Any], scoring: Scoring) -> tuple[float, float, float]:
    """Point, low and high of a difference as a gain, whichever direction is good."""
    point, low, high = (float(row[f"difference{end}"]) for end in ("", "_low", "_high"))
    return (-point, -high, -low) if scoring.better == "lower" else (point, low, high)


def enough(line: Sequence[Scored], pairs: Sequence[Row], how: How) -> Row:
    """Which size of one line is enough.

    Args:
        line: smallest set first.
        pairs: every two of them, as `compared` has them.
        how: the margin counts.

    Returns:
        {verdict: "enough", "not enough", "cannot tell" or "one size", records: the size that is enough, pair: the
        comparison that says so}.
    """
    if len(line) < 2:
        return {"verdict": "one size", "records": None, "pair": None}
    found = None
    for size in [one.records for one in reversed(line[:-1])]:
        larger = [row for row in pairs if row["records"][0] == size]
        if any(gain_of(row, how.scoring)[2] >= how.margin for row in larger):
            break
        found = size
    last = next(row for row in pairs if row["records"] == [line[-2].records, line[-1].records])
    if found is not None:
        to_largest = next(row for row in pairs if row["records"] == [found, line[-1].records])
        few = to_largest["groups"] < how.resampling.least_groups
        return {"verdict": "cannot tell" if few else "enough", "records": None if few else found, "pair": to_largest}
    helps = last["verdict"] == "better" and gain_of(last, how.scoring)[1] > 0
    return {"verdict": "not enough" if helps else "cannot tell", "records": None, "pair": last}
