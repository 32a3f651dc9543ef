"""What stands behind the scores, as numbers that templates draw: forgetting, wordings, HELM's views, subjects."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from tasks.report.findings import Results, at_chance
from tasks.report.plots import Axis, axis_over
from tasks.report.sentences import would_tell

Row = dict[str, Any]
KINDS = {
    "typos": "typing slips",
    "lower_case": "all in lower case",
    "dialect": "another dialect",
    "gender_swap": "other genders",
    "name_swap": "other names",
}
FEW = 12  # rows of a chart that are shown without being asked for


@dataclass(frozen=True)
class Chart:
    """Rows on one axis."""

    rows: list[Row]
    axis: Axis


def forgetting(told: Row, results: Results, families: Collection[str]) -> Chart | None:
    """The budget's rows with `needed` and `blind`, worst loss first, and an axis that holds the margin."""
    rows = [
        row | {"needed": would_tell(row, row["suite"], families), "blind": at_chance(row["suite"], results)}
        for row in told["suites"]
    ]
    if not rows:
        return None
    ends = [row[end] for row in rows for end in ("low", "high")]
    return Chart(sorted(rows, key=lambda row: row["difference"]), axis_over([0.0, -told["margin"], *ends], ticks=6))


def gaps(rows: Sequence[Row]) -> Chart | None:
    """Held-out minus seen wordings of each family: base and tuned."""
    return Chart(list(rows), axis_over(_ends(rows, "base", "tuned"), ticks=6)) if rows else None


def wordings(rows: Sequence[Row], first: str) -> list[tuple[str, Chart]]:
    """Each family's wordings, the primary's family first, each on its own axis from 0."""
    families = sorted(dict.fromkeys(row["family"] for row in rows), key=lambda name: name != first)
    charts = []
    for family in families:
        own = [row for row in rows if row["family"] == family]
        charts.append((family, Chart(own, axis_over(_ends(own, "base", "tuned"), ticks=6))))
    return charts


def perturbed(rows: Sequence[Row]) -> Chart | None:
    """What each kind of perturbation changes of both models' scores."""
    if not rows:
        return None
    flat = [
        {"kind": KINDS.get(row["kind"], row["kind"].replace("_", " ")), "view": row["view"], "n": row["n"]}
        | {"changed": row["changed"]}
        | {
            f"{model}{end}": row[model][f"difference{end}"]
            for model in ("base", "tuned")
            for end in ("", "_low", "_high")
        }
        for row in rows
    ]
    return Chart(flat, axis_over(_ends(flat, "base", "tuned"), ticks=6))


def subjects(rows: Sequence[Row], confidence: float) -> list[Row]:
    """A chart a suite and kind of parts: {suite, by, few, chart}; what lost most first, with Wilson's intervals."""
    charts = []
    for suite, by in dict.fromkeys((row["suite"], row["by"]) for row in rows):
        own = [
            row
            | {
                f"{model}_{end}": value
                for model in ("base", "tuned")
                for end, value in zip(("low", "high"), wilson(row[model], row["n"], confidence), strict=True)
            }
            for row in rows
            if (row["suite"], row["by"]) == (suite, by)
        ]
        own.sort(key=lambda row: (row["tuned"] - row["base"], row["name"]))
        axis = Axis(0.0, 100.0, [0.0, 25.0, 50.0, 75.0, 100.0])
        charts.append({"suite": suite, "by": by, "few": len(own) <= FEW, "chart": Chart(own, axis)})
    return charts


def wilson(percent: float, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's interval (1927) of a share of n, in percent."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    share, extra = percent / 100.0, z * z / n
    middle = share + extra / 2.0
    half = z * math.sqrt(share * (1.0 - share) / n + extra / (4.0 * n))
    return max(0.0, 100.0 * (middle - half) / (1.0 + extra)), min(100.0, 100.0 * (middle + half) / (1.0 + extra))


def mentions(counts: Mapping[str, Mapping[str, int]]) -> list[Row]:
    """Each group's share of mentions in outputs and targets: {who, total, parts: [{group, count, start, share}]}."""
    rows = []
    for who in ("base", "tuned", "targets"):
        total, start, parts = sum(counts[who].values()), 0.0, []
        for group, count in counts[who].items():
            share = 100.0 * count / total if total else 0.0
            parts.append({"group": group, "count": count, "start": start, "share": share})
            start += share
        rows.append({"who": who, "total": total, "parts": parts})
    return rows


def _ends(rows: Sequence[Row], *names: str) -> list[float]:
    return [0.0, *(row[f"{name}{end}"] for row in rows for name in names for end in ("", "_low", "_high"))]
