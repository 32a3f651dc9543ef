"""The bias report's drawings as plain numbers: one axis for each table, so that its rows can be compared by eye."""

from collections.abc import Iterable
from typing import Any

from tasks.report.plots import Axis, axis_over

Row = dict[str, Any]
DIFFERENCES = ("length", "sentiment", "labels")


def drawn(bias: Row) -> Row:
    """The bias report as bias.html.j2 wants it: each facet with `axes`.

    Args:
        bias: reports/bias.json.

    Returns:
        The same, and in each facet axes: {groups: Axis, length, sentiment, labels: Axis, or None where nothing was
        compared}.
    """
    return {**bias, "facets": [{**facet, "axes": _axes(facet)} for facet in bias["facets"]]}


def _axes(facet: Row) -> dict[str, Axis | None]:
    axes: dict[str, Axis | None] = {"groups": axis_over([0.0, *(row["high"] for row in facet["groups"])])}
    for part in DIFFERENCES:
        axes[part] = _over_differences(facet[part]["rows"] if facet[part] else [])
    return axes


def _over_differences(rows: Iterable[Row]) -> Axis | None:
    ends = [row[end] for row in rows for end in ("low", "high") if row[end] is not None]
    return axis_over([0.0, *ends]) if ends else None
