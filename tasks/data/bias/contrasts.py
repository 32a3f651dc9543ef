"""Groups of rows compared, with intervals: shares, means and labels of a group against all other groups together.

Where several differences are looked at, each interval (intervals.py) is widened after Bonferroni, so that all of them
hold together at 95%: of data without any difference about one set of intervals in twenty, at most, has one that
excludes 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from tasks.data.bias.intervals import NO_DIFFERENCE, Numbers, each, newcombe, verdict, welch, wilson
from tasks.data.files import Row

TOO_FEW, NOT_COMPARED = "too few rows", "not compared"
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Grouped:
    """Rows divided: by group, or by label."""

    names: list[str]
    """Of the groups, then of what is no group: "other (5 more values)", "several", "none", "(no value)"."""
    codes: Codes
    """(rows,) places among the names."""
    groups: int
    """How many of the names are groups."""
    pool: int
    """How many of the names a group is compared with: the groups, and "other" as part of the rest."""


@dataclass(frozen=True)
class Compared:
    """Differences that were looked at together."""

    rows: list[Row]
    """Means: one row a name. Labels: one row a comparison."""
    comparisons: int
    """How many different ones."""
    confidence: float
    """Of each interval, 0 to 1."""


def representation(divided: Grouped) -> list[Row]:
    """Rows under each name and their share of all, in percent with Wilson's interval."""
    total = len(divided.codes)
    rows = []
    for name, n in zip(divided.names, _sizes(divided.codes, divided), strict=True):
        low, high = wilson(n, total) if total else (0.0, 1.0)
        percents = {"percent": n / total if total else 0.0, "low": low, "high": high}
        rows.append({"group": name, "n": n, **{key: rounded(100 * value) for key, value in percents.items()}})
    return rows


def gap(groups: Sequence[Row], total: int) -> Row | None:
    """How much larger the largest share is than the smallest, in points; None with fewer than two groups or rows.

    The interval is Wilson's of the larger one's part of both, for as many pairs as there are.
    """
    ranked = sorted(groups, key=lambda row: -row["n"])
    if len(ranked) < 2 or not (both := ranked[0]["n"] + ranked[-1]["n"]):
        return None
    pairs = len(ranked) * (len(ranked) - 1) // 2
    low, high = wilson(ranked[0]["n"], both, each(pairs))
    points = [100 * both / total * (2 * part - 1) for part in (ranked[0]["n"] / both, low, high)]
    keys = ("points", "low", "high")
    found = dict(zip(keys, map(rounded, points), strict=True))
    return {"most": ranked[0]["group"], "least": ranked[-1]["group"], "pairs": pairs, **found}


def compare_means(values: Numbers, divided: Grouped, min_rows: int, said: tuple[str, str]) -> Compared:
    """Each group's mean against that of all other groups' rows together.

    Args:
        values: (n,): a number for each of the first n rows.
        divided: the rows' groups.
        min_rows: a group is compared when it and the rest have as many; at least 2.
        said: verdicts for a group with more and with less, e.g. ("longer", "shorter").
    """
    codes = divided.codes[: len(values)]
    sizes = _sizes(codes, divided)
    compared = _large_enough(sizes, divided, min_rows)
    comparisons = _different(compared, sizes[: divided.pool])
    rows = []
    for place, name in enumerate(divided.names):
        ours, rest = values[codes == place], values[(codes != place) & (codes < divided.pool)]
        row: Row = {"group": name, "n": len(ours), "mean": _mean(ours), "rest_n": None, "rest_mean": None}
        row |= {"difference": None, "low": None, "high": None, "verdict": NOT_COMPARED}
        if place < divided.groups:
            row |= {"rest_n": len(rest), "rest_mean": _mean(rest), "verdict": TOO_FEW}
        if place in compared:
            low, high = welch(ours, rest, each(comparisons))
            row |= {"difference": rounded(ours.mean() - rest.mean()), "low": rounded(low), "high": rounded(high)}
            row["verdict"] = verdict(low, high, *said)
        rows.append(row)
    return Compared(rows, comparisons, each(comparisons))


def compare_labels(labels: Grouped, divided: Grouped, min_rows: int) -> Compared:
    """Each label's share in each group against its share in all other groups' rows, in points.

    Args:
        labels: the rows' labels; one that fewer than `min_rows` rows of the groups have is not compared.
        divided: the rows' groups.
        min_rows: a group is compared when it and the rest have as many.

    Returns:
        Rows {group, label, n, count, percent, rest_...}: differences seen first, then the larger ones.
    """
    table = np.zeros((len(labels.names), len(divided.names)), dtype=np.int64)
    np.add.at(table, (labels.codes, divided.codes), 1)
    sizes, totals = table.sum(axis=0).tolist(), table[:, : divided.pool].sum(axis=1).tolist()
    pooled = sum(totals)
    groups = _large_enough(sizes, divided, min_rows)
    chosen = [place for place, total in enumerate(totals) if min_rows <= total < pooled]
    groups, chosen = groups[: _different(groups, sizes[: divided.pool])], chosen[: _different(chosen, totals)]
    rows = []
    for label, group in product(chosen, groups):
        count, n = int(table[label, group]), sizes[group]
        shares = _shares((count, n), (totals[label] - count, pooled - n), len(groups) * len(chosen))
        rows.append({"group": divided.names[group], "label": labels.names[label], **shares})
    rows.sort(key=lambda row: (row["verdict"] == NO_DIFFERENCE, -abs(row["difference"])))
    return Compared(rows, len(rows), each(len(rows)))


def _shares(ours: tuple[int, int], rest: tuple[int, int], comparisons: int) -> Row:
    (count, n), (rest_count, rest_n) = ours, rest
    low, high = newcombe(count, n, rest_count, rest_n, each(comparisons))
    share, rest_share = count / n, rest_count / rest_n
    shares = {"percent": share, "rest_percent": rest_share, "difference": share - rest_share, "low": low, "high": high}
    row: Row = {"n": n, "count": count, "rest_n": rest_n, "rest_count": rest_count}
    row |= {key: rounded(100 * value) for key, value in shares.items()}
    return {**row, "verdict": verdict(low, high, "more often", "less often")}


def _sizes(codes: Codes, divided: Grouped) -> list[int]:
    """How many of these rows stand under each name."""
    return [int(n) for n in np.bincount(codes, minlength=len(divided.names))]


def _large_enough(sizes: Sequence[int], divided: Grouped, min_rows: int) -> list[int]:
    pooled = sum(sizes[: divided.pool])
    return [place for place in range(divided.groups) if min(sizes[place], pooled - sizes[place]) >= min_rows]


def _different(compared: Sequence[int], sizes: Sequence[int]) -> int:
    """How many comparisons with the rest tell something new: of two groups, each is the other's rest."""
    return 1 if len(compared) == 2 and np.count_nonzero(sizes) == 2 else len(compared)


def _mean(values: Numbers) -> float | None:
    return rounded(float(values.mean())) if len(values) else None


def rounded(value: float) -> float:
    """Six decimals, and no minus zero."""
    return round(float(value), 6) + 0.0
