"""The data page's drawings as plain numbers: how a column's lengths are spread, and how its labels are.

Lengths stand in the fixed bins of data/judge/profile.py, each bin as wide as the next: above 8 that is a logarithmic
scale. The template turns the numbers into SVG, so that it takes the page's colours in light and dark.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.data.judge.profile import EDGES

Row = dict[str, Any]
WIDTH, HEIGHT, FOOT, SIDE = 250.0, 128.0, 22.0, 18.0  # of a drawing; of the strip for its ticks; of its margins
SIZE = {"width": WIDTH, "height": HEIGHT, "base": HEIGHT - FOOT, "side": SIDE}
FEWEST_TICKS, MOST_TICKS = 3, 5
MOST_LABELS = 12  # shown; the others are counted


def histogram(now: Mapping[str, int], accepted: Mapping[str, int] | None) -> Row | None:
    """Lengths as bars, and the accepted ones as an outline; None where there is no length.

    Args:
        now: rows by the lower edge of their bin.
        accepted: the same of the accepted data.

    Returns:
        {bars: [{x, y, width, height, low, high, rows}], outline: "x,y x,y" or None, ticks: [(x, label)],
        tallest: the share that the tallest stands for}.
    """
    shares, before = _shares(now), _shares(accepted or {})
    places = sorted({*shares, *before})
    if not shares:
        return None
    first, last = places[0], places[-1] + 1
    tallest = max([*shares.values(), *before.values()])
    step = (WIDTH - 2 * SIDE) / (last - first)

    def x(place: float) -> float:
        return round(SIDE + (place - first) * step, 1)

    def y(share: float) -> float:
        return round((HEIGHT - FOOT) * (1 - 0.88 * share / tallest), 1)

    bars = [
        {
            "x": x(place),
            "y": y(share),
            "width": round(max(x(place + 1) - x(place) - 1, 0.8), 1),
            "height": round(HEIGHT - FOOT - y(share), 1),
            "low": int(EDGES[place]),
            "high": int(EDGES[min(place + 1, len(EDGES) - 1)]) - 1,
            "rows": now[str(EDGES[place])],
        }
        for place, share in shares.items()
    ]
    corners = [(x(at), y(before.get(place, 0.0))) for place in range(first, last) for at in (place, place + 1)]
    outline = " ".join(f"{across},{down}" for across, down in corners) if before else None
    return {
        "bars": bars,
        "outline": outline,
        "ticks": [(x(_place(tick)), f"{tick:,}") for tick in _ticks(first, last)],
        "tallest": tallest,
    }


def _shares(counts: Mapping[str, int]) -> dict[int, float]:
    """Share of the rows by place of the bin among EDGES."""
    total = sum(counts.values())
    places = {edge: place for place, edge in enumerate(EDGES.tolist())}
    return {places[int(edge)]: rows / total for edge, rows in sorted(counts.items(), key=lambda item: int(item[0]))}


def _place(length: int) -> float:
    """Where a length lies among EDGES, parts of a bin included."""
    bin_ = int(EDGES.searchsorted(length, side="right")) - 1
    after = EDGES[min(bin_ + 1, len(EDGES) - 1)]
    return float(bin_ + (length - EDGES[bin_]) / max(after - EDGES[bin_], 1))


def _ticks(first: int, last: int) -> list[int]:
    """Round numbers (1, 2, 5, 10 ...) between two places; where these are few, the bins' own edges."""
    rounds = [0, *(digit * 10**power for power in range(9) for digit in (1, 2, 5))]
    inside = [number for number in rounds if first <= _place(number) <= last and number <= EDGES[-1]]
    if len(inside) < FEWEST_TICKS:
        inside = EDGES[first : last + 1].tolist()
    every = math.ceil(len(inside) / MOST_TICKS)
    return inside[::-1][::every][::-1]


def label_rows(labels: Sequence[Row], accepted: Sequence[Row] | None) -> Row:
    """Labels by their share, with the accepted share beside it; `more` says how many are not shown."""
    rows, before = _by_label(labels), _by_label(accepted or [])
    longest = max([*rows.values(), *before.values()])
    shown = [
        {
            "label": label,
            "rows": found["rows"],
            "share": rows[label],
            "accepted": before.get(label, 0.0) if before else None,
        }
        for label, found in ((found["label"], found) for found in labels[:MOST_LABELS])
    ]
    return {"rows": shown, "longest": longest, "more": len(labels) - len(shown), "compared": bool(before)}


def _by_label(labels: Sequence[Row]) -> dict[str, float]:
    total = sum(found["rows"] for found in labels)
    return {found["label"]: found["rows"] / total for found in labels}
