"""Reliability diagrams as plain numbers: how often a model is right, by how sure it is, small and side by side.

A dot on the diagonal is a model that is right as often as it is sure. A dot's area, and the bars under the diagram,
say how many questions stand behind it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.report.sentences import title

Row = dict[str, Any]
SIDE = 168.0  # of the square, SVG units
LEFT, TOP, STRIP, FOOT = 30.0, 8.0, 40.0, 34.0  # margins; height of the bars; room for the ticks between
SIZE = {
    "width": LEFT + SIDE + 10.0,
    "height": TOP + SIDE + FOOT + STRIP + 2.0,
    "left": LEFT, "top": TOP, "side": SIDE, "base": TOP + SIDE, "strip": TOP + SIDE + FOOT + STRIP,
}  # fmt: skip
TICKS = (0.0, 0.5, 1.0)
LEAST, MOST = 2.2, 8.0  # radius of a dot
BINS = 10


Bins = Sequence[Row]  # {confidence, accuracy: 0..1, n}


def diagrams(calibration: Mapping[str, Mapping[str, Bins]], results: Mapping[str, Mapping[str, Row]]) -> list[Row]:
    """A diagram a suite: {name, ece, verdict, models: {base, tuned: {dots, points, bars}}, tallest}."""
    drawn = []
    for suite, models in calibration.items():
        counts = [bin_["n"] for bins in models.values() for bin_ in bins]
        if not counts:
            continue
        most = max(counts)
        drawn.append(
            {
                "name": title(suite),
                "ece": results.get(suite, {}).get("ece"),
                "tallest": most,
                "models": {name: _model(bins, most, name == "tuned") for name, bins in models.items()},
            }
        )
    return drawn


def _model(bins: Bins, most: int, second: bool) -> Row:
    """One model's dots, the line through them, and its bars beside the other model's."""
    dots = [
        {
            "x": round(LEFT + SIDE * bin_["confidence"], 1),
            "y": round(TOP + SIDE * (1.0 - bin_["accuracy"]), 1),
            "r": round(max(LEAST, MOST * math.sqrt(bin_["n"] / most)), 1),
            "says": f"{100 * bin_['confidence']:.0f}% sure, {100 * bin_['accuracy']:.0f}% right, {bin_['n']} questions",
        }
        for bin_ in bins
    ]
    half = SIDE / BINS / 2.0 - 1.0
    bars = []
    for bin_, dot in zip(bins, dots, strict=True):
        place = min(int(bin_["confidence"] * BINS), BINS - 1)
        height = round(STRIP * bin_["n"] / most, 1)
        x = LEFT + SIDE * place / BINS + 1.0 + (half if second else 0.0)
        bars.append({"x": round(x, 1), "width": round(half, 1), "height": height, "says": dot["says"]})
    return {"dots": dots, "bars": bars, "points": " ".join(f"{dot['x']},{dot['y']}" for dot in dots)}
